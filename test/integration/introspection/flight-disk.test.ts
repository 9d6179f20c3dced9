// F21: the segments of the flight recorder on a disk that is full, and has room again.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { openFlight, pastFlight } from '../../../src/daemon/wiring/flight-files.ts';
import { flightLimits as limits } from '../../../src/introspection/bounds.ts';
import { FlightRecorder } from '../../../src/introspection/flight/flight.ts';
import { readEntries } from '../../../src/introspection/flight/read.ts';
import { FlightWriter } from '../../../src/introspection/flight/writer.ts';
import { injects } from '../../support/faults/injects.ts';
import { until } from '../../support/eventually.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const noSpace = injects('F21', 'no space for the segments of the flight recorder');

/** A file system of that many KiB. */
function smallDisk(kib: number): string {
  const path = mkdtempSync(join(tmpdir(), 'troupe-flight-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', path]);
  onTestFinished(() => {
    execFileSync('umount', [path]);
    rmSync(path, { recursive: true });
  });
  return path;
}

/** A recorder that writes below this directory, and what it logs. */
function recorderIn(directory: string) {
  const clock = new HandClock(1_700_000_000_000);
  const flight = new FlightRecorder({ clock, version: '1', pid: 7, bootId: 'b' });
  const lines: string[] = [];
  const say = (_fields: object, text: string) => void lines.push(text);
  const open = () => openFlight(directory);
  const writer = new FlightWriter({
    flight,
    clock,
    log: { ...silentLog, warn: say, info: say },
    pid: 7,
    open,
  });
  return { clock, flight, lines, writer };
}

unless(test, notRoot())(
  'F21: a full disk makes a gap in the recording, which says how large it is',
  async () => {
    const disk = smallDisk(256);
    const directory = join(disk, 'flight');
    const { clock, flight, lines, writer } = recorderIn(directory);
    const note = (id: string): void => flight.call({ origin: 'StopContainer', requestId: id })('unknown');
    const recorded = async (): Promise<readonly (string | number)[]> => {
      const past = pastFlight(directory);
      const texts = await Promise.all((await past.list()).map((name) => past.read(name)));
      return readEntries(texts.map((text) => text ?? '')).entries.flatMap((entry): (string | number)[] =>
        entry.kind === 'call' ? [entry.requestId] : entry.kind === 'dropped' ? [entry.count] : [],
      );
    };
    note('before');
    clock.pass(limits.flushMs);
    await until(async () => (await recorded()).includes('before'));
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    mkdirSync(join(disk, 'others'));
    const filler = join(disk, 'others', 'large');
    try {
      writeFileSync(filler, Buffer.alloc(1024 * 1024));
    } catch {
      noSpace.happened();
    }
    // more than the page that the segment has
    for (let at = 0; at < 100; at += 1) note(`lost-${at}`);
    clock.pass(limits.flushMs);
    await until(() => lines.length === 1);
    const segments = readdirSync(directory).length;
    clock.pass(limits.writeAgainMs + limits.flushMs);
    await until(() => clock.timers.size === 1);
    // an attempt in vain leaves no segment
    expect([readdirSync(directory).length, lines.length]).toEqual([segments, 1]);
    rmSync(filler);
    clock.pass(limits.writeAgainMs + limits.flushMs);
    await until(() => lines.length === 2);
    note('after');
    clock.pass(limits.flushMs);
    await until(async () => (await recorded()).includes('after'));
    const all = await recorded();
    const gap = all.find((one) => typeof one === 'number') ?? 0;
    expect([all[0], all.at(-1), gap]).toEqual(['before', 'after', 100]);
    expect(lines).toEqual([
      'write flight recorder: failed, entries are kept in memory only',
      'write flight recorder: entries are written again',
    ]);
    await writer.close();
    for (const name of readdirSync(directory))
      expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(directory, readdirSync(directory).toSorted()[0] ?? ''), 'utf8')).toContain(
      '"boot"',
    );
  },
);
