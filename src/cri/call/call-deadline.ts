/**
 * When a call's time is over, read from its headers. What grpc-js 1.14.7 makes of them is of no use here: it keeps the moment
 * by the wall clock, which somebody may set between two calls or in the middle of one (F78).
 */
import type { ClockPort } from '../../ports/clock.ts';
import { edgeLimits } from '../bounds.ts';

/** Our own header between the wire and a call's handler: its deadline (ClockPort.monoMs). What a client sends under it does not count. */
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
 * Notes the deadline among the headers and cuts a long timeout. The library keeps its milliseconds in 32 bits: 25 days or
 * more (a StopContainer with a grace time of a month) overflow and the call ends at once with DeadlineExceeded.
 */
export function noteDeadline(headers: Headers, clock: Pick<ClockPort, 'monoMs'>): void {
  delete headers[DEADLINE_HEADER];
  const timeout = headers['grpc-timeout'];
  const match = typeof timeout === 'string' ? /^(\d{1,8})([HMSmun])$/u.exec(timeout) : null;
  if (match === null) return;
  const ms = Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0);
  const longestMs = edgeLimits.longestDeadlineS * 1000;
  if (ms > longestMs) headers['grpc-timeout'] = `${edgeLimits.longestDeadlineS}S`;
  headers[DEADLINE_HEADER] = String(clock.monoMs() + Math.min(ms, longestMs));
}
