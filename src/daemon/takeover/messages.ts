/** What two daemons say to each other over the socket `take-over.sock` (docs/takeover.md). */
import type { EventsBefore } from '../../cri/call/kept-events.ts';
import type { ServiceManager } from '../config/from-systemd.ts';
import type { HandedToken } from '../../cri/streaming/tokens.ts';

/** Raised when a daemon of the version before could not understand the other one. */
export const TAKE_OVER_PROTOCOL = 1;

/** A directory, whatever path leads to it. */
export interface FileId {
  readonly dev: string;
  readonly ino: string;
}

/** The new daemon asks to take over. */
export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly version: string;
  /** The newest version of the journal that it reads; it stands for all below root and state (docs/versions.md). */
  readonly journal: number;
  readonly root: FileId;
  readonly state: FileId;
  /** Path of the CRI socket. */
  readonly socket: string;
  /** A plain start: takes over only where the daemon that had taken over has ended. */
  readonly isRescue: boolean;
}

/** The former daemon has released lock and journal. Its listening sockets come along, in the order of the names. */
export interface Released {
  readonly type: 'released';
  readonly sockets: readonly string[];
  /** Where the unit's main process reports. */
  readonly service: ServiceManager;
  readonly tokens: readonly HandedToken[];
  readonly events: EventsBefore;
}

/** A daemon that holds sessions of before wants to know what happens: the events since a moment. */
export interface Follow {
  readonly type: 'follow';
  readonly protocol: number;
  readonly version: string;
  /** Nanoseconds; that of the last event that it knows. */
  readonly sinceNs: string;
  /** The feed that has sent that one (`EventPosition`); 0.1.0 does not say it. */
  readonly sinceFeed?: string | undefined;
  /** Wall clock, nanoseconds: when it handed over. */
  readonly handedNs: string;
  readonly sessions: number;
}

/** Asks the daemon to start a program that takes over from it. */
export interface Upgrade {
  readonly type: 'upgrade';
  readonly protocol: number;
  /** Absolute path of the launcher; undefined: the one of the daemon's own path. */
  readonly program?: string | undefined;
  /** Identity of the program: only if the daemon runs another one. */
  readonly unless?: string;
}

/** In the order in which they are sent: each by the side that its comment names. */
export type Message =
  | Hello
  /** Former: why not. The connection ends. */
  | { readonly type: 'refused'; readonly reason: string }
  /** Former: no effect begins any more. */
  | { readonly type: 'freezing'; readonly pid: number; readonly version: string }
  | Released
  /** New: has recovered, and accepts no call before the answer. */
  | { readonly type: 'recovered' }
  /** Former: accepts no connection any more and asks the new one whatever it is asked. */
  | { readonly type: 'passed' }
  /** New: accepts calls. */
  | { readonly type: 'serving' }
  /** Former: systemd knows the new one as the main process, and takes its reports. */
  | { readonly type: 'named' }
  | Follow
  /** To a follower: events since that moment are no longer known. */
  | { readonly type: 'gap' }
  /** To a follower: one event, encoded, in base64; its time and feed; what of it the follower has to know. */
  | {
      readonly type: 'event';
      readonly message: string;
      readonly ns: string;
      readonly feed?: string | undefined;
      readonly id: string;
      readonly sandboxId: string;
      readonly event: string;
    }
  /** From a follower: how many sessions it holds now. */
  | { readonly type: 'holds'; readonly sessions: number }
  /** To a follower: this daemon hands over, too. Ask the next one. */
  | { readonly type: 'moved' }
  /** To a follower: the daemon is being stopped, not replaced. */
  | { readonly type: 'stopping' }
  | Upgrade
  /** To who asked for an upgrade: a step has been done. */
  | { readonly type: 'step'; readonly text: string }
  /** To who asked for an upgrade: the program is the one that runs. */
  | { readonly type: 'unchanged' }
  /** To who asked for an upgrade: the other daemon serves. */
  | { readonly type: 'done' };

type Kind = 'number' | 'string' | 'boolean' | 'object';

/** The required fields of each message. What they hold is checked where it is used. */
const FIELDS: Readonly<Record<Message['type'], Readonly<Record<string, Kind>>>> = {
  hello: {
    protocol: 'number',
    version: 'string',
    journal: 'number',
    root: 'object',
    state: 'object',
    socket: 'string',
    isRescue: 'boolean',
  },
  refused: { reason: 'string' },
  freezing: { pid: 'number', version: 'string' },
  released: { sockets: 'object', service: 'object', tokens: 'object', events: 'object' },
  recovered: {},
  passed: {},
  serving: {},
  named: {},
  follow: {
    protocol: 'number',
    version: 'string',
    sinceNs: 'string',
    handedNs: 'string',
    sessions: 'number',
  },
  gap: {},
  event: { message: 'string', ns: 'string', id: 'string', sandboxId: 'string', event: 'string' },
  holds: { sessions: 'number' },
  moved: {},
  stopping: {},
  upgrade: { protocol: 'number' },
  step: { text: 'string' },
  unchanged: {},
  done: {},
};

/** Whether it has a known type and that type's fields. Both sides run as root, and speak the same protocol. */
export function isMessage(value: object): value is Message {
  const { type } = value as { readonly type?: unknown };
  if (typeof type !== 'string' || !Object.hasOwn(FIELDS, type)) return false;
  if (type === 'upgrade' && !['string', 'undefined'].includes(typeof Reflect.get(value, 'program')))
    return false;
  const fields = Object.entries(FIELDS[type as Message['type']]);
  return fields.every(([name, kind]) => {
    const field: unknown = Reflect.get(value, name);
    return field !== null && typeof field === kind;
  });
}
