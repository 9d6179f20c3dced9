import { closeSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import {
  cgroupDirectories,
  cgroupDirectory,
  detectCgroups,
  readControl,
} from '../../../src/host/cgroups/cgroup-layout.ts';
import type { CgroupLayout } from '../../../src/host/kernel-thread/thread-protocol.ts';
import {
  admitMonitorProcess,
  cgroupExists,
  createCgroup,
  listProcesses,
  moveProcess,
  oomKills,
  removeCgroup,
} from '../../../src/host/cgroups/cgroups.ts';
import { killCgroup } from '../../../src/host/cgroups/cgroup-kill.ts';
import { makePipe } from '../../../src/host/io/descriptors.ts';
import { killProcess } from '../../../src/host/process/process-identity.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import type { Child } from '../../../src/host/process/process.ts';
import { describeAsRoot } from './support.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { loopTurn } from '../../support/turns.ts';
import { skipHere } from '../../support/skips/unless.ts';
import { injects } from '../../support/faults/injects.ts';

const busyCgroup = injects('F48', 'EBUSY from rmdir of a cgroup with a process');

const clock = realClock();
const options = { clock, timeoutMs: EVENT_MS };

/** Starts a program in a cgroup: a shell waits for a line until it was moved there. */
async function startIn(layout: CgroupLayout, path: string, script: string): Promise<Child> {
  const pipe = makePipe();
  const argv = ['/bin/sh', '-c', `read line; ${script}`];
  const child = await spawnProcess({ argv, env: { PATH: '/usr/bin:/bin' }, stdin: pipe.read });
  closeSync(pipe.read);
  await moveProcess(layout, path, child.pid);
  writeSync(pipe.write, '\n');
  closeSync(pipe.write);
  return child;
}

async function untilProcesses(layout: CgroupLayout, path: string, count: number): Promise<void> {
  while ((await listProcesses(layout, path)).length < count) await loopTurn();
}

/** Removing right after the last exit can meet EBUSY until the kernel has released it. */
async function removeSoon(layout: CgroupLayout, path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await removeCgroup(layout, path);
    } catch (error) {
      if (attempt === 1000) throw error;
      await loopTurn();
    }
  }
}

const suites: [string, () => Promise<{ layout: CgroupLayout; after: () => void }>][] = [
  [
    'cgroups as this machine has them',
    async () => ({ layout: await detectCgroups(), after: () => undefined }),
  ],
  [
    'cgroups v2 alone',
    async () => {
      // a cgroup of our own plays the root, so that nothing above it is touched; hybrid machines have no controllers
      // there
      const detected = await detectCgroups();
      const unified = detected.hierarchies.find((hierarchy) => hierarchy.version === 2);
      const mountPoint = join(unified?.mountPoint ?? '/none', `troupe-test-root-${process.pid}`);
      mkdirSync(mountPoint);
      const hierarchies = [{ version: 2 as const, mountPoint, controllers: [] }];
      return {
        layout: { version: 2, hybrid: false, controllers: [], hierarchies },
        after: () => rmdirSync(mountPoint),
      };
    },
  ],
];

for (const [name, prepare] of suites) {
  describeAsRoot(name, () => {
    const path = `/troupe-test-${process.pid}/pod`;
    const parent = `/troupe-test-${process.pid}`;
    /** Made together with what is below it: on v2 one that was there keeps what its children may control. */
    const fresh = (name: string): string => `${parent}-${name}`;
    let layout: CgroupLayout;
    let after = (): void => undefined;

    beforeAll(async () => {
      ({ layout, after } = await prepare());
      await createCgroup(layout, path);
    });
    afterAll(async () => {
      await killCgroup(layout, parent, options);
      await removeSoon(layout, parent);
      after();
    });

    test('S55 a cgroup with a hundred levels below it is killed and removed, since its processes choose the depth', async () => {
      const deep = `${parent}/deep`;
      const bottom = `${deep}${'/d'.repeat(100)}`;
      await createCgroup(layout, bottom);
      const child = await startIn(layout, bottom, 'exec sleep 1000');
      expect(await listProcesses(layout, deep)).toEqual([child.pid]);
      await killCgroup(layout, deep, options);
      await child.exited;
      await removeSoon(layout, deep);
      expect(await cgroupExists(layout, deep)).toBe(false);
    });

    test('a cgroup is made in every hierarchy, can be made again, takes a process, lists it', async () => {
      await createCgroup(layout, path);
      expect(cgroupDirectories(layout, path).filter((directory) => !existsSync(directory))).toEqual([]);
      const child = await startIn(layout, path, 'exec sleep 1000');
      expect(await listProcesses(layout, path)).toEqual([child.pid]);
      expect(await listProcesses(layout, parent)).toEqual([child.pid]);
      expect(await cgroupExists(layout, path)).toBe(true);
      killProcess(child.identity, 9);
      expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
      expect(await listProcesses(layout, path)).toEqual([]);
    });

    test('a monitor enters a cgroup that is made for it; one that has ended is no error', async () => {
      const monitors = `${path}/monitors`;
      const pipe = makePipe();
      const child = await spawnProcess({ argv: ['/bin/cat'], env: {}, stdin: pipe.read });
      closeSync(pipe.read);
      await admitMonitorProcess(layout, `${path}/none/monitors`, child.pid);
      expect(await cgroupExists(layout, `${path}/none`)).toBe(false);
      for (let time = 0; time < 2; time += 1) await admitMonitorProcess(layout, monitors, child.pid);
      expect(await listProcesses(layout, monitors)).toEqual([child.pid]);
      const memory = layout.version === 1 ? cgroupDirectory(layout, monitors, 'memory') : undefined;
      if (memory !== undefined) expect(readFileSync(join(memory, 'cgroup.procs'), 'utf8')).toBe('');
      closeSync(pipe.write);
      await child.exited;
      await admitMonitorProcess(layout, monitors, child.pid);
      await removeSoon(layout, monitors);
    });

    test('several cgroups at once below a missing parent, or one left empty by a crash, all take processes', async () => {
      const shared = `${path}/shared`;
      for (const directory of cgroupDirectories(layout, shared)) mkdirSync(directory);
      const paths = Array.from({ length: 5 }, (_, index) => `${shared}/new/${index}`);
      await Promise.all(paths.map((one) => createCgroup(layout, one)));
      for (const one of paths) {
        const child = await startIn(layout, one, 'exec sleep 1000');
        expect(await listProcesses(layout, one)).toEqual([child.pid]);
        killProcess(child.identity, 9);
        await child.exited;
      }
      await removeSoon(layout, shared);
    });

    test('F48: a cgroup with a process is not removed, nothing in it is killed, the error names it', async () => {
      const busy = `${path}/busy`;
      await createCgroup(layout, `${busy}/deeper`);
      const child = await startIn(layout, `${busy}/deeper`, 'exec sleep 1000');
      await expect(removeCgroup(layout, busy)).rejects.toMatchObject({ code: 'EBUSY' });
      busyCgroup.happened();
      expect(await listProcesses(layout, busy)).toEqual([child.pid]);
      expect(await killCgroup(layout, busy, options)).toEqual([]);
      expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
      await removeSoon(layout, busy);
      await removeCgroup(layout, busy);
      expect(await cgroupExists(layout, busy)).toBe(false);
    });

    test('F46: a process that forks all the time, in a cgroup of its own below, is killed', async () => {
      const bomb = `${fresh('bombs')}/bomb`;
      await createCgroup(layout, `${bomb}/inner`);
      const pids = cgroupDirectory(layout, bomb, 'pids');
      if (pids !== undefined) writeFileSync(join(pids, 'pids.max'), '200');
      const child = await startIn(
        layout,
        `${bomb}/inner`,
        'trap "" TERM; while :; do (sleep 1 & sleep 0.1 &) ; done',
      );
      await untilProcesses(layout, bomb, 20);
      expect(await killCgroup(layout, bomb, options)).toEqual([]);
      expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
      await removeSoon(layout, fresh('bombs'));
    });

    test('killing an empty or missing cgroup succeeds at once; the root is refused', async () => {
      expect(await killCgroup(layout, path, options)).toEqual([]);
      expect(await killCgroup(layout, `${path}/none`, options)).toEqual([]);
      await expect(killCgroup(layout, '/', options)).rejects.toThrow(/use cgroup/u);
      await expect(removeCgroup(layout, '/')).rejects.toThrow(/use cgroup/u);
    });

    test('F47: an OOM kill increases the counter', async (context) => {
      const limited = `${fresh('limits')}/limited`;
      await createCgroup(layout, limited);
      const memory = cgroupDirectory(layout, limited, 'memory');
      if (memory === undefined) {
        expect(oomKills(layout, limited)).toBeUndefined();
        await removeSoon(layout, fresh('limits'));
        skipHere(context, 'no memory controller in this layout');
      } else {
        writeFileSync(
          join(memory, layout.version === 1 ? 'memory.limit_in_bytes' : 'memory.max'),
          String(8 * 1024 * 1024),
        );
        expect(oomKills(layout, limited)).toBe(0);
        // alone in its cgroup: while the memory of a killed one is not free yet, the kernel may kill another one
        const fills = 'exec dd if=/dev/zero of=/dev/null bs=100000000 count=1';
        const child = await startIn(layout, limited, fills);
        expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
        expect(oomKills(layout, limited)).toBe(1);
        expect(await readControl(layout, limited, 'memory', 'no.such.file')).toBeUndefined();
        await removeSoon(layout, fresh('limits'));
      }
    });

    test.each([
      ['a frozen process', '', ''],
      ['a process that the container has frozen in a cgroup of its own', '/engine/paused', '/engine/paused'],
      ['a process below a cgroup that the container has frozen', '/engine', '/engine/paused'],
    ])('F46: killing a cgroup with %s empties it, too', async (_what, frozen, inner) => {
      const cold = `${fresh('colds')}/cold`;
      await createCgroup(layout, `${cold}${inner}`);
      const child = await startIn(layout, `${cold}${inner}`, 'exec sleep 1000');
      const v1 = cgroupDirectory(layout, `${cold}${frozen}`, 'freezer');
      const v2 = cgroupDirectories(layout, `${cold}${frozen}`).at(-1) ?? '';
      writeFileSync(
        v1 === undefined ? join(v2, 'cgroup.freeze') : join(v1, 'freezer.state'),
        v1 === undefined ? '1' : 'FROZEN',
      );
      expect(await killCgroup(layout, cold, options)).toEqual([]);
      expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
      await removeSoon(layout, fresh('colds'));
    });
  });
}
