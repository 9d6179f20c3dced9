/** What the kernel thread and the main thread say to each other: plain data. */
import type { Fault } from '../base/fault.ts';
import type { CgroupLayout } from './cgroup-layout.ts';
import type { HelpersOrder } from './helper-scan.ts';
import type { Sysctl } from './sysctl.ts';

export const PIN_KINDS = ['net', 'ipc', 'uts'] as const;
export type PinKind = (typeof PIN_KINDS)[number];

/** The file of a pinned user namespace, beside those of the kinds: no thread of ours can enter one. */
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
  /** The namespaces are there already, in a process with a user namespace, which is pinned, too. */
  readonly from?: {
    /** `/proc/PID/ns` of the process. */
    readonly path: string;
    /** The user namespace's root, as the host numbers it. */
    readonly rootUid: number;
  };
}

/** An end of all pins in a directory, and of the directory. */
export interface UnpinOrder {
  readonly kind: 'unpin';
  /** Absolute; need not be there. */
  readonly directory: string;
}

/** A socket that belongs to another network namespace: it stays there whoever uses it. */
export interface SocketOrder {
  readonly kind: 'socket';
  /** The pinned namespace. */
  readonly netns: string;
  readonly family: number;
  readonly type: number;
}

/** Parameters of interfaces in a network namespace that is pinned already. */
export interface SysctlOrder {
  readonly kind: 'sysctl';
  readonly netns: string;
  readonly sysctls: readonly Sysctl[];
}

/** What the interfaces of a network namespace have counted, where no process is in it to be asked: the text of its net/dev. */
export interface NetDevOrder {
  readonly kind: 'netDev';
  /** The pinned namespace. */
  readonly netns: string;
}

/** What is to be done with a cgroup in all hierarchies; what each gives stands in cgroup-thread.ts. */
export interface CgroupOrder {
  readonly kind: 'cgroup';
  readonly act:
    | 'create'
    | 'remove'
    | 'exists'
    | 'list'
    | 'move'
    | 'killAtOnce'
    | 'freeze'
    | 'killMembers'
    | 'thaw';
  readonly layout: CgroupLayout;
  readonly path: string;
  /** The process to be moved. */
  readonly pid?: number;
}

/** The text of /proc/self/mountinfo. */
export interface MountInfoOrder {
  readonly kind: 'mountInfo';
}

export type ThreadOrder =
  | PinOrder
  | UnpinOrder
  | SocketOrder
  | SysctlOrder
  | NetDevOrder
  | CgroupOrder
  | MountInfoOrder
  | HelpersOrder;

export interface ThreadRequest {
  readonly id: number;
  readonly order: ThreadOrder;
}

export interface ThreadAnswer {
  readonly id: number;
  /** For a socket order the descriptor: it belongs to the process, whichever of its threads opened it. */
  readonly value?: unknown;
  readonly failure?: Fault;
  /** The errno's name, where the failure has one. */
  readonly code?: string;
  /** The thread is not in the host's namespaces any more and must not be used again. */
  readonly isLost: boolean;
}

/** What the worker gets at its start: the host's namespaces. */
export interface WorkerStart {
  readonly host: readonly {
    readonly kind: PinKind;
    readonly fd: number;
    /** Such as `net:[4026531840]`. */
    readonly name: string;
  }[];
}
