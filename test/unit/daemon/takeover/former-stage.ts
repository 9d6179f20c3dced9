// A daemon of which only the hand-over is real, and the daemons that it meets.
import { onTestFinished } from 'vitest';
import { Handing } from '../../../../src/daemon/takeover/former.ts';
import type { HandingNode, Parcel } from '../../../../src/daemon/takeover/handing-node.ts';
import { Link } from '../../../../src/daemon/takeover/link.ts';
import type { Hello } from '../../../../src/daemon/takeover/messages.ts';
import { type Log, silentLog } from '../../../../src/base/log.ts';
import { DescriptorChannel } from '../../../../src/host/io/descriptor-channel.ts';
import { closeFd, makeSocketPair } from '../../../../src/host/io/descriptors.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { loopTurn } from '../../../support/turns.ts';

export const NEW = 500;
const id = { dev: '1', ino: '2' };
const hello: Hello = {
  type: 'hello',
  protocol: 1,
  version: '2.0.0',
  journal: 1,
  root: id,
  state: id,
  socket: '/run/cri.sock',
  isRescue: false,
};
export const PARCEL = {
  message: {
    type: 'released',
    sockets: [],
    service: { notifySocket: '', watchdogMs: undefined },
    tokens: [],
    events: { lastNs: '7', shown: [] },
  },
  fds: [],
} as const;

/** A daemon of which only the hand-over is real. */
export class Former implements HandingNode {
  readonly version = '1.0.0';
  readonly clock = new HandClock();
  readonly did: string[] = [];
  readonly running = new Set([NEW]);
  /** What the log has as errors. */
  readonly errors: (readonly [object, string])[] = [];
  readonly #log: Log = { ...silentLog, error: (fields, message) => void this.errors.push([fields, message]) };
  readonly handing = new Handing(this, this.clock, this.#log, () => this.did.push('onPassed'));
  refusal: string | undefined;
  isUnderSystemd = false;
  /** Who holds the lock. */
  locker: number | undefined;
  /** Effects end when it resolves; at once unless a test sets it. */
  effects: Promise<void> = Promise.resolve();
  isLate = false;
  isOff = false;
  /** What a successor does; a pid of which nothing is heard unless a test sets it. */
  successor: () => number = () => 600 + this.did.length;
  readonly peers = {
    identify: (pid: number) => (this.running.has(pid) ? { pid, startTicks: 1 } : undefined),
    exists: ({ pid }: { readonly pid: number }) => this.running.has(pid),
    kill: ({ pid }: { readonly pid: number }): void => {
      this.did.push(`kill ${pid}`);
      this.running.delete(pid);
    },
    terminate: ({ pid }: { readonly pid: number }): void => void this.did.push(`terminate ${pid}`),
  };

  refusalOf = (): string | undefined => this.refusal;
  freeze = (): void => void this.did.push('freeze');
  thaw = (): void => void this.did.push('thaw');
  landing = (): readonly string[] => ['create of container/c1'];
  abandoned = (): void => void this.did.push('abandoned');
  shown = () => PARCEL.message.events;
  isRestarted = (): boolean => this.isUnderSystemd;
  holder = async (): Promise<number | undefined> => this.locker;

  landed = (late: AbortSignal, off: AbortSignal): Promise<void> => {
    off.addEventListener('abort', () => (this.isOff = true), { once: true });
    late.addEventListener('abort', () => (this.isLate = true), { once: true });
    return this.effects;
  };

  release = async (): Promise<Parcel> => {
    this.did.push('release');
    return PARCEL;
  };

  pass = async (): Promise<void> => void this.did.push('pass');
  servedBy = async (pid: number): Promise<void> => void this.did.push(`served by ${pid}`);
  listenAgain = async (): Promise<void> => void this.did.push('listen');

  /** What the journal has become. */
  migratedTo: string | undefined;
  migrated = async (by: string): Promise<string | undefined> =>
    this.migratedTo === undefined ? undefined : `${by} has migrated to ${this.migratedTo}`;

  startSuccessor = async () => {
    const pid = this.successor();
    this.did.push('successor');
    this.running.add(pid);
    return { pid, startTicks: 1 };
  };

  /** A new daemon that says hello; its end of the connection. */
  meet(pid = NEW, isThere = true): { readonly link: Link; readonly served: Promise<void> } {
    if (isThere) this.running.add(pid);
    else this.running.delete(pid);
    const { ours, theirs } = makeSocketPair();
    const [link, own] = [theirs, ours].map(
      (fd) => new Link(new DescriptorChannel(fd, 'peer'), this.clock),
    ) as [Link, Link];
    onTestFinished(() => [link, own].forEach((one) => one.close()));
    return { link, served: this.handing.serve(own, hello, pid) };
  }

  /** Takes over as a new daemon does, to its end. */
  async takeOver(pid = NEW): Promise<void> {
    const { link, served } = this.meet(pid);
    await link.expect('freezing', 1000);
    for (const fd of (await link.expect('released', 1000)).fds) closeFd(fd);
    await link.send({ type: 'recovered' });
    await link.expect('passed', 1000);
    await link.send({ type: 'serving' });
    await served;
  }

  /** Moves time on until the condition holds. */
  async passUntil(condition: () => boolean, stepMs: number): Promise<void> {
    while (!condition()) {
      await loopTurn();
      await this.clock.advance(stepMs);
    }
  }
}

/** How often it did this. */
export const count = (former: Former, what: string): number =>
  former.did.filter((one) => one === what).length;
