/**
 * The deadline of a call, read from its headers. The deadline that grpc-js 1.14.7 computes is not used: it is a time of
 * the wall clock, which an administrator may set during a call (F78).
 */
import type { ClockPort } from '../../ports/clock.ts';
import { edgeLimits } from '../bounds.ts';

/**
 * A header of our own that carries the deadline (ClockPort.monoMs) to the call's handler. A client's value is deleted.
 */
export const DEADLINE_HEADER = 'troupe-deadline-mono-ms';

/** Units of `grpc-timeout` (gRPC over HTTP/2), in milliseconds. */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

type Headers = Record<string, string | string[] | undefined>;

/**
 * Adds the deadline to the headers and shortens a long timeout. The library keeps milliseconds in 32 bits: 25 days or
 * more (a StopContainer with a grace period of a month) overflow, and the call ends at once with DeadlineExceeded.
 */
export function noteDeadline(headers: Headers, clock: Pick<ClockPort, 'monoMs'>): void {
  // only where it is there: V8 reads an object from which something was deleted more slowly
  if (DEADLINE_HEADER in headers) delete headers[DEADLINE_HEADER];
  const timeout = headers['grpc-timeout'];
  const match = typeof timeout === 'string' ? /^(\d{1,8})([HMSmun])$/u.exec(timeout) : null;
  if (match === null) return;
  const ms = Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0);
  const longestMs = edgeLimits.longestDeadlineS * 1000;
  if (ms > longestMs) headers['grpc-timeout'] = `${edgeLimits.longestDeadlineS}S`;
  headers[DEADLINE_HEADER] = String(clock.monoMs() + Math.min(ms, longestMs));
}
