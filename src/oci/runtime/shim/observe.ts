/**
 * Observes the containers and sandboxes of shims at the daemon's start by asking the shims, which outlive the daemon.
 */
import type { ExitFact } from '../../../ports/journal.ts';
import type { PauseFacts, RuntimeFacts } from '../../../ports/runtime.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { toFault } from '../../../base/fault.ts';
import { shimLimits } from '../bounds.ts';
import { Status, Task } from '../../../gen/shim/task_pb.ts';
import type { StateResponse } from '../../../gen/shim/task_pb.ts';
import { liveIdentity, toPortIdentity } from '../container/parts.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import { shimExit } from './exits.ts';
import type { ShimExits } from './exits.ts';
import { runningTask } from './sandbox-task.ts';
import type { Shims } from './shims.ts';

export interface Observed {
  readonly containers: readonly RuntimeFacts[];
  readonly pauses: readonly PauseFacts[];
}

export interface ObserveShims {
  readonly parts: DriverParts;
  readonly shims: Shims;
  readonly exits: ShimExits;
  readExit(id: ContainerId): Promise<ExitFact | undefined>;
}

/** Replaces facts read from files by the shims' answers: files say nothing about a shim's processes. */
export async function withShims(observe: ObserveShims, { containers, pauses }: Observed): Promise<Observed> {
  const [facts, tasks] = await Promise.all([
    Promise.all(containers.map((facts) => containerOf(observe, facts).catch(asFilesSay(observe, facts)))),
    Promise.all(pauses.map((facts) => pauseOf(observe, facts).catch(asFilesSay(observe, facts)))),
  ]);
  return { containers: facts, pauses: tasks };
}

/** Falls back to the facts from files: a shim that cannot be asked must not hide the others (F89). */
function asFilesSay<T extends { readonly id: string }>(
  { parts }: ObserveShims,
  facts: T,
): (thrown: unknown) => T {
  return (thrown) => {
    parts.log.warn({ id: facts.id, fault: toFault(thrown) }, 'observe in shim failed');
    return facts;
  };
}

async function pauseOf({ parts, shims }: ObserveShims, facts: PauseFacts): Promise<PauseFacts> {
  const process = facts.process ?? (await runningTask(parts, facts.id));
  // connects to the shim, so that its log is read again, also in a pod without containers
  if (process !== undefined)
    await shims
      .find(facts.id)
      .catch((thrown: unknown) =>
        parts.log.warn({ sandbox: facts.id, fault: toFault(thrown) }, 'connect to shim failed'),
      );
  return { ...facts, process };
}

async function containerOf(
  { parts, shims, exits, readExit }: ObserveShims,
  facts: RuntimeFacts,
): Promise<RuntimeFacts> {
  const { id } = facts;
  const note = await readNote(parts.layout, id);
  if (note === undefined || facts.exitFile !== undefined) return facts;
  const handler = parts.table.known().find(({ name }) => name === note.handler);
  if (handler?.kind !== 'vm') return facts;
  try {
    const shim = await shims.find(note.sandboxId);
    const state = await shim?.callUnlessGone(Task.method.state, { id }, { timeoutMs: shimLimits.observeMs });
    if (state === undefined) return { ...facts, monitorAlive: false };
    if (state.status !== Status.STOPPED) {
      const process = await processOf(parts, state);
      return { ...facts, ...process, monitorAlive: true };
    }
    await exits.writeExitFile(id, shimExit(state.exitStatus, state.exitedAt, parts.clock.nowNs()));
    return { ...facts, monitorAlive: true, exitFile: await readExit(id) };
  } catch (thrown) {
    // a shim that does not answer now has lost nothing yet: the watch asks it again
    parts.log.warn(
      { id, fault: toFault(thrown) },
      'query container in shim failed; its recorded state is kept',
    );
    return { ...facts, monitorAlive: true };
  }
}

async function processOf(
  parts: DriverParts,
  { status, pid }: StateResponse,
): Promise<Pick<RuntimeFacts, 'process' | 'init'>> {
  const identity = await liveIdentity(parts, pid);
  return {
    process: status === Status.CREATED ? 'created' : 'running',
    init: identity === undefined ? undefined : toPortIdentity(identity),
  };
}
