import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { CgroupLayout } from '../../../../src/host/kernel-thread/thread-protocol.ts';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { WarmCgroupMoves } from '../../../../src/host/tuning/warm-cgroup-moves.ts';
import { HandClock } from '../../../support/hand-clock.ts';

/** Waits until the loop sleeps, then lets its timer fire. */
async function wake(clock: HandClock): Promise<void> {
  await expect.poll(() => clock.timers.size).toBeGreaterThan(0);
  clock.fire();
}

/**
 * Plain files stand for the control files: v1, so that the line of any hierarchy of this machine or the v2 one will do.
 */
function fakeHierarchy(): { readonly layout: CgroupLayout; readonly procs: string } {
  const line = readFileSync('/proc/self/cgroup', 'utf8').split('\n')[0] ?? '';
  const [, names = '', ...path] = line.split(':');
  const mountPoint = mkdtempSync(join(tmpdir(), 'troupe-moves-'));
  onTestFinished(() => rmSync(mountPoint, { recursive: true }));
  const procs = join(mountPoint, path.join(':'), 'cgroup.procs');
  mkdirSync(dirname(procs), { recursive: true });
  writeFileSync(procs, '');
  const version = names === '' ? 2 : 1;
  return {
    procs,
    layout: {
      version,
      hybrid: false,
      controllers: [],
      hierarchies: [{ version, mountPoint, controllers: names.split(',') }],
    },
  };
}

test('during work this process is moved to its own cgroup repeatedly; afterwards not', async () => {
  const { layout, procs } = fakeHierarchy();
  const clock = new HandClock();
  const moves = new WarmCgroupMoves(layout, clock);
  const written = await moves.during(async (ready) => {
    await ready;
    expect(readFileSync(procs, 'utf8')).toBe('0');
    await wake(clock);
    await wake(clock);
    return readFileSync(procs, 'utf8');
  });
  expect(written).toMatch(/^00+$/u);
  // the loop finds nobody at work any more; a later one begins anew
  await wake(clock);
  await moves.during((ready) => ready);
});

test('long work, such as an exec, keeps moves cheap for a bounded time only', async () => {
  const { layout, procs } = fakeHierarchy();
  const clock = new HandClock();
  const moves = new WarmCgroupMoves(layout, clock);
  await moves.during(async (ready) => {
    await ready;
    const isOpen = (): boolean => readdirSync('/proc/self/fd').some((fd) => linkOf(fd) === procs);
    expect(isOpen()).toBe(true);
    clock.nowMs += hostLimits.movesFastMs + 1;
    await wake(clock);
    await expect.poll(isOpen).toBe(false);
  });
});

/** What a descriptor of this process is; empty when it has been closed meanwhile. */
function linkOf(fd: string): string {
  try {
    return readlinkSync(join('/proc/self/fd', fd));
  } catch {
    return '';
  }
}

test('work is done without such a file, too', async () => {
  const { layout } = fakeHierarchy();
  const moves = new WarmCgroupMoves({ ...layout, hierarchies: [] }, new HandClock());
  await expect(
    moves.during(async (ready) => {
      await ready;
      return 'done';
    }),
  ).resolves.toBe('done');
});
