// Reading a log that grows, is rotated, truncated or replaced by something else.
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { programLimits } from '../../../../src/daemon/bounds.ts';
import { copyLog } from '../../../../src/daemon/programs/follow-log.ts';
import type { LogRequest } from '../../../../src/daemon/programs/follow-log.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { runOrThrow } from '../../../support/run.ts';

const at = (second: number): string => `2026-11-23T06:00:${String(second).padStart(2, '0')}.000000000+00:00`;
const entry = (text: string, tag = 'F', stream = 'stdout', second = 0): string =>
  `${at(second)} ${stream} ${tag} ${text}\n`;

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-logs-'));
  mkdirSync(join(directory, 'app'));
  path = join(directory, 'app', '0.log');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Output by stream, and both in the order of writing. */
function collected() {
  const texts = { stdout: '', stderr: '', all: '' };
  const take = (stream: 'stdout' | 'stderr') => (bytes: Uint8Array) => {
    texts[stream] += Buffer.from(bytes).toString();
    texts.all += Buffer.from(bytes).toString();
    return Promise.resolve();
  };
  return { texts, output: { stdout: take('stdout'), stderr: take('stderr') } };
}

const ALL = { tail: undefined, sinceNs: undefined, timestamps: false };
const clock = realClock();

/** All that is there now. */
async function readNow(
  requested: Partial<LogRequest> = {},
): Promise<{ stdout: string; stderr: string; all: string }> {
  const { texts, output } = collected();
  const { signal } = new AbortController();
  await copyLog({ ...ALL, path, ...requested }, output, { ended: undefined, signal, clock });
  return texts;
}

/** Follows until `end` is called. */
function following() {
  const { texts, output } = collected();
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { signal } = new AbortController();
  const done = copyLog({ ...ALL, path }, output, { ended, signal, clock });
  return { texts, end: () => (resolve(), done) };
}

describe('a log that is read', () => {
  it('shows both streams in order, each at its place, with times where they are wanted', async () => {
    writeFileSync(
      path,
      entry('a') + entry('b', 'P', 'stderr', 1) + entry('c', 'F', 'stderr', 2) + entry('d'),
    );
    expect(await readNow()).toEqual({ stdout: 'a\nd\n', stderr: 'bc\n', all: 'a\nbc\nd\n' });
    expect((await readNow({ timestamps: true })).stderr).toBe(`${at(1)} bc\n`);
  });

  it('begins at a time: a line that began before it is left out as a whole', async () => {
    writeFileSync(
      path,
      entry('a') + entry('b', 'P', 'stdout', 4) + entry('c', 'F', 'stdout', 6) + entry('d', 'F', 'stdout', 7),
    );
    expect((await readNow({ sinceNs: BigInt(Date.parse('2026-11-23T06:00:05Z')) * 1_000_000n })).all).toBe(
      'd\n',
    );
  });

  it('begins at the last lines, whatever the size of their entries', async () => {
    const long = 'x'.repeat(programLimits.logBlockBytes);
    const lines = ['first', long, `${long}y`, 'short', ''];
    writeFileSync(
      path,
      lines.map((line) => entry(`${line.slice(0, 5)}`, 'P') + entry(line.slice(5))).join(''),
    );
    for (let tail = 0; tail <= lines.length + 1; tail += 1) {
      const last = tail === 0 ? [] : lines.slice(-tail);
      expect((await readNow({ tail })).all).toBe(last.map((line) => `${line}\n`).join(''));
    }
    appendFileSync(path, entry('incomplete', 'P'));
    expect((await readNow({ tail: 1 })).all).toBe('\nincomplete');
  });

  it('S32 is not read through a symbolic link in its place or that of its directory, and no FIFO blocks', async () => {
    const secret = join(directory, 'secret');
    writeFileSync(secret, entry('secret'));
    symlinkSync(secret, path);
    await expect(readNow()).rejects.toThrow(/symbolic link/u);
    rmSync(path);
    await runOrThrow(['mkfifo', path]);
    await expect(readNow()).rejects.toThrow(/not a regular file/u);
    rmSync(join(directory, 'app'), { recursive: true });
    mkdirSync(join(directory, 'other'));
    writeFileSync(join(directory, 'other', '0.log'), entry('secret'));
    symlinkSync(join(directory, 'other'), join(directory, 'app'));
    await expect(readNow()).rejects.toThrow(/symbolic link/u);
    rmSync(join(directory, 'app'));
    await expect(readNow()).rejects.toThrow(/not found/u);
  });
});

describe('a log that is followed', () => {
  it('is shown as it grows, over a rotation, and to its end once the container has exited', async () => {
    writeFileSync(path, entry('one'));
    const { texts, end } = following();
    await expect.poll(() => texts.all).toBe('one\n');
    appendFileSync(path, entry('two, ', 'P'));
    await expect.poll(() => texts.all).toBe('one\ntwo, ');
    renameSync(path, `${path}.20261123`);
    appendFileSync(`${path}.20261123`, entry('late, ', 'P'));
    writeFileSync(path, entry('three'));
    await expect.poll(() => texts.all).toBe('one\ntwo, late, three\n');
    appendFileSync(path, entry('four'));
    await end();
    expect(texts.all).toBe('one\ntwo, late, three\nfour\n');
  });

  it('is read from its beginning when it was truncated', async () => {
    writeFileSync(path, entry('one') + entry('two'));
    const { texts, end } = following();
    await expect.poll(() => texts.all).toBe('one\ntwo\n');
    truncateSync(path, 0);
    appendFileSync(path, entry('three'));
    await end();
    expect(texts.all).toBe('one\ntwo\nthree\n');
  });

  it('drops what waits for a slow reader when asked, and shows what comes then', async () => {
    const line = entry('x'.repeat(1000));
    writeFileSync(path, line.repeat(2000));
    const backlog = { isWaiting: false, isDropped: false };
    const { texts, output } = collected();
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const slow = {
      ...output,
      stdout: (bytes: Uint8Array) => {
        backlog.isDropped = backlog.isWaiting;
        return output.stdout(bytes);
      },
    };
    const done = copyLog({ ...ALL, path }, slow, {
      ended,
      signal: new AbortController().signal,
      clock,
      backlog,
    });
    await expect.poll(() => texts.all.length).toBeGreaterThan(0);
    await expect.poll(() => backlog.isWaiting).toBe(false);
    appendFileSync(path, entry('after'));
    resolve();
    await done;
    expect(texts.all).toMatch(/after\n$/u);
    expect(texts.all.length).toBeLessThan(200_000);
  });
});
