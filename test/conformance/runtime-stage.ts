/** The machine that the suite of the runtime port runs on, and what its cases share. */
import type { EffectContext } from '../../src/ports/effect.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from '../../src/ports/journal.ts';
import type { BundleInput, PauseInput, RuntimeFacts, RuntimePort } from '../../src/ports/runtime.ts';
import type { FaultKind } from '../../src/base/fault.ts';
import { FaultError } from '../../src/base/fault.ts';
import type { ContainerId } from '../../src/base/ids.ts';
import { fxOf } from '../support/fx.ts';
import { EVENT_MS } from '../support/patience.ts';

/**
 * What a container's program does. `speaks` writes the line `1` at its start and the next number whenever the stage
 * asks; it ends with 143 at SIGTERM. `stubborn` takes no notice of SIGTERM. `seven` and `zero` write one line and end
 * with that code. `hungry` wants more memory than it may have.
 */
export type Behaviour = 'speaks' | 'stubborn' | 'seven' | 'zero' | 'hungry';

/** Commands of execs that both sides know, and what they do. */
export const EXECS = {
  /** Ends with 5. */
  five: ['sh', '-c', 'exit 5'],
  /** `out` on stdout, `err` on stderr, ends with 0. */
  says: ['sh', '-c', 'echo out; echo err >&2'],
  hangs: ['sleep', '1000'],
  absent: ['/no/such/program'],
} as const;

/** All that is wanted for one container. */
export type ContainerRequest = BundleInput & { readonly effective: EffectiveContainer };
export type Running = ContainerRequest & { readonly init: ProcessIdentity };

/** Verbs of the runtime that can be made to hang or to fail. */
export type Verb = 'create' | 'start' | 'update' | 'delete';

export interface RuntimeStage {
  /** The driver of now. */
  readonly port: RuntimePort;
  /** The daemon dies and another begins on the same machine: a driver that knows nothing. */
  restart(): Promise<void>;
  /** A container to be, whose root file system is there. */
  container(behaviour: Behaviour): ContainerRequest;
  readonly pause: PauseInput;
  /** The exits that the current driver, and those before it, reported for a container. */
  reported(id: ContainerId): readonly ExitFact[];
  /** Settles when it is so; the world moves meanwhile. */
  until(poll: () => boolean | Promise<boolean>): Promise<void>;
  /** The runtime hangs in this verb, or fails, until `heal`. */
  spoil(verb: Verb, how: 'hangs' | 'fails'): void;
  heal(): void;
  /** Runs `act` when a call is under way that hangs. */
  whenHanging(act: () => void): void;
  killMonitor(id: ContainerId): void;
  killInit(one: Running): void;
  killPause(process: ProcessIdentity): void;
  /** An exit file appears whose container nobody knows. */
  strayExit(id: ContainerId, code: number): void;
  /** A `speaks` writes its next line; settles when the monitor has it. */
  speak(one: Running): Promise<void>;
  /** The numbers in its log: the rotated files in order, then the present one. */
  lines(one: ContainerRequest): {
    readonly rotated: readonly (readonly number[])[];
    readonly current: readonly number[] | undefined;
  };
  /** The kubelet renames the log. */
  rotate(one: ContainerRequest): void;
  /** The memory limit in force, bytes; undefined for none. */
  memoryLimit(one: ContainerRequest): bigint | undefined;
  /** Destroys what is there; throws when anything is left. */
  close(): Promise<void>;
}

export const fx = fxOf();

/** Created and watched, as the actors do it. */
export async function created(
  { port }: Pick<RuntimeStage, 'port'>,
  request: ContainerRequest,
): Promise<Running> {
  await port.writeBundle(request, fx);
  const init = await port.create(request, fx);
  const running = { ...request, init };
  port.watch(running);
  return running;
}

/** Running; a `speaks` has written its first line. */
export async function started(stage: RuntimeStage, behaviour: Behaviour): Promise<Running> {
  const one = await created(stage, stage.container(behaviour));
  await stage.port.start(one, fx);
  if (behaviour === 'speaks') await stage.until(() => (stage.lines(one).current?.length ?? 0) > 0);
  return one;
}

/** The first exit reported. */
export async function exitOf(stage: RuntimeStage, id: ContainerId): Promise<ExitFact | undefined> {
  await stage.until(() => stage.reported(id).length > 0);
  return stage.reported(id)[0];
}

/** What the port observes of one container. */
export async function factsOf({ port }: RuntimeStage, id: ContainerId): Promise<RuntimeFacts | undefined> {
  return (await port.observe(fx)).containers.find((facts) => facts.id === id);
}

/** The kind of the fault that `work` ends with; `none` when it goes well. */
export async function kindOf(work: Promise<unknown>): Promise<FaultKind | 'none'> {
  try {
    await work;
    return 'none';
  } catch (thrown) {
    if (thrown instanceof FaultError) return thrown.fault.kind;
    throw thrown;
  }
}

/** Aborts the call once it hangs, and gives the kind that it ends with. */
export async function abortedKind(
  stage: RuntimeStage,
  call: (context: EffectContext) => Promise<unknown>,
): Promise<FaultKind | 'none'> {
  const caller = new AbortController();
  stage.whenHanging(() => caller.abort());
  return kindOf(call(fxOf(EVENT_MS, caller.signal)));
}
