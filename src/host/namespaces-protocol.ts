/** What the namespace worker and the main thread say to each other: plain data. */
import type { Fault } from '../base/fault.ts';
import type { Sysctl } from './sysctl.ts';

export const PIN_KINDS = ['net', 'ipc', 'uts'] as const;
export type PinKind = (typeof PIN_KINDS)[number];

/** The file of each pinned namespace. */
export type PinPaths = { readonly [K in PinKind]?: string };

export interface PinOrder {
  readonly id: number;
  /** Absolute; exists already. */
  readonly directory: string;
  readonly kinds: readonly PinKind[];
  readonly hostname?: string;
  readonly sysctls: readonly Sysctl[];
}

export interface PinAnswer {
  readonly id: number;
  readonly failure?: Fault;
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
