/**
 * The sockets on which the daemon listens, which others may hold too. systemd's file descriptor store keeps each of
 * them, so that after a crash a client's connect waits in the backlog for the next daemon instead of failing
 * (sd_pid_notify_with_fds(3), FDSTORE; docs/operations.md).
 */
import { fstatSync } from 'node:fs';
import type { Server } from 'node:net';
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { realClock } from '../../host/clock/clock.ts';
import { closeFd, duplicateFrom } from '../../host/io/descriptors.ts';
import { duplicateOf } from '../../host/io/listening.ts';
import { notify, notifyBarrier } from '../../host/io/sd-notify.ts';
import { notifySocket, passedDescriptors } from '../config/from-systemd.ts';

/** The names in LISTEN_FDNAMES, in FDNAME, and of FileDescriptorName= in a socket unit. */
export const SOCKET_NAMES = ['cri', 'introspection', 'streaming'] as const;
export type SocketName = (typeof SOCKET_NAMES)[number];

/** Options of `listenPrivately` and `startStreaming`. */
export interface ListeningOptions {
  readonly given: readonly number[];
  readonly onUnfit: () => Promise<void>;
  readonly onListening: (listener: Server) => void;
  readonly isKept: () => boolean;
}

interface SocketsOptions {
  /** Descriptors by name, owned by this object from now on. */
  readonly passed: ReadonlyMap<string, readonly number[]>;
  /** systemd's notification socket; empty without systemd. A daemon that takes over may get it later. */
  readonly notifySocket: () => string;
  readonly clock: ClockPort;
  readonly log: Log;
}

export class ListeningSockets {
  readonly #options: SocketsOptions;
  /** Passed, close-on-exec, and not in use yet. */
  readonly #passed = new Map<string, readonly number[]>();
  readonly #listeners = new Map<SocketName, Server>();
  /** What systemd keeps. */
  readonly #kept = new Set<SocketName>();
  /** Messages are sent in the order of the events. */
  #sending: Promise<void> = Promise.resolve();
  /** Set while this process must not report to systemd yet. */
  #deferred: PromiseWithResolvers<void> | undefined;

  constructor(options: SocketsOptions) {
    this.#options = options;
    this.add(options.passed);
    for (const name of [...this.#passed.keys()].filter((one) => !isSocketName(one))) {
      options.log.warn({ name }, 'passed descriptor is not used: unknown name');
      for (const fd of this.#take(name)) closeFd(fd);
      void this.#send(`FDSTOREREMOVE=1\nFDNAME=${name}`);
    }
  }

  /** What another process has given, in place of what was passed before under the same name. */
  add(passed: ReadonlyMap<string, readonly number[]>): void {
    for (const [name, fds] of passed) {
      for (const fd of this.#take(name)) closeFd(fd);
      this.#passed.set(name, fds.flatMap(closedOnExec));
    }
  }

  /** Nothing is reported to systemd until `report`: it takes another process for the unit's main one. */
  defer(): void {
    const deferred = Promise.withResolvers<void>();
    this.#deferred = deferred;
    this.#sending = this.#sending.then(() => deferred.promise);
  }

  /** This process is the main one now. */
  report(): void {
    this.#deferred?.resolve();
    this.#deferred = undefined;
  }

  /** Whether a socket was passed and is not in use yet: clients that connect to it wait. */
  isPassed(name: SocketName): boolean {
    return this.#passed.has(name);
  }

  /** For a socket that is about to be made; what was passed for it is given only once. */
  optionsFor(name: SocketName): ListeningOptions {
    return {
      given: this.#take(name),
      onUnfit: () => this.#removed(name),
      onListening: (listener) => {
        this.#listeners.set(name, listener);
        void this.#store(name, listener);
      },
      isKept: () => this.#kept.has(name),
    };
  }

  /** Duplicates of what listens now, owned by the caller. */
  duplicates(): ReadonlyMap<SocketName, number> {
    return new Map(
      [...this.#listeners]
        .filter(([, listener]) => listener.listening)
        .map(([name, listener]) => [name, duplicateOf(listener)]),
    );
  }

  #take(name: string): readonly number[] {
    const fds = this.#passed.get(name) ?? [];
    this.#passed.delete(name);
    return fds;
  }

  /** Replaces what is kept under the name: systemd would keep both, and pass both. */
  async #store(name: SocketName, listener: Server): Promise<void> {
    if (this.#options.notifySocket() === '') return;
    // now: the listener may be closed when the message's turn comes
    const fd = duplicateOf(listener);
    void this.#send(`FDSTOREREMOVE=1\nFDNAME=${name}`);
    const isSent = await this.#send(`FDSTORE=1\nFDNAME=${name}`, [fd]).finally(() => closeFd(fd));
    if (isSent) this.#kept.add(name);
  }

  /** Until systemd has closed its own, which may have the port that is to be bound. */
  async #removed(name: SocketName): Promise<void> {
    const { notifySocket, clock } = this.#options;
    const socket = notifySocket();
    const sent = this.#send(`FDSTOREREMOVE=1\nFDNAME=${name}`);
    // a port that is still held is tried again later
    if (socket === '' || this.#deferred !== undefined || !(await sent)) return;
    await notifyBarrier(socket, clock).catch(() => undefined);
  }

  /** Returns whether it was sent; a failure is logged. */
  #send(state: string, fds: readonly number[] = []): Promise<boolean> {
    const { notifySocket, log } = this.#options;
    if (notifySocket() === '') return Promise.resolve(false);
    const sent = this.#sending
      .then(() => notify(notifySocket(), state, fds))
      .then(
        () => true,
        (thrown: unknown) => {
          log.warn({ reason: toFault(thrown).message }, 'store descriptors at systemd: failed');
          return false;
        },
      );
    this.#sending = sent.then(() => undefined);
    return sent;
  }
}

/** With what systemd has passed to this process; without systemd nothing. */
export function socketsOfSystemd(log: Log): ListeningSockets {
  return new ListeningSockets({
    passed: passedDescriptors(),
    notifySocket,
    clock: realClock(),
    log,
  });
}

function isSocketName(name: string): name is SocketName {
  return (SOCKET_NAMES as readonly string[]).includes(name);
}

/** A duplicate that no child inherits, in place of the descriptor; nothing where none is open. */
function closedOnExec(fd: number): readonly number[] {
  try {
    fstatSync(fd);
  } catch {
    return [];
  }
  const own = duplicateFrom(fd, 3);
  closeFd(fd);
  return [own];
}
