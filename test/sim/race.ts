/**
 * A few calls on one pod, each sent at a chosen moment of the work of those before it: what two clients can do to one
 * another. Nothing fails by itself here; the order in which things happen is the seed's.
 */
import type { ContainerId, SandboxId } from '../../src/base/ids.ts';
import { hashText } from './random.ts';
import { Client } from './client.ts';
import { Invariants } from './invariants.ts';
import type { Broken } from './broken.ts';
import { containerSpec, sandboxSpec } from './specs.ts';
import { setTraps } from './traps.ts';
import { World } from './world.ts';
import type { WorldOptions } from './world.ts';

/** Steps that a race may take; a hundred or two is usual. */
const STEPS_MAX = 5000;
const DEADLINE_MS = 240_000;
const SHAPE = { sharedPid: false, hostNetwork: false } as const;
const IMAGE = 'sim/two:1';

/** A promise with what came of it. */
export interface Sent<T> {
  /** Places in the order of all calls and answers; `answeredAt` is undefined while there is no answer. */
  readonly calledAt: number;
  answeredAt: number | undefined;
  value?: T;
  thrown?: unknown;
}

/** A machine, its daemon and a client, one step after the other. */
export class Race {
  readonly world: World;
  readonly client: Client;
  readonly #invariants: Invariants;
  readonly #open = new Set<Sent<unknown>>();
  #places = 0;

  constructor(seed: number, inspect?: WorldOptions['inspect']) {
    this.world = new World({ seed, ...(inspect === undefined ? {} : { inspect }) });
    this.world.kernel.program = () => ({ livesMs: undefined, exitCode: 0, stubborn: false });
    this.client = new Client(this.world, () => DEADLINE_MS);
    this.#invariants = new Invariants(this.world);
  }

  /** Sends a call. */
  send<T>(call: () => Promise<T>): Sent<T> {
    this.#places += 1;
    const sent: Sent<T> = { calledAt: this.#places, answeredAt: undefined };
    this.#open.add(sent);
    const answered = (what: Pick<Sent<T>, 'value' | 'thrown'>): void => {
      this.#places += 1;
      sent.answeredAt = this.#places;
      Object.assign(sent, what);
      this.#open.delete(sent);
    };
    call().then(
      (value) => answered({ value }),
      (thrown: unknown) => answered({ thrown }),
    );
    return sent;
  }

  /** Something happens to the machine: no answer says when it is noticed. */
  happen(act: () => void): Sent<never> {
    this.#places += 1;
    act();
    return { calledAt: this.#places, answeredAt: undefined };
  }

  /** One thing happens; every invariant holds after it. */
  async step(): Promise<void> {
    if (!(await this.world.scheduler.step())) throw new Error('nothing can happen any more');
    const broken = this.#invariants.check();
    if (broken !== undefined) throw new Error(reported(broken));
  }

  async until(reached: () => boolean, what: string): Promise<void> {
    for (let steps = 0; !reached(); steps += 1) {
      if (steps === STEPS_MAX) throw new Error(`not within ${STEPS_MAX} steps: ${what}`);
      await this.step();
    }
  }

  /** All that was sent is answered. */
  async answers(): Promise<void> {
    await this.until(() => this.#open.size === 0, 'every call has its answer');
  }

  /** The value of one call with nothing beside it; throws what it rejects with. */
  async alone<T>(call: () => Promise<T>): Promise<T> {
    const sent = this.send(call);
    await this.answers();
    if (sent.thrown !== undefined)
      throw new Error('a call with nothing beside it fails', { cause: sent.thrown });
    return sent.value as T;
  }

  /** The daemon serves, and the image is there. */
  async begin(): Promise<void> {
    await this.until(() => this.world.serving, 'the daemon serves');
    await this.alone(() => this.client.pull(IMAGE));
  }

  run(name: string): Promise<SandboxId> {
    return this.client.run(sandboxSpec({ name, namespace: 'sim', uid: name, attempt: 0 }, SHAPE, 'once'));
  }

  create(sandboxId: SandboxId, name: string): Promise<ContainerId> {
    const imageId = this.world.troupe?.findImage(IMAGE)?.id;
    if (imageId === undefined) throw new Error('the image is not present');
    return this.client.create(containerSpec({ sandboxId, name, attempt: 0 }, SHAPE, imageId, 'once'));
  }

  /** What is not empty, once all was removed. */
  async end(): Promise<void> {
    await this.alone(() => this.client.removeImage(IMAGE));
    await this.until(
      () => this.#invariants.checkEmpty() === undefined,
      `the machine is empty: ${this.#invariants.checkEmpty()?.detail ?? ''}`,
    );
  }
}

const reported = ({ invariant, detail }: Broken): string => `${invariant} ${detail}`;

/** Runs `act` in a world of its own; real time and chance are trapped. What fails says of which race it is. */
export async function racing(name: string, seed: number, act: (race: Race) => Promise<void>): Promise<void> {
  const takeTraps = setTraps();
  const race = new Race(hashText(name, seed));
  const course = async (): Promise<void> => {
    await race.begin();
    await act(race);
    await race.end();
  };
  const failure = await course().then(
    () => undefined,
    (thrown: unknown) => ({ thrown }),
  );
  const [trapped] = takeTraps();
  if (failure === undefined && trapped === undefined) return;
  const why = failure === undefined ? trapped : String(failure.thrown);
  throw new Error(`${name}, seed ${seed}: ${why}\n${race.world.scheduler.tail.slice(-40).join('\n')}`, {
    cause: failure?.thrown,
  });
}
