// Signals and kills of containers by the runtime driver, and ends that the kernel brings about.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessIdentity } from '../../../src/ports/journal.ts';
import type { ContainerInput } from '../../../src/ports/runtime.ts';
import { silentLog } from '../../../src/base/log.ts';
import { withCgroup } from '../../../src/host/cgroups/cgroups.ts';
import { containerCgroup, sandboxCgroup } from '../../../src/host/sandbox/layout.ts';
import { cgroups, freezeAll } from './kernel.ts';
import { World, fx, logged, missing, processesNaming } from './support.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';
import { injects } from '../../support/faults/injects.ts';

const reusedPid = injects('F43', 'a pid that stands for another process');
const ignoresTerm = injects('F46', 'a container that ignores TERM and forks all the time');
const outOfMemory = injects('F47', 'an OOM kill in the cgroup of a container');
const stuckProcess = injects('F45', 'a process that KILL does not end: its cgroup is frozen');

const reason = missing();
if (reason !== '') console.log(`tests of kills by the runtime driver are skipped: ${reason}`);

type Victim = ContainerInput & { readonly init: ProcessIdentity };

unless(describe, reason)('kills with runc and conmon', () => {
  let world: World;
  beforeEach(async () => {
    world = await new World().open();
  });
  afterEach(async () => {
    expect(await world.close()).toEqual([]);
  });

  it('sends any signal by name, also real-time signals', async () => {
    const container = await world.run([
      'sh',
      '-c',
      'trap "exit 9" 37; echo up; while :; do sleep 0.02; done',
    ]);
    await logged(container.logPath, 'up');
    await world.driver.kill({ ...container.bundle, init: container.init, signal: 'SIGRTMIN+3' }, fx);
    expect((await world.exitOf(container.id)).exitCode).toBe(9);
  });

  it('F37 a stop signal that overtakes the start reaches the container’s program, not the runtime’s init', async () => {
    // busybox's shell as PID 1 ignores TERM until its trap is set, so it runs on; runc's init would end with 2
    const container = world.container(['sh', '-c', 'trap "exit 7" TERM; while :; do sleep 0.01; done']);
    const init = await world.create(container);
    world.driver.watch({ ...container.bundle, init });
    const signalled = world.driver.kill({ ...container.bundle, init, signal: 'SIGTERM' }, fx);
    await world.driver.start(container.bundle, fx);
    await signalled;
    await world.driver.kill({ ...container.bundle, init, signal: 'SIGKILL' }, fx);
    expect([7, 137]).toContain((await world.exitOf(container.id)).exitCode);
  });

  it('F43 never signals another process with a reused pid', async () => {
    const container = await world.run(['sleep', '1000']);
    const other = { ...container.init, startTicks: container.init.startTicks - 1n };
    await world.driver.kill({ ...container.bundle, init: other, signal: 'SIGKILL' }, fx);
    const old = { ...container.init, bootId: 'another boot' };
    await world.driver.kill({ ...container.bundle, init: old, signal: 'SIGKILL' }, fx);
    const { containers } = await world.driver.observe(fx);
    expect(containers).toMatchObject([{ id: container.id, process: 'running', init: container.init }]);
    reusedPid.happened(2);
  });

  it('F46 kills all of a container at once, forks and all', async () => {
    const container = await world.run([
      'sh',
      '-c',
      'trap "" TERM; while :; do setsid sleep 1000 & sleep 0.01; done',
    ]);
    await until(() => processesNaming(container.id).some((line) => /^\d+ sleep 1000\b/u.test(line)));
    ignoresTerm.happened();
    await world.driver.killAll({ ...container.bundle, init: container.init }, fx);
    expect((await world.exitOf(container.id)).exitCode).toBe(137);
    // the monitor itself ends a moment after it has written the exit file
    await until(() => processesNaming(container.id).length === 0);
  });

  it('F47 reports an OOM kill of the container’s process', async () => {
    const container = await world.run(['tail', '/dev/zero'], {
      resources: { ...world.container([]).bundle.spec.resources, memoryLimitBytes: 16n * 1024n * 1024n },
    });
    expect(await world.exitOf(container.id)).toMatchObject({
      exitCode: 137,
      oomKilled: true,
      reason: 'OOMKilled',
    });
    outOfMemory.happened();
  });

  it('F47 reports no OOM kill when only a child was killed', async () => {
    const resources = { ...world.container([]).bundle.spec.resources, memoryLimitBytes: 16n * 1024n * 1024n };
    const container = await world.run(['sh', '-c', 'tail /dev/zero; exit 3'], { resources });
    expect(await world.exitOf(container.id)).toMatchObject({
      exitCode: 3,
      oomKilled: false,
      reason: 'Error',
    });
  });

  it.each([
    ['all of it', (victim: Victim) => world.driver.killAll(victim, fx)],
    ['init alone', (victim: Victim) => world.driver.kill({ ...victim, signal: 'SIGKILL' }, fx)],
  ])('F47 reports no OOM kill when %s is killed by us after a child’s OOM kill', async (_what, end) => {
    const resources = {
      ...world.container([]).bundle.spec.resources,
      memoryLimitBytes: 16n * 1024n * 1024n,
    };
    const container = await world.run(
      ['sh', '-c', 'tail /dev/zero; echo left; while :; do sleep 0.02; done'],
      { resources },
    );
    await logged(container.logPath, 'left');
    await end({ ...container.bundle, init: container.init });
    expect(await world.exitOf(container.id)).toMatchObject({
      exitCode: 137,
      oomKilled: false,
      reason: 'Error',
    });
  });

  it('a stop signal reaches a frozen container within its grace', async () => {
    const container = await world.run([
      'sh',
      '-c',
      'trap "exit 7" TERM; echo up; while :; do sleep 0.02; done',
    ]);
    await logged(container.logPath, 'up');
    const cgroup = containerCgroup(world.parent, container.id);
    await freezeAll(cgroup);
    await world.driver.kill({ ...container.bundle, init: container.init, signal: 'SIGTERM' }, fx);
    expect((await world.exitOf(container.id)).exitCode).toBe(7);
  });

  // what the freezer of v1 holds does not end by KILL: so it stands for a process that hangs in a file system
  const stuck = unless(
    it,
    cgroups.version === 1 ? '' : 'needs cgroup v1: in cgroup v2 the kernel ends what is frozen',
  );
  if (cgroups.version !== 1)
    console.log('two tests of processes that do not end are skipped: v2 ends what is frozen');

  stuck('F38 F45 the end of init is reported though its monitor neither reports it nor ends', async () => {
    const container = await world.run(['sleep', '1000']);
    const monitors = `${sandboxCgroup(world.parent, world.sandboxId)}/monitors`;
    await freezeAll(monitors);
    try {
      await world.driver.kill({ ...container.bundle, init: container.init, signal: 'SIGKILL' }, fx);
      expect(await world.exitOf(container.id)).toMatchObject({
        exitCode: 255,
        reason: 'Unknown',
        observedBy: 'process',
      });
    } finally {
      await withCgroup('thaw', cgroups, monitors);
    }
  });

  stuck('F38 F45 the end of init is reported when it comes, though it outlived its monitor', async () => {
    const warnings: string[] = [];
    const own = await new World({
      log: { ...silentLog, warn: (_fields, message) => void warnings.push(message) },
    }).open();
    const container = await own.run(['sleep', '1000']);
    const monitor = Number(readFileSync(own.layout.monitorPidFile(container.id), 'utf8'));
    // out of what will be frozen
    const freezer =
      cgroups.hierarchies.find(({ controllers }) => controllers.includes('freezer'))?.mountPoint ?? '';
    writeFileSync(join(freezer, 'cgroup.procs'), String(monitor));
    await freezeAll(own.parent);
    try {
      process.kill(monitor, 'SIGKILL');
      await until(() =>
        warnings.some((message) => message.startsWith('kill the remaining processes of a container')),
      );
      expect(own.exits.has(container.id)).toBe(false);
      stuckProcess.happened();
    } finally {
      await withCgroup('thaw', cgroups, own.parent);
    }
    expect(await own.exitOf(container.id)).toMatchObject({
      exitCode: 255,
      reason: 'MonitorLost',
      observedBy: 'process',
    });
    expect(await own.close()).toEqual([]);
  });
});
