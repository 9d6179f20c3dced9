// Kept descriptors of accounting files; plain files stand for the kernel's.
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { KernelFiles } from '../../../../src/host/usage/kernel-files.ts';
import { HandClock } from '../../../support/hand-clock.ts';

describe('kernel files', () => {
  let directory: string;
  let files: KernelFiles;
  let clock: HandClock;
  const open = (): number =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
      } catch {
        return false;
      }
    }).length;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-kernel-files-'));
    clock = new HandClock();
    files = new KernelFiles(clock);
  });
  afterEach(() => {
    files.close();
    rmSync(directory, { recursive: true });
  });

  it('reads the current content through one descriptor', () => {
    const path = join(directory, 'memory.current');
    for (const text of ['1\n', '22\n', '']) {
      writeFileSync(path, text);
      expect(files.read(path)).toBe(text);
    }
    expect(open()).toBe(1);
  });

  it('closes files unused for a while, and keeps used ones', () => {
    const [old, asked] = [join(directory, 'old'), join(directory, 'asked')];
    for (const path of [old, asked]) {
      writeFileSync(path, 'x');
      files.read(path);
    }
    clock.pass(hostLimits.kernelFileIdleMs / 2);
    files.read(asked);
    clock.pass(hostLimits.kernelFileIdleMs / 2);
    expect(open()).toBe(1);
    for (let rounds = 0; rounds < 3; rounds += 1) clock.pass(hostLimits.kernelFileIdleMs);
    expect(open()).toBe(0);
    expect(clock.timers.size).toBe(0);
  });

  it('a missing file is opened again after a while, not at each read', () => {
    const path = join(directory, 'memory.memsw.usage_in_bytes');
    expect(files.read(path)).toBeUndefined();
    writeFileSync(path, '7');
    expect(files.read(path)).toBeUndefined();
    clock.nowMs += hostLimits.kernelFileIdleMs;
    expect(files.read(path)).toBe('7');
  });

  it('a file of a removed cgroup is undefined, and that of a new one under its name is read', () => {
    // ENODEV is the kernel's answer for a removed cgroup; a process that has ended answers ESRCH the same way
    expect(files.read('/proc/self/task/1/nothing')).toBeUndefined();
    const path = join(directory, 'big');
    writeFileSync(path, Buffer.alloc(hostLimits.kernelFileBytes));
    expect(files.read(path)).toBeUndefined();
    expect(files.read(path)).toBeUndefined();
    writeFileSync(path, 'small');
    expect(files.read(path)).toBe('small');
    expect(open()).toBe(1);
  });

  it('keeps no more than its bound', () => {
    for (let at = 0; at < hostLimits.kernelFilesKept + 3; at += 1) files.read(join(directory, String(at)));
    const last = join(directory, String(hostLimits.kernelFilesKept + 2));
    writeFileSync(last, 'there now');
    // it was not kept, so that it is opened again
    expect(files.read(last)).toBe('there now');
    expect(open()).toBe(0);
    files.close();
    expect(open()).toBe(0);
  });

  it('of more files than it keeps, those that it keeps stay open from one reading to the next', () => {
    // many names of one file: thousands take a disk seconds
    const BITS = 13;
    const name = (at: number): string =>
      Array.from({ length: BITS }, (_none, bit) => ((at >> bit) % 2 === 0 ? '/' : '/.')).join('');
    const paths = Array.from(
      { length: hostLimits.kernelFilesKept + 3 },
      (_none, at) => `${directory}${name(at)}/original`,
    );
    const path = original();
    const readable = (): readonly string[] => paths.filter((path) => files.read(path) === 'x');
    expect([readable().length, readable().length]).toEqual([paths.length, paths.length]);
    expect(open()).toBe(hostLimits.kernelFilesKept);
    // a kept descriptor reads the file that it was opened for, also once another one has its name
    rmSync(path);
    expect(readable()).toEqual(paths.slice(0, hostLimits.kernelFilesKept));
  });

  it('files that nobody reads any more make room', () => {
    const paths = Array.from({ length: hostLimits.kernelFilesKept }, (_none, at) =>
      join(directory, String(at)),
    );
    for (const path of paths) files.read(path);
    clock.nowMs += hostLimits.kernelFileIdleMs;
    const path = original();
    files.read(path);
    expect(open()).toBe(1);
  });

  const original = (): string => {
    const path = join(directory, 'original');
    writeFileSync(path, 'x');
    return path;
  };
});
