/**
 * The calls of clients in a world with take-overs. Requests and answers are the numbers of what they stand for, so that
 * they pass through the real CallSwitch as bytes.
 */
import type { Call } from '../../src/actors/directory/ask.ts';
import { actorLimits } from '../../src/actors/bounds.ts';
import type { Troupe } from '../../src/actors/troupe.ts';
import { onAbort } from '../../src/base/abort.ts';
import { fault, FaultError, toFault } from '../../src/base/fault.ts';
import type { CallContext } from '../../src/cri/call/server.ts';
import { RpcError } from '../../src/cri/call/status.ts';
import { relayLimits } from '../../src/cri/bounds.ts';
import { pause } from '../../src/host/clock/wait.ts';
import { BY_DRIVER } from './answers.ts';
import { lostCall } from './client.ts';
import type { Daemons } from './daemons.ts';
import type { Instance, Work } from './instance.ts';
import type { Random } from './random.ts';
import { WORLD } from './scheduler.ts';
import type { World } from './world.ts';

/** Milliseconds from the deadline of a call to the end that the server makes of it. */
const LATE_MS = 200;
/** Share of the calls that come over a connection to a daemon that has handed over. */
const OLD_CONNECTIONS = 0.4;
/** Its client waits for its own bound, however long a failed restore is undone. */
const UNBOUNDED = 'RestorePod';

type Answer = { readonly value: unknown } | { readonly thrown: unknown };

export class HandedCalls {
  /** Calls that a daemon which has handed over has asked of another. */
  relayed = 0;
  /**
   * Every error that a client gets counts as one of the hand-over, since nothing else goes wrong; but not a refusal
   * because of the state, such as the update of a container that has just ended.
   */
  mustSucceed = false;
  readonly #world: World;
  readonly #random: Random;
  readonly #daemons: Daemons;
  #numbers = 0;
  readonly #works = new Map<number, Work>();
  readonly #answers = new Map<number, Answer>();
  readonly #reads = new Set<{ isDone: boolean }>();

  constructor(world: World, random: Random, daemons: Daemons) {
    this.#world = world;
    this.#random = random;
    this.#daemons = daemons;
  }

  /** As `World.call`, through the switch of the daemon that has the client's connection. */
  call<T>(
    operation: string,
    deadlineMs: number,
    work: (troupe: Troupe, call: Call) => Promise<T>,
  ): Promise<T> {
    const found = this.#daemons.connections();
    const old = found.filter((one) => one !== this.#daemons.acceptor);
    const isOld =
      old.length > 0 && (this.#daemons.acceptor === undefined || this.#random.chance(OLD_CONNECTIONS));
    const via = isOld ? this.#random.pick(old) : this.#daemons.acceptor;
    if (via === undefined)
      return Promise.reject(new FaultError(fault('notReady', `${operation}: connection refused`)));
    const { scheduler, answers } = this.#world;
    this.#world.operation = operation;
    const controller = new AbortController();
    const answered = answers.begin(operation, deadlineMs);
    const number = this.#next();
    this.#works.set(number, work);
    const lateMs = deadlineMs + (BY_DRIVER.has(operation) ? actorLimits.driverGraceMs : 0) + LATE_MS;
    if (operation !== UNBOUNDED)
      scheduler.after(via.epoch, lateMs, () =>
        controller.abort(new FaultError(fault('timedOut', `${operation}: the caller has gone`))),
      );
    return new Promise<T>((resolve, reject) => {
      const end = (act: () => void): void => {
        this.#works.delete(number);
        via.lost.delete(lose);
        act();
      };
      const lose = (): void => {
        answered();
        scheduler.add(WORLD, `${operation} is lost`, () => end(() => reject(lostCall(operation))));
      };
      via.lost.set(lose, operation);
      const answer = (what: string, act: () => void): void =>
        scheduler.add(via.epoch, `${operation} ${what}`, () => {
          if (this.#world.operation === operation) this.#world.operation = 'idle';
          end(act);
        });
      const context = { signal: controller.signal, deadlineMonoMs: scheduler.nowMs + deadlineMs };
      void via
        .method(operation)(bytesOf(number), context)
        .then((bytes) => this.#valueOf(bytes as Uint8Array))
        .then(
          (value) => {
            answered();
            answer('says ok', () => resolve(value as T));
          },
          (thrown: unknown) => {
            this.#judge(via, operation, thrown);
            const shown = forClient(thrown);
            answered(shown instanceof FaultError ? shown.fault : undefined);
            answer('says no', () => reject(shown));
          },
        );
    });
  }

  #judge(via: Instance, operation: string, thrown: unknown): void {
    const { wrongs } = this.#world.history;
    if (typeof thrown === 'object' && thrown !== null && via.heldErrors.has(thrown))
      wrongs.push(`F92 ${operation} is answered with an error of the hand-over: ${toFault(thrown).message}`);
    else if (this.mustSucceed && !(thrown instanceof FaultError && thrown.fault.kind === 'wrongState'))
      wrongs.push(`F92 ${operation} failed: ${toFault(thrown).message}`);
  }

  /** Carries out what the request stands for, and gives what stands for its outcome. */
  async carryOut(request: Uint8Array, act: (work: Work) => Promise<unknown>): Promise<Uint8Array> {
    const work = this.#works.get(numberOf(request));
    // its client has lost its connection
    if (work === undefined) throw new FaultError(fault('cancelled', 'the caller has gone'));
    return this.answered({ value: await act(work) });
  }

  /** The bytes that stand for this outcome. */
  answered(answer: Answer): Uint8Array {
    const number = this.#next();
    this.#answers.set(number, answer);
    return bytesOf(number);
  }

  #valueOf(bytes: Uint8Array): unknown {
    const number = numberOf(bytes);
    const answer = this.#answers.get(number);
    this.#answers.delete(number);
    if (answer === undefined) throw new Error('an answer that nobody gave');
    if ('thrown' in answer) throw answer.thrown;
    return answer.value;
  }

  #next(): number {
    this.#numbers += 1;
    return this.#numbers;
  }

  /** A call that a daemon which has handed over asks of whoever accepts. */
  ask(from: Instance, name: string, request: Uint8Array, call: CallContext): Promise<Uint8Array> {
    const to = this.#daemons.acceptor;
    const { scheduler } = this.#world;
    if (to === undefined) return Promise.reject(unreached());
    this.relayed += 1;
    const operation = name.slice('sim/'.length);
    return new Promise((resolve, reject) => {
      const controller = new AbortController();
      const stopListening = onAbort(call.signal, () => {
        controller.abort(call.signal.reason);
        end(() => reject(new RpcError({ code: 'cancelled', message: 'the caller has gone' })));
      });
      const end = (act: () => void): void => {
        to.lost.delete(lose);
        stopListening();
        act();
      };
      const lose = (): void =>
        scheduler.add(from.epoch, `${operation} is lost on the way`, () => end(() => reject(unreached())));
      to.lost.set(lose, operation);
      const back = (act: () => void): void =>
        scheduler.add(from.epoch, `${operation} comes back`, () => end(act));
      scheduler.add(to.epoch, `${operation} is passed on`, () => {
        void to
          .method(operation)(request, { ...call, signal: controller.signal })
          .then(
            (bytes) => back(() => resolve(bytes as Uint8Array)),
            (thrown: unknown) => back(() => reject(this.#relayedError(to, operation, thrown))),
          );
      });
    });
  }

  /** Somebody accepts. Rejects at this time. */
  async reached(from: Instance, untilMs: number): Promise<void> {
    while (this.#daemons.acceptor === undefined) {
      if (from.clock.monoMs() >= untilMs) throw unreached();
      await pause(from.clock, relayLimits.againMs);
    }
  }

  #relayedError(to: Instance, operation: string, thrown: unknown): unknown {
    if (typeof thrown === 'object' && thrown !== null && to.heldErrors.has(thrown))
      this.#world.history.wrongs.push(`F92 ${operation} is passed back with an error of the hand-over`);
    const isUnready = thrown instanceof FaultError && thrown.fault.kind === 'notReady';
    return isUnready ? new RpcError({ code: 'unavailable', message: thrown.message }) : thrown;
  }

  /** A list of a daemon that hands over, which has to be answered before the next step. */
  read(instance: Instance): void {
    const read = { isDone: false };
    this.#reads.add(read);
    const { signal } = new AbortController();
    const number = this.#next();
    this.#works.set(number, async (troupe) => troupe.directory.sandboxes());
    void instance
      .method('ListPodSandbox')(bytesOf(number), { signal })
      .then(
        (bytes) => {
          this.#valueOf(bytes as Uint8Array);
          this.#works.delete(number);
          read.isDone = true;
        },
        (thrown: unknown) => void this.#world.history.wrongs.push(`F92 a list fails: ${String(thrown)}`),
      );
  }

  /** Lists that were not answered. */
  lateReads(): number {
    const late = [...this.#reads].filter(({ isDone }) => !isDone).length;
    this.#reads.clear();
    return late;
  }
}

const unreached = (): RpcError => new RpcError({ code: 'unavailable', message: 'connection refused' });

function bytesOf(number: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(number).buffer);
}

function numberOf(bytes: Uint8Array): number {
  return new Uint32Array(bytes.buffer)[0] ?? 0;
}

/** As a client sees it. */
function forClient(thrown: unknown): unknown {
  if (!(thrown instanceof RpcError)) return thrown;
  const { code, message } = thrown.status;
  const kind = code === 'unavailable' ? 'notReady' : code === 'deadlineExceeded' ? 'timedOut' : 'cancelled';
  return new FaultError(fault(kind, message));
}
