/** What a hand-over needs of the daemon that hands over, which `../wiring/hand-over.ts` gives it. */
import type { HostIdentity } from '../../host/process/process-identity.ts';
import type { Hello, Released } from './messages.ts';

/** The processes of this machine. */
export interface Peers {
  /** Undefined when no process has this pid. */
  identify(pid: number): HostIdentity | undefined;
  exists(peer: HostIdentity): boolean;
  /** SIGKILL. */
  kill(peer: HostIdentity): void;
  /** SIGTERM. */
  terminate(peer: HostIdentity): void;
}

/** What a daemon can do for its hand-over. */
export interface HandingNode {
  readonly version: string;
  readonly peers: Peers;
  /** Why this daemon can't be taken over from by whoever says this; undefined if it can. */
  refusalOf(hello: Hello): string | undefined;
  /** From now on no effect begins, and calls that change something wait. */
  freeze(): void;
  /** Goes on as before. */
  thaw(): void;
  /**
   * Settles once no effect is in progress that changes the node. Aborts what is left when `late` does, and nothing any
   * more when `off` does: the hand-over was called off.
   */
  landed(late: AbortSignal, off: AbortSignal): Promise<void>;
  /** Effects that `landed` waits for, for messages. */
  landing(): readonly string[];
  /** Closes the journal, releases the lock, and gives its listening sockets. There is no way back. Called once. */
  release(): Promise<Parcel>;
  /** What event streams that began here have got by now, from this daemon and from those after it. */
  shown(): Released['events'];
  /** Makes room for the other daemon's control socket. Repeatable. */
  pass(): Promise<void>;
  /**
   * The other daemon accepts calls: this one accepts no connection any more, and asks it whatever it is asked. Settles
   * when the service manager takes it for the unit's main process. Never rejects.
   */
  servedBy(pid: number): Promise<void>;
  /** The process that holds the root's lock: it serves, or is about to. */
  holder(): Promise<number | undefined>;
  /** The next daemon must be able to reach this one; called when the one that took over has failed. */
  listenAgain(): Promise<void>;
  /**
   * Why only another program than this one can take over: the journal has a format by now that this one does not read.
   * Undefined where one like this can. From then on `refusalOf` refuses programs that do not read it.
   * @param by the version of the daemon that had taken over
   */
  migrated(by: string): Promise<string | undefined>;
  /** Starts the program at this daemon's own path, to take over. */
  startSuccessor(): Promise<HostIdentity>;
  /** Whether the service manager starts another daemon if the one that serves ends: it knows that one. */
  isRestarted(): boolean;
  /** No daemon serves, and none comes. */
  abandoned(): void;
}

/** What the new daemon gets. */
export interface Parcel {
  readonly message: Released;
  readonly fds: readonly number[];
}

export type HandingState = 'serving' | 'handing' | 'released' | 'passed';
