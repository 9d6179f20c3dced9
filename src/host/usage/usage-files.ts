/** Parsers of the kernel's accounting files. Pure. */
import type { InterfaceUsage, Pressure, PressureLine } from '../../ports/stats.ts';

/** Parses `name value` lines, as in memory.stat and cpu.stat (cgroups v1 memory.txt, cgroup-v2.rst). */
export function parseFlat(text: string): ReadonlyMap<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' ');
    if (name !== undefined && value !== undefined && /^\d+$/u.test(value)) values.set(name, BigInt(value));
  }
  return values;
}

/** As `parseFlat`, but only these names: reading a hundred containers gives thousands of unused lines. */
export function parseChosen<N extends string>(text: string, names: readonly N[]): ReadonlyMap<N, bigint> {
  const values = new Map<N, bigint>();
  for (const name of names) {
    const at = text.startsWith(`${name} `) ? 0 : text.indexOf(`\n${name} `) + 1;
    if (at === 0 && !text.startsWith(`${name} `)) continue;
    const from = at + name.length + 1;
    const end = text.indexOf('\n', from);
    const value = parseNumber(text.slice(from, end < 0 ? undefined : end));
    if (value !== undefined) values.set(name, value);
  }
  return values;
}

/** Parses a file with one number; undefined for `max` and for anything else. */
export function parseNumber(text: string | undefined): bigint | undefined {
  const trimmed = text?.trim() ?? '';
  return /^\d+$/u.test(trimmed) ? BigInt(trimmed) : undefined;
}

/** Parses a pressure file with the lines `some …` and `full …`; undefined when it is empty (PSI disabled). */
export function parsePressure(text: string | undefined): Pressure | undefined {
  const lines = new Map((text ?? '').split('\n').map((line) => [line.split(' ', 1)[0] ?? '', line]));
  const some = pressureLine(lines.get('some'));
  if (some === undefined) return undefined;
  // before 5.13 the kernel has no `full` line for CPU
  return { some, full: pressureLine(lines.get('full')) ?? { avg10: 0, avg60: 0, avg300: 0, totalUs: 0n } };
}

function pressureLine(line: string | undefined): PressureLine | undefined {
  const found = /avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=(\d+)/u.exec(line ?? '');
  if (found === null) return undefined;
  const [, avg10, avg60, avg300, total = '0'] = found;
  return { avg10: Number(avg10), avg60: Number(avg60), avg300: Number(avg300), totalUs: BigInt(total) };
}

/** Parses /proc/PID/net/dev, without loopback (proc_pid_net(5)). */
export function parseNetDev(text: string): readonly InterfaceUsage[] {
  return text.split('\n').flatMap((line) => {
    const colon = line.indexOf(':');
    if (colon < 0) return [];
    const name = line.slice(0, colon).trim();
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/u);
    const numbers = [0, 1, 2, 3, 8, 9, 10, 11]
      .map((column) => parseNumber(fields[column]))
      .filter((value) => value !== undefined);
    const [rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped] = numbers;
    // when the last column exists, all before it do
    if (
      name === 'lo' ||
      rxBytes === undefined ||
      rxPackets === undefined ||
      rxErrors === undefined ||
      rxDropped === undefined
    )
      return [];
    if (txBytes === undefined || txPackets === undefined || txErrors === undefined || txDropped === undefined)
      return [];
    return [{ name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }];
  });
}

/** I/O on one device. */
export interface DeviceOperations {
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
  readonly reads: bigint;
  readonly writes: bigint;
}

/** io.stat (cgroup-v2.rst): `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`, by `major:minor`. */
export function parseIoStat(text: string): ReadonlyMap<string, DeviceOperations> {
  const devices = new Map<string, DeviceOperations>();
  for (const line of text.split('\n')) {
    const [numbers = '', ...pairs] = line.split(' ');
    if (!DEVICE.test(numbers)) continue;
    const values = new Map(
      pairs.map((pair) => [
        pair.split('=', 1)[0] ?? '',
        parseNumber(pair.slice(pair.indexOf('=') + 1)) ?? 0n,
      ]),
    );
    const value = (name: string): bigint => values.get(name) ?? 0n;
    devices.set(numbers, {
      readBytes: value('rbytes'),
      writtenBytes: value('wbytes'),
      reads: value('rios'),
      writes: value('wios'),
    });
  }
  return devices;
}

const DEVICE = /^\d+:\d+$/u;

/**
 * Parses v1's blkio files: lines `8:0 Read 123` and `8:0 Write 4`; other operations are skipped
 * (blkio-controller.rst).
 */
export function parseDeviceTable(
  text: string,
): ReadonlyMap<string, { readonly read: bigint; readonly written: bigint }> {
  const devices = new Map<string, { readonly read: bigint; readonly written: bigint }>();
  for (const line of text.split('\n')) {
    const [numbers = '', operation, count] = line.split(' ');
    const value = parseNumber(count);
    if (!DEVICE.test(numbers) || value === undefined) continue;
    const sofar = devices.get(numbers) ?? { read: 0n, written: 0n };
    if (operation === 'Read') devices.set(numbers, { ...sofar, read: value });
    if (operation === 'Write') devices.set(numbers, { ...sofar, written: value });
  }
  return devices;
}
