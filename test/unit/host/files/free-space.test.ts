// What images leave free of their file system, and how often it is asked for it.
import { describe, expect, it } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import {
  demandSpace,
  leastFreeBytes,
  leastFreeInodes,
  SpaceGuard,
} from '../../../../src/host/files/free-space.ts';
import type { FilesystemFacts } from '../../../../src/host/files/free-space.ts';
import { faultBy } from '../../../support/fault-of.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** A file system of 4 KiB blocks. */
const facts = (totalBytes: number, freeBytes: number, files = 0, ffree = 0): FilesystemFacts => ({
  bsize: 4096,
  blocks: totalBytes / 4096,
  bavail: freeBytes / 4096,
  files,
  ffree,
});

describe('F22 the least free space', () => {
  it('is a fixed number of bytes, or a fraction of a small file system', () => {
    expect([leastFreeBytes(100 * GIB), leastFreeBytes(GIB)]).toEqual([256 * MIB, 64 * MIB]);
    expect([leastFreeInodes(10_000_000), leastFreeInodes(16_000)]).toEqual([8192, 1000]);
  });

  it('missing space is refused with the path and both figures', () => {
    const { kind, message, retryable } = faultBy(() => demandSpace('/images', facts(100 * GIB, 12 * MIB)));
    expect([kind, retryable]).toEqual(['exhausted', true]);
    expect(message).toBe(
      'no space left on /images (needs 256 MiB reserved for the journal and pods, has 12 MiB)',
    );
    expect(faultBy(() => demandSpace('/images', facts(100 * GIB, 50 * GIB, 1_000_000, 8191))).message).toBe(
      'no space left on /images (needs 8192 inodes reserved for the journal and pods, has 8191)',
    );
  });

  it('counts what is about to be written in one piece', () => {
    const space = new SpaceGuard('/images', () => facts(100 * GIB, 300 * MIB));
    space.take(43 * MIB, 1);
    expect(faultBy(() => space.take(45 * MIB, 1)).message).toBe(
      'no space left on /images (needs 45 MiB and 256 MiB reserved for the journal and pods, has 300 MiB)',
    );
  });

  it('a file system that reports no inodes or blocks never lacks them', () => {
    demandSpace('/images', facts(100 * GIB, 50 * GIB));
    demandSpace('/images', facts(0, 0));
  });
});

describe('F22 the file system is read', () => {
  function guardOf(files = 0) {
    const state = { asked: 0, now: facts(100 * GIB, 50 * GIB, files, files) };
    const guard = new SpaceGuard('/images', () => {
      state.asked += 1;
      return state.now;
    });
    return { guard, state };
  }

  it('once for each fraction of the least free space, not for each file', () => {
    const { guard, state } = guardOf(1_000_000);
    for (let at = 0; at < 64 * 256; at += 1) guard.take(4096, 0);
    // 64 MiB in steps of 16 MiB
    expect(state.asked).toBe(4);
    for (let at = 0; at < 2 * hostLimits.leastFreeInodes; at += 1) guard.take(0, 1);
    expect(state.asked).toBeLessThanOrEqual(4 + 2 * hostLimits.leastFreeSteps);
  });

  it('each time after it had too little space', () => {
    const { guard, state } = guardOf();
    guard.take(1, 0);
    state.now = facts(100 * GIB, MIB);
    guard.take(1, 0);
    expect(faultBy(() => guard.take(16 * MIB, 0)).kind).toBe('exhausted');
    expect(faultBy(() => guard.take(1, 0)).kind).toBe('exhausted');
    state.now = facts(100 * GIB, 50 * GIB);
    guard.take(1, 0);
    expect(state.asked).toBe(4);
  });

  it('at the beginning of each operation', () => {
    const { guard, state } = guardOf();
    guard.take(1, 0);
    state.now = facts(100 * GIB, MIB);
    expect(faultBy(() => guard.ask()).kind).toBe('exhausted');
  });
});
