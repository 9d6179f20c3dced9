/** Messages between the main thread and the kernel thread: plain data. */
import type { Fault } from '../../base/fault.ts';
import type { Sysctl } from '../../ports/specs.ts';

export interface CgroupHierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  /** Controllers; for a v1 hierarchy without controllers its name, such as `name=systemd`. */
  readonly controllers: readonly string[];
}

export interface CgroupLayout {
  /** 2 when the v2 hierarchy has all controllers; 1 when any is on v1. */
  readonly version: 1 | 2;
  /** v1 with an additional v2 hierarchy. */
  readonly hybrid: boolean;
  /** Usable controllers, sorted, without names. */
  readonly controllers: readonly string[];
  readonly hierarchies: readonly CgroupHierarchy[];
}

/** The record of the previous daemon. */
export interface EarlierDaemon {
  readonly key: string;
  /** Its program, as /proc/PID/exe names it. */
  readonly program: string;
  /** Size of its environment in /proc/PID/environ. */
  readonly environmentBytes: number;
  /**
   * Name of its mount namespace, in which its children are until they execute a program; empty where it was
   * not recorded.
   */
  readonly mounts: string;
}

export interface HelpersOrder extends EarlierDaemon {
  readonly kind: 'helpers';
  /** The boot whose helpers are left alone. */
  readonly boot: string;
  /** More of them. */
  readonly spared?: readonly string[];
  /** Checks only these; all processes when absent. */
  readonly among?: readonly number[];
}

/** Finds processes of the host by words of their command lines; `MarkedScan`. */
export interface MarkedOrder {
  readonly kind: 'marked';
  /** Each is one argument. */
  readonly words: readonly string[];
  /** Zombies of the previous scan, which cannot have forked since. */
  readonly known: readonly number[];
}

export interface MarkedScan {
  readonly found: readonly { readonly pid: number; readonly startTicks: number }[];
  /** False if a listed process exited before it was read: it may have forked a process that is not in the list. */
  readonly isWhole: boolean;
  /** Pids of processes that have exited and are not reaped yet. */
  readonly zombies: readonly number[];
}

export const PIN_KINDS = ['net', 'ipc', 'uts'] as const;
export type PinKind = (typeof PIN_KINDS)[number];

/** File name of a pinned user namespace. It is not among the kinds, since no thread of ours can enter one. */
export const USER_PIN = 'user';

/** The file of each pinned namespace. */
export type PinPaths = { readonly [K in PinKind | typeof USER_PIN]?: string };

export interface PinOrder {
  readonly kind: 'pin';
  /** Absolute; exists already. */
  readonly directory: string;
  readonly kinds: readonly PinKind[];
  readonly hostname?: string;
  readonly sysctls: readonly Sysctl[];
  /** Set when the namespaces exist already, in a process with its own user namespace, which is pinned too. */
  readonly from?: {
    /** `/proc/PID/ns` of the process. */
    readonly path: string;
    /** The host's uid of the user namespace's root. */
    readonly rootUid: number;
  };
}

/** Removes all pins in a directory, and the directory. */
export interface UnpinOrder {
  readonly kind: 'unpin';
  /** Absolute; need not exist. */
  readonly directory: string;
}

/** Creates a socket in another network namespace; the socket stays there whoever uses it. */
export interface SocketOrder {
  readonly kind: 'socket';
  /** The pinned namespace. */
  readonly netns: string;
  readonly family: number;
  readonly type: number;
}

/** Sets parameters of interfaces in a pinned network namespace. */
export interface SysctlOrder {
  readonly kind: 'sysctl';
  readonly netns: string;
  readonly sysctls: readonly Sysctl[];
}

/** Reads a network namespace's net/dev, where no process is in it whose file could be read. */
export interface NetDevOrder {
  readonly kind: 'netDev';
  /** The pinned namespace. */
  readonly netns: string;
}

/** The first IPv4 address of an interface in a network namespace; no value where it is gone or has none. */
export interface Ipv4Order {
  readonly kind: 'ipv4';
  /** The pinned namespace. */
  readonly netns: string;
  readonly name: string;
}

/** An operation on a cgroup in all hierarchies; cgroup-thread.ts says what each returns. */
export interface CgroupOrder {
  readonly kind: 'cgroup';
  readonly act:
    | 'create'
    | 'remove'
    | 'exists'
    | 'list'
    | 'move'
    | 'admit'
    | 'killAtOnce'
    | 'freeze'
    | 'killMembers'
    | 'thaw'
    | 'thawAll';
  readonly layout: CgroupLayout;
  readonly path: string;
  /** The process to move. */
  readonly pid?: number;
}

/** The text of /proc/self/mountinfo. */
export interface MountInfoOrder {
  readonly kind: 'mountInfo';
}

/** What has changed among the mounts since this thread was asked last; `PlacesChange` or `NoPlaces`. */
export interface MountPlacesOrder {
  readonly kind: 'mountPlaces';
}

export interface FoundPlace {
  /** The kernel's unique id, never given again. */
  readonly id: number;
  readonly mountPoint: string;
  readonly fsType: string;
}

export interface PlacesChange {
  /** `found` has all mounts: this thread was asked for the first time, or failed the last time. */
  readonly isWhole: boolean;
  readonly gone: readonly number[];
  /** New ones, and known ones that are elsewhere now. */
  readonly found: readonly FoundPlace[];
}

/** The kernel's table has to be read. */
export interface NoPlaces {
  /** Why the calls failed; absent where they do not exist, and while they are not tried. */
  readonly refusal?: string;
}

/** Answered at once: the thread takes requests. */
export interface PingOrder {
  readonly kind: 'ping';
}

export type ThreadOrder =
  | PinOrder
  | UnpinOrder
  | SocketOrder
  | SysctlOrder
  | NetDevOrder
  | Ipv4Order
  | CgroupOrder
  | MountInfoOrder
  | MountPlacesOrder
  | HelpersOrder
  | MarkedOrder
  | PingOrder;

export interface ThreadRequest {
  readonly id: number;
  /** A cgroup's with the layout's number in place of the layout. */
  readonly order:
    | Exclude<ThreadOrder, CgroupOrder>
    | (Omit<CgroupOrder, 'layout'> & { readonly layout: number });
  /** What the order's number stands for from now on; absent if this worker has it. */
  readonly layout?: CgroupLayout;
}

export interface ThreadAnswer {
  readonly id: number;
  /** For a socket request the descriptor: it belongs to the process, whichever thread opened it. */
  readonly value?: unknown;
  readonly failure?: Fault;
  /** The errno's name, where the failure has one. */
  readonly code?: string;
  /** The thread is no longer in the host's namespaces and must not be used again. */
  readonly isLost: boolean;
}

/** What the worker gets at its start: descriptors of the host's namespaces. */
export interface WorkerStart {
  readonly host: readonly {
    readonly kind: PinKind;
    readonly fd: number;
    /** Such as `net:[4026531840]`. */
    readonly name: string;
  }[];
}
