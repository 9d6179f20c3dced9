/** Decides how long to wait between attempts. */
import { fault, FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import type { RandomPort } from '../../../ports/random.ts';
import { pause } from '../../../host/clock/wait.ts';

/**
 * Statuses after which the same request may succeed (RFC 9110, RFC 6585). Cloudflare, which serves Docker Hub's blobs,
 * uses 520 to 524 for failures of the origin server.
 */
const TRANSIENT: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524]);

export function isTransient(status: number): boolean {
  return TRANSIENT.has(status);
}

/** ms of a Retry-After header (seconds or an HTTP date), from 0 to the cap; undefined if it is not usable (F63). */
export function retryAfterMs(header: string | undefined, nowNs: bigint): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  if (/^[0-9]+$/u.test(text)) return Math.min(Number(text) * 1000, distributionLimits.longestWaitMs);
  // an HTTP date starts with the day's name; Date.parse alone accepts nearly anything
  if (!/^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/u.test(text)) return undefined;
  const date = Date.parse(text);
  if (Number.isNaN(date)) return undefined;
  return Math.min(Math.max(0, date - Number(nowNs / 1_000_000n)), distributionLimits.longestWaitMs);
}

/**
 * ms before the next attempt. A wait that the registry requested is extended by a random tenth at most, so that clients
 * rejected at the same time do not return at the same time. Otherwise the wait doubles each time, and half of it is
 * random.
 */
export function waitMs(attempt: number, askedMs: number | undefined, random: RandomPort): number {
  const fraction = Number.parseInt(random.token(4), 16) / 2 ** 32;
  const base = distributionLimits.backoffMs * 2 ** Math.min(attempt - 1, 16);
  const ms = askedMs === undefined ? base * (0.5 + fraction / 2) : askedMs * (1 + fraction / 10);
  return Math.min(Math.round(ms), distributionLimits.longestWaitMs);
}

/** Waits between two attempts. Rejects as soon as the signal is aborted. */
export async function backOff(
  clock: ClockPort,
  ms: number,
  signal: AbortSignal,
  attempted: string,
): Promise<void> {
  await pause(clock, ms, signal).catch(() => {
    throw cancelled(signal, attempted);
  });
}

/** The Fault for an aborted signal: its reason if that is a Fault, else `cancelled`. */
export function cancelled(signal: AbortSignal, attempted: string): FaultError {
  const reason: unknown = signal.reason;
  if (reason instanceof FaultError) return reason;
  return new FaultError(fault('cancelled', `${attempted}: cancelled`));
}
