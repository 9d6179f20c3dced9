import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { ClockPort } from '../../../../src/ports/clock.ts';
import type { Waiting } from '../../../../src/ports/effect.ts';
import { firstRemote, onUserPath } from '../../../../src/host/mounts/answering.ts';
import { placesOf } from '../../../../src/host/mounts/mount-places.ts';
import { parseMountInfo } from '../../../../src/host/mounts/mountinfo.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { loopTurn } from '../../../support/turns.ts';

const base = realpathSync(mkdtempSync(join(tmpdir(), 'troupe-answering-')));
afterAll(() => rmSync(base, { recursive: true }));

/** The root, and one mount of each pair. */
const mountsOf = (...mounts: readonly (readonly [type: string, at: string])[]) =>
  placesOf(
    parseMountInfo(
      [['ext4', '/'] as const, ...mounts]
        .map(([type, at], index) => `${index} 1 8:1 / ${at} rw - ${type} source rw`)
        .join('\n'),
    ),
  );

describe('mounts that may not answer', () => {
  test.each([
    'nfs',
    'nfs4',
    'cifs',
    'fuse',
    'fuse.sshfs',
    'fuseblk',
    'ceph',
    '9p',
    'virtiofs',
    'autofs',
    'never-heard-of',
  ])('%s', (type) => {
    expect(mountsOf([type, '/srv']).remote).toHaveLength(1);
  });
  test.each(['ext4', 'xfs', 'btrfs', 'overlay', 'tmpfs', 'proc', 'sysfs', 'cgroup2', 'fusectl'])(
    'do not include %s',
    (type) => {
      expect(mountsOf([type, '/srv']).remote).toEqual([]);
    },
  );
  test('do not include systemd’s automatic mount of binfmt_misc', () => {
    expect(mountsOf(['autofs', '/proc/sys/fs/binfmt_misc']).remote).toEqual([]);
  });
});

describe('the first such mount along a path', () => {
  const dead = join(base, 'dead');
  const mounts = mountsOf(['nfs', dead]);
  const found = async (path: string): Promise<string | undefined> =>
    (await firstRemote(path, mounts))?.mountPoint;
  mkdirSync(join(base, 'local/deep'), { recursive: true });
  symlinkSync(dead, join(base, 'absolute'));
  symlinkSync('../dead/below', join(base, 'local/relative'));
  symlinkSync('absolute', join(base, 'twice'));
  symlinkSync('local/deep', join(base, 'harmless'));
  symlinkSync('loop', join(base, 'loop'));
  symlinkSync('../..', join(base, 'local/deep/up'));

  test.each([
    ['itself', dead],
    ['below it', join(dead, 'a/b')],
    ['an absolute link', join(base, 'absolute/x')],
    ['a relative link', join(base, 'local/relative')],
    ['a link to a link', join(base, 'twice')],
    ['a link that leads up and then in', join(base, 'local/deep/up/dead')],
    ['.. after it', `${base}/local/../dead`],
  ])('%s', async (_what, path) => {
    expect(await found(path)).toBe(dead);
  });

  test.each([
    ['beside it', join(base, 'deadline')],
    ['a link elsewhere', join(base, 'harmless/x')],
    ['not there', join(base, 'nothing/at/all')],
    ['a link to itself', join(base, 'loop/x')],
    ['.. that leaves it again by name alone', `${dead}/../local`],
  ])('is undefined: %s', async (_what, path) => {
    expect(await found(path)).toBeUndefined();
  });

  test('is the topmost mount, not the hidden one', async () => {
    expect(await firstRemote(dead, mountsOf(['nfs', dead], ['tmpfs', dead]))).toBeUndefined();
  });
});

describe('a call on a path that a user names', () => {
  const never = new Promise<never>(() => undefined);
  const requestOf = (clock: ClockPort, path: string, signal = new AbortController().signal) => {
    const notes: Waiting[] = [];
    const fx = { signal, timeoutMs: 100, note: (waiting: Waiting) => void notes.push(waiting) };
    return { notes, request: { path, attempted: 'mount x', mounts: mountsOf(['ext4', '/unit']), clock, fx } };
  };

  test('on a local file system starts no process', async () => {
    const { notes, request } = requestOf(new HandClock(), '/unit/live');
    await expect(onUserPath(request, () => Promise.resolve(7))).resolves.toBe(7);
    expect(notes).toEqual([{ on: 'mount x' }]);
  });

  test('passes on an error', async () => {
    const clock = new HandClock();
    await expect(
      onUserPath(requestOf(clock, '/unit/bad').request, () => Promise.reject(new Error('EIO'))),
    ).rejects.toThrow('EIO');
    expect(clock.timers.size).toBe(0);
  });

  test('that hangs ends as timedOut with the mount; no timer is left', async () => {
    const clock = new HandClock();
    const call = onUserPath(requestOf(clock, '/unit/dead').request, () => never);
    await loopTurn();
    clock.fire();
    await expect(call).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        subject: '/unit',
        message: 'mount x: timed out after 100 ms waiting for the ext4 file system at /unit',
      },
    });
    expect(clock.timers.size).toBe(0);
  });

  test('that hangs is cancelled by an abort; one after the abort never begins', async () => {
    const clock = new HandClock();
    const controller = new AbortController();
    const call = onUserPath(requestOf(clock, '/unit/hung', controller.signal).request, () => never);
    await loopTurn();
    controller.abort();
    await expect(call).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    const began: string[] = [];
    const late = onUserPath(requestOf(clock, '/unit/late', controller.signal).request, () =>
      Promise.resolve(began.push('late')),
    );
    await expect(late).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    expect([began, clock.timers.size]).toEqual([[], 0]);
  });
});
