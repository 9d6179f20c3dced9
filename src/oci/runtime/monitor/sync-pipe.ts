/**
 * What conmon says on its sync pipe (_OCI_SYNCPIPE): one JSON object per line. For a container
 * `{"pid": n}` or `{"pid": -1, "message": "…"}`. Parsed strictly, since a wrong pid would be signalled later (F36, F39).
 */
import { monitorLimits } from '../bounds.ts';

export type Report =
  | { readonly kind: 'value'; readonly value: number }
  /** The monitor says that the runtime failed. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'garbage'; readonly reason: string };

/** pid_max of 64-bit Linux (proc_sys_kernel(5)). */
const HIGHEST_PID = 2 ** 22;

/** One line for a container's create: a pid above 1 or a failure. */
export function parseCreateReport(line: string): Report {
  const report = parseLine(line);
  if (report.kind !== 'value') return report;
  return isPid(report.value) ? report : garbage(`pid ${report.value} is none that a container can have`);
}

function isPid(value: number): boolean {
  // 1 would be the machine's own init
  return value > 1 && value <= HIGHEST_PID;
}

function garbage(reason: string): Report {
  return { kind: 'garbage', reason };
}

function parseLine(line: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return garbage('not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return garbage('not an object');
  const number: unknown = Object.getOwnPropertyDescriptor(value, 'pid')?.value;
  const message: unknown = Object.getOwnPropertyDescriptor(value, 'message')?.value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) return garbage(`no whole number "pid"`);
  if (message !== undefined && typeof message !== 'string') return garbage('"message" is no text');
  if (number < 0) return { kind: 'failed', message: (message ?? '').slice(0, monitorLimits.quotedChars) };
  return { kind: 'value', value: number };
}
