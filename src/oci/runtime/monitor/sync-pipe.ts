/**
 * conmon's reports on its sync pipe (_OCI_SYNCPIPE): one JSON object per line. For a container it is `{"pid": n}` or
 * `{"pid": -1, "message": "…"}`. Parsed strictly, since a wrong pid would be signalled later (F36, F39).
 */
import { monitorLimits } from '../bounds.ts';

export type MonitorReport =
  | { readonly kind: 'value'; readonly value: number }
  /** The monitor reports that the runtime failed. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'invalid'; readonly reason: string };

/** pid_max of 64-bit Linux (proc_sys_kernel(5)). */
const HIGHEST_PID = 2 ** 22;

/** Parses the report of a create: a pid above 1, or a failure. */
export function parseCreateReport(line: string): MonitorReport {
  const report = parseLine(line);
  if (report.kind !== 'value') return report;
  return isPid(report.value) ? report : invalid(`pid ${report.value} is not possible for a container`);
}

function isPid(value: number): boolean {
  // 1 is the machine's own init
  return value > 1 && value <= HIGHEST_PID;
}

function invalid(reason: string): MonitorReport {
  return { kind: 'invalid', reason };
}

function parseLine(line: string): MonitorReport {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return invalid('not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return invalid('not an object');
  const number: unknown = Object.getOwnPropertyDescriptor(value, 'pid')?.value;
  const message: unknown = Object.getOwnPropertyDescriptor(value, 'message')?.value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) return invalid(`"pid" is not an integer`);
  if (message !== undefined && typeof message !== 'string') return invalid('"message" is not a string');
  if (number < 0) return { kind: 'failed', message: (message ?? '').slice(0, monitorLimits.quotedChars) };
  return { kind: 'value', value: number };
}
