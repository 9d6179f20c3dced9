/**
 * What the flight recorder keeps of the last hour: calls, events that reached machines, effects. Each entry is plain
 * JSON (64-bit integers as decimal strings), so that a line of a file is `JSON.stringify` of it. Times are monotonic
 * milliseconds of this boot of the machine (`ClockPort.monoMs`); `clock` entries map them to the wall clock.
 */
import type { PastWait } from '../../actors/effects/activity.ts';
import type { FaultKind } from '../../base/fault.ts';

/** JSON values of an entry. */
export type Fact = null | boolean | number | string | readonly Fact[] | Facts;
export interface Facts {
  readonly [key: string]: Fact | undefined;
}

/** The first entry of an instance of the daemon: actors of earlier entries no longer exist. */
export interface BootEntry {
  readonly kind: 'boot';
  /** Of `storedVersions.flight`; absent in files of versions before 0.1.0. */
  readonly format?: number | undefined;
  readonly atMs: number;
  /** Wall clock, nanoseconds since the epoch. */
  readonly wallNs: string;
  readonly version: string;
  readonly pid: number;
  /** Of the machine (boot_id): with another one `atMs` counts from elsewhere. Earlier versions did not write it. */
  readonly bootId?: string | undefined;
}

/**
 * The wall clock at a monotonic time. It begins a segment: the first event of each actor after it carries the actor's
 * facts, so that a segment can be read without the ones before.
 */
export interface ClockEntry {
  readonly kind: 'clock';
  readonly atMs: number;
  readonly wallNs: string;
  /** As that of the boot before it, which may be in a segment that was deleted. */
  readonly bootId?: string | undefined;
}

/** A call of a client. Reads and probes that were quick and succeeded are not kept. */
export interface CallEntry {
  readonly kind: 'call';
  readonly atMs: number;
  /** Undefined while it is in progress. */
  readonly endMs: number | undefined;
  readonly method: string;
  readonly requestId: string;
  /** gRPC code name; empty while it is in progress. */
  readonly code: string;
  /** Addresses of the actors that it waited for. */
  readonly actors: readonly string[];
}

/** An effect of an actor. */
export interface EffectEntry {
  readonly kind: 'effect';
  readonly atMs: number;
  /** Undefined while it is in progress. */
  readonly endMs: number | undefined;
  readonly actor: string;
  readonly effect: string;
  readonly outcome: 'ok' | 'failed' | 'timedOut' | 'cancelled' | 'running';
  /** Kind of its fault, and the reason where it is a known one: the message may quote a command (S91). */
  readonly fault?: FaultKind | undefined;
  readonly reason?: string | undefined;
  readonly waits?: readonly PastWait[] | undefined;
}

/** An event that an actor's machine has handled, with the state after it. */
export interface EventEntry {
  readonly kind: 'event';
  readonly atMs: number;
  readonly actor: string;
  /** The event's type. */
  readonly on: string;
  /** State path after it. */
  readonly to: string;
  readonly settled: boolean;
  /** RPC and request id where a client caused it. */
  readonly cause?: string | undefined;
  /** Effects that the machine starts with it, by the names in the machine. Earlier versions did not write it. */
  readonly starts?: readonly string[] | undefined;
  /** What the machines read of the event (`reduce.ts`). */
  readonly payload?: Facts | undefined;
  /** The first event of the actor in a segment: the state value and the context after it. */
  readonly value?: Fact | undefined;
  readonly context?: Facts | undefined;
}

/** Entries that were dropped before this one, because the disk was slower than they came, or refused them. */
export interface DroppedEntry {
  readonly kind: 'dropped';
  readonly atMs: number;
  readonly count: number;
}

export type FlightEntry = BootEntry | ClockEntry | CallEntry | EffectEntry | EventEntry | DroppedEntry;

/** When an entry was made: what lasts is recorded when it ends. Entries are written in this order. */
export function writtenMs(entry: FlightEntry): number {
  return 'endMs' in entry ? (entry.endMs ?? entry.atMs) : entry.atMs;
}

/** What an inspector passes on of one handled event. */
export interface SeenEvent {
  readonly address: string;
  /** State path after it. */
  readonly to: string;
  readonly settled: boolean;
  readonly final: boolean;
  readonly event: { readonly type: string };
  readonly context: object;
  readonly value: unknown;
  readonly starts: readonly string[];
}
