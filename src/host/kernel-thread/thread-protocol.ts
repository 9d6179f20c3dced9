/** What the kernel thread and the main thread say to each other: plain data. */
import type { Fault } from '../../base/fault.ts';

export interface CgroupHierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  /** Controllers, or for a v1 hierarchy without any its name, such as `name=systemd`. */
  readonly controllers: readonly string[];
}

export interface CgroupLayout {
  /** 2 when the v2 hierarchy has all controllers; 1 when any is on v1. */
  readonly version: 1 | 2;
  /** v1 with a v2 hierarchy beside it. */
  readonly hybrid: boolean;
  /** Usable controllers, sorted, without names. */
  readonly controllers: readonly string[];
  readonly hierarchies: readonly CgroupHierarchy[];
}

export interface Sysctl {
  /** With dots or slashes, as sysctl(8) takes it: `net.ipv4.ip_forward`, `net/ipv4/conf/eth0.1/forwarding`. */
  readonly name: string;
  readonly value: string;
}

/** What is known of the daemon before this one. */
export interface Predecessor {
  readonly key: string;
  /** Its program, as /proc/PID/exe told it. */
  readonly program: string;
  /** Of its environment, as /proc/PID/environ told it. */
  readonly environmentBytes: number;
  /** Name of its mount namespace, which its children have until they are a program; empty where that was not recorded. */
  readonly mounts: string;
}

export interface HelpersOrder extends Predecessor {
  readonly kind: 'helpers';
  /** The one whose helpers are left alone. */
  readonly life: string;
  /** Only these are looked at; all processes when left out. */
  readonly among?: readonly number[];
}

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
