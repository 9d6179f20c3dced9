/** Parsers of the kernel's accounting files. Pure. */
import type { InterfaceUsage, Pressure, PressureLine } from '../actors/ports/stats.ts';

/** `name value` lines, as memory.stat and cpu.stat have them (cgroups v1 memory.txt, cgroup-v2.rst). */
export function parseFlat(text: string): ReadonlyMap<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' ');
    if (name !== undefined && value !== undefined && /^\d+$/u.test(value)) values.set(name, BigInt(value));
  }
  return values;
}

/** A file with one number; undefined for `max` and for anything else. */
export function parseNumber(text: string | undefined): bigint | undefined {
  const trimmed = text?.trim() ?? '';
  return /^\d+$/u.test(trimmed) ? BigInt(trimmed) : undefined;
}

/** A pressure file: two lines `some …` and `full …`; undefined when it is empty (PSI off). */
export function parsePressure(text: string | undefined): Pressure | undefined {
  const lines = new Map((text ?? '').split('\n').map((line) => [line.split(' ', 1)[0] ?? '', line]));
  const some = pressureLine(lines.get('some'));
  if (some === undefined) return undefined;
  // the kernel has no `full` for CPU before 5.13
  return { some, full: pressureLine(lines.get('full')) ?? { avg10: 0, avg60: 0, avg300: 0, totalUs: 0n } };
}

function pressureLine(line: string | undefined): PressureLine | undefined {
  const found = /avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=(\d+)/u.exec(line ?? '');
  if (found === null) return undefined;
  const [, avg10, avg60, avg300, total = '0'] = found;
  return { avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300), totalUs: BigInt(total) };
}

/** /proc/PID/net/dev without loopback (proc_pid_net(5)). */
export function parseNetDev(text: string): readonly InterfaceUsage[] {
  return text.split('\n').flatMap((line) => {
    const colon = line.indexOf(':');
    if (colon < 0) return [];
    const name = line.slice(0, colon).trim();
    const fields = line.slice(colon + 1).trim().split(/\s+/u);
    const [rxBytes, rxErrors, txBytes, txErrors] = [fields[0], fields[2], fields[8], fields[10]].map((field) => parseNumber(field));
    if (name === 'lo' || rxBytes === undefined || rxErrors === undefined || txBytes === undefined || txErrors === undefined) return [];
    return [{ name, rxBytes, rxErrors, txBytes, txErrors }];
  });
}
