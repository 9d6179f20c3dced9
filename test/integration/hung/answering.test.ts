// Paths on a file system that never answers: nobody waits longer than was said, and no thread of the pool is lost.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Waiting } from '../../../src/ports/effect.ts';
import type { Mount } from '../../../src/ports/specs.ts';
import { hostLimits } from '../../../src/host/bounds.ts';
import { onUserPath } from '../../../src/host/mounts/answering.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { readMountPlaces } from '../../../src/host/mounts/mount-places.ts';
import { processExists, processIdentity } from '../../../src/host/process/process-identity.ts';
import { makeDeadMount, whyNoDeadMount } from '../../support/dead-mount.ts';
import type { DeadMount } from '../../support/dead-mount.ts';
import { bundleInput, makeMachine, whyNot } from '../bundle/machine.ts';
import type { Machine } from '../bundle/machine.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNoDeadMount() || whyNot() || '';
if (reason !== '') console.log(`tests of dead mounts are skipped: ${reason}`);

/** What a call waits on, and the processes that it has named. */
class Watcher {
  readonly notes: Waiting[] = [];
  readonly caller = new AbortController();
  readonly timeoutMs: number;
  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }
  readonly signal = this.caller.signal;
  readonly note = (waiting: Waiting): void => void this.notes.push(waiting);
  get pids(): number[] {
    return this.notes.flatMap(({ pid }) => pid ?? []);
  }
}

const isGone = (pid: number): boolean => {
  const identity = processIdentity(pid);
  return identity === undefined || !processExists(identity);
};

unless(describe, reason)('F33 F45 a path on a mount that does not answer', () => {
  let dead: DeadMount;
  let directory: string;
  beforeEach(() => {
    dead = makeDeadMount();
    directory = mkdtempSync(join(tmpdir(), 'troupe-hung-'));
  });
  afterEach(() => {
    dead.remove();
    rmSync(directory, { recursive: true });
  });

  const touch = async (path: string, fx: Watcher, work: () => Promise<unknown>): Promise<unknown> =>
    onUserPath(
      { path, attempted: `mount ${path} at /srv`, mounts: await readMountPlaces(), clock: realClock(), fx },
      work,
    );
  const neverRun = (): Promise<never> => Promise.reject(new Error('the path was touched in the pool'));

  it('is asked by a child process, which is named, and killed at the deadline; the error names the mount', async () => {
    const fx = new Watcher(300);
    symlinkSync(join(dead.path, 'data'), join(directory, 'link'));
    await expect(touch(join(directory, 'link/x'), fx, neverRun)).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        subject: dead.path,
        message: `mount ${join(directory, 'link/x')} at /srv: timed out after 300 ms waiting for the fuse file system at ${dead.path}`,
      },
    });
    expect(fx.notes.at(-1)).toMatchObject({
      on: expect.stringContaining(`fuse file system at ${dead.path}`) as string,
      argv: expect.arrayContaining(['/usr/bin/stat']) as string[],
    });
    expect(fx.pids).toHaveLength(1);
    await until(() => fx.pids.every(isGone));
  });

  it('is given up at once on abort', async () => {
    const fx = new Watcher(60_000);
    const outcome = expect(touch(dead.path, fx, neverRun)).rejects.toMatchObject({
      fault: { kind: 'cancelled', subject: dead.path },
    });
    await until(() => fx.pids.length > 0);
    fx.caller.abort();
    await outcome;
    await until(() => fx.pids.every(isGone));
  });

  it('uses a few processes at once however many calls ask, and the others wait within their own bound', async () => {
    const all = Array.from({ length: 40 }, () => new Watcher(60_000));
    // its root: whoever looks up the same name in a directory waits for the first one, and SIGKILL does not reach
    // him
    const outcomes = Promise.allSettled(all.map((fx) => touch(dead.path, fx, neverRun)));
    const asking = (): number => all.flatMap(({ pids }) => pids).filter((pid) => !isGone(pid)).length;
    await until(() => asking() === hostLimits.askedPerMount);
    // one that gives up makes room for the next, which asks anew
    all.find(({ pids }) => pids.length > 0)?.caller.abort();
    await until(() => all.filter(({ pids }) => pids.length > 0).length === hostLimits.askedPerMount + 1);
    expect(asking()).toBeLessThanOrEqual(hostLimits.askedPerMount);
    for (const { caller } of all) caller.abort();
    expect((await outcomes).map((one) => one.status)).toEqual(all.map(() => 'rejected'));
    await until(() => asking() === 0);
    // other paths were never in the way
    await expect(
      touch(directory, new Watcher(60_000), () => readFile('/proc/self/stat')),
    ).resolves.toBeInstanceOf(Buffer);
  });

  it('that answers again goes on', async () => {
    const fx = new Watcher(60_000);
    const other = makeDeadMount();
    const touched = touch(join(other.path, 'x'), fx, () => Promise.resolve('touched'));
    await until(() => fx.pids.length > 0);
    other.remove();
    expect(await touched).toBe('touched');
  });

  describe('named by a container', () => {
    let machine: Machine;
    beforeEach(async () => {
      machine = await makeMachine();
    });
    afterEach(() => machine.remove());

    const write = async (changes: Parameters<typeof bundleInput>[1], fx: Watcher): Promise<unknown> =>
      machine.writer.writeBundle(bundleInput(machine, changes), fx);
    const mountOf = (hostPath: string): Mount => ({
      hostPath,
      containerPath: '/srv',
      readonly: false,
      recursiveReadOnly: false,
      propagation: 'private',
      selinuxRelabel: false,
    });

    it.each([
      ['as a volume', () => ({ spec: { mounts: [mountOf(join(dead.path, 'volume'))] } })],
      [
        'as a device',
        () => ({
          spec: { devices: [{ hostPath: join(dead.path, 'sda'), containerPath: '', permissions: 'rwm' }] },
        }),
      ],
      [
        'as a seccomp profile',
        () => ({ security: { seccomp: { type: 'localhost' as const, path: join(dead.path, 'p.json') } } }),
      ],
    ])('%s', async (_what, changes) => {
      const fx = new Watcher(300);
      await expect(write(changes(), fx)).rejects.toMatchObject({
        fault: { kind: 'timedOut', subject: dead.path },
      });
      expect(fx.pids).toHaveLength(1);
      await until(() => fx.pids.every(isGone));
    });

    it('as a directory of its log, mounted below the log directory', async () => {
      const logs = join(machine.dir, 'logs');
      const below = makeDeadMount(join(logs, 'web'));
      try {
        const fx = new Watcher(300);
        const changes = {
          spec: { logPath: 'web/0.log' },
          sandbox: { logDirectory: logs, cgroupParent: machine.cgroupParent },
        };
        await expect(write(changes, fx)).rejects.toMatchObject({
          fault: { kind: 'timedOut', subject: below.path },
        });
        await until(() => fx.pids.every(isGone));
      } finally {
        below.remove();
      }
    });

    it('within a directory of devices is not entered', async () => {
      const outside = join(machine.dir, 'nested');
      mkdirSync(outside);
      const below = makeDeadMount(join(outside, 'disks'));
      try {
        const devices = [{ hostPath: outside, containerPath: '', permissions: 'rwm' }];
        await expect(write({ spec: { devices } }, new Watcher(60_000))).rejects.toMatchObject({
          fault: {
            kind: 'invalidRequest',
            message: expect.stringContaining('a directory without a device') as string,
          },
        });
      } finally {
        below.remove();
      }
    });
  });
});
