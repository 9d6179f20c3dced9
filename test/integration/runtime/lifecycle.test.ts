import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FaultError } from '../../../src/base/fault.ts';
import { containerCgroup, sandboxCgroup } from '../../../src/host/sandbox/layout.ts';
import { faults } from './injected.ts';
import { cgroupPaths, cgroups } from './kernel.ts';
import { World, fx, gone, logged, missing, processesNaming } from './support.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = missing();
if (reason !== '') console.log(`runtime driver tests are skipped: ${reason}`);

unless(describe, reason)('the runtime driver with runc and conmon', () => {
  let world: World;
  beforeEach(async () => {
    world = await new World().open();
  });
  afterEach(async () => {
    expect(await world.close()).toEqual([]);
  });

  it('creates without running, starts, reports the exit code and deletes', async () => {
    const container = world.container(['sh', '-c', 'echo out; echo err >&2; exit 7']);
    const init = await world.create(container);
    expect(readFileSync(`/proc/${init.pid}/cmdline`, 'utf8')).toContain('init');
    expect(existsSync(container.logPath) && readFileSync(container.logPath, 'utf8')).toBe('');
    const created = await world.driver.observe(fx);
    expect(created.containers).toMatchObject([
      { id: container.id, process: 'created', init, monitorAlive: true, leftovers: true },
    ]);
    expect(statSync(world.layout.attachSocket(container.id)).isSocket()).toBe(true);
    expect(statSync(world.layout.controlFifo(container.id)).isFIFO()).toBe(true);
    world.driver.watch({ ...container.bundle, init });
    await world.driver.start(container.bundle, fx);
    const exit = await world.exitOf(container.id);
    expect(exit).toMatchObject({
      exitCode: 7,
      reason: 'Error',
      oomKilled: false,
      observedBy: 'exitFile',
      message: '',
    });
    const lines = readFileSync(container.logPath, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(1).join(' '));
    expect(lines.toSorted()).toEqual(['stderr F err', 'stdout F out']);
    expect(await world.driver.readExit(container.bundle, fx)).toEqual(exit);
    await world.driver.delete(container.bundle, fx);
    await world.driver.delete(container.bundle, fx);
    await world.driver.forgetExit(container.bundle, fx);
    await world.driver.forgetExit(container.bundle, fx);
    expect(await world.driver.readExit(container.bundle, fx)).toBeUndefined();
  });

  it('reports 0 as Completed and a signal as 128 + its number', async () => {
    const good = await world.run(['true']);
    expect(await world.exitOf(good.id)).toMatchObject({ exitCode: 0, reason: 'Completed' });
    const killed = await world.run(['sh', '-c', 'trap "exit 3" USR1; while :; do sleep 0.02; done']);
    await world.driver.kill({ ...killed.bundle, init: killed.init, signal: 'SIGKILL' }, fx);
    expect(await world.exitOf(killed.id)).toMatchObject({ exitCode: 137, reason: 'Error', oomKilled: false });
    await world.driver.kill({ ...killed.bundle, init: killed.init, signal: 'SIGKILL' }, fx);
  });

  it('F42 reports the exit of each of 50 containers that end at once', async () => {
    for (let round = 0; round < 50; round += 1) {
      const container = await world.run(['true']);
      expect(await world.exitOf(container.id), `round ${round}`).toMatchObject({
        exitCode: 0,
        observedBy: 'exitFile',
      });
      faults.earlyExit.happened();
      await world.driver.delete(container.bundle, fx);
    }
  });

  it('reopens a renamed log in a new file at the same path', async () => {
    const container = await world.run([
      'sh',
      '-c',
      'trap "echo second" USR1; echo first; while :; do sleep 0.02; done',
    ]);
    await logged(container.logPath, 'first');
    renameSync(container.logPath, `${container.logPath}.1`);
    await world.driver.reopenLog(container.bundle, fx);
    expect(existsSync(container.logPath)).toBe(true);
    await world.driver.kill({ ...container.bundle, init: container.init, signal: 'SIGUSR1' }, fx);
    await logged(container.logPath, 'second');
    expect(readFileSync(`${container.logPath}.1`, 'utf8')).toMatch(/ stdout F first\n$/u);
    expect(readFileSync(container.logPath, 'utf8')).not.toContain('first');
    // again, with nothing renamed
    await world.driver.reopenLog(container.bundle, fx);
  });

  it('F21 a log that cannot be made again leaves monitor and container alone, since conmon would exit', async () => {
    const container = await world.run([
      'sh',
      '-c',
      'trap "echo second" USR1; echo first; while :; do sleep 0.02; done',
    ]);
    await logged(container.logPath, 'first');
    const directory = dirname(container.logPath);
    renameSync(directory, `${directory}.gone`);
    writeFileSync(directory, '');
    await expect(world.driver.reopenLog(container.bundle, fx)).rejects.toThrow(
      `reopen log of container ${container.id} at ${container.logPath}: `,
    );
    // where only the directory was deleted it is made
    rmSync(directory);
    await world.driver.reopenLog(container.bundle, fx);
    await world.driver.kill({ ...container.bundle, init: container.init, signal: 'SIGUSR1' }, fx);
    await logged(container.logPath, 'second');
    expect(readdirSync(directory)).toEqual([basename(container.logPath)]);
  });

  it.each([
    ['before it has opened the log anew: refused, and no file is left', false],
    ['just after it has opened the log anew: its last words stay there', true],
  ])('F38 I9 the monitor ends %s', async (_what, isOpened) => {
    const container = await world.run(['sh', '-c', 'echo first; while :; do sleep 0.02; done']);
    await logged(container.logPath, 'first');
    const monitor = Number(readFileSync(world.layout.monitorPidFile(container.id), 'utf8'));
    process.kill(monitor, 'SIGSTOP');
    renameSync(container.logPath, `${container.logPath}.1`);
    const kind = world.driver.reopenLog(container.bundle, fx).then(
      () => 'opened',
      (thrown: unknown) => (thrown instanceof FaultError ? thrown.fault.kind : thrown),
    );
    await until(() => existsSync(`${container.logPath}.tmp`));
    if (isOpened) renameSync(`${container.logPath}.tmp`, container.logPath);
    process.kill(monitor, 'SIGKILL');
    expect(await kind).toBe(isOpened ? 'opened' : 'wrongState');
    const name = basename(container.logPath);
    expect(readdirSync(dirname(container.logPath)).toSorted()).toEqual(
      isOpened ? [name, `${name}.1`] : [`${name}.1`],
    );
  });

  it('refuses to reopen the log of an ended container and makes no file', async () => {
    const container = await world.run(['true']);
    await world.exitOf(container.id);
    await gone(container.id);
    renameSync(container.logPath, `${container.logPath}.1`);
    await expect(world.driver.reopenLog(container.bundle, fx)).rejects.toMatchObject({
      fault: { kind: 'wrongState' },
    });
    expect(existsSync(container.logPath)).toBe(false);
  });

  it('a log whose name is not ASCII is written and reopened', async () => {
    const container = await world.run(
      ['sh', '-c', 'trap "echo second" USR1; echo first; while :; do sleep 0.02; done'],
      { logPath: 'größe ☃.log' },
    );
    await logged(container.logPath, 'first');
    renameSync(container.logPath, `${container.logPath}.1`);
    await world.driver.reopenLog(container.bundle, fx);
    await world.driver.kill({ ...container.bundle, init: container.init, signal: 'SIGUSR1' }, fx);
    await logged(container.logPath, 'second');
  });

  it('runs without a log', async () => {
    const container = await world.run(['sh', '-c', 'yes | head -100000; while :; do sleep 0.02; done'], {
      logPath: '',
    });
    await world.driver.reopenLog(container.bundle, fx);
    await world.driver.killAll({ ...container.bundle, init: container.init }, fx);
    expect((await world.exitOf(container.id)).exitCode).toBe(137);
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toContain(' / ');
  });

  it('gives a terminal, and stdin only where requested', async () => {
    const tty = await world.run(['sh', '-c', 'test -t 0 && test -t 1 && test -t 2'], { tty: true });
    expect((await world.exitOf(tty.id)).exitCode).toBe(0);
    const none = await world.run(['sh', '-c', 'read -r line; exit $?']);
    expect((await world.exitOf(none.id)).exitCode).toBe(1);
    const open = await world.run(['sh', '-c', 'read -r line; exit $?'], { stdin: true });
    expect(world.exits.has(open.id)).toBe(false);
    expect((await world.driver.observe(fx)).containers.find((one) => one.id === open.id)).toMatchObject({
      process: 'running',
    });
  });

  it('updates limits, lifts them again, and refuses a limit below the memory in use', async () => {
    const container = await world.run(['sleep', '1000']);
    const from = container.bundle.spec.resources;
    const limitOf = (): string =>
      cgroupPaths(containerCgroup(world.parent, container.id))
        .flatMap((path) => ['memory.limit_in_bytes', 'memory.max'].map((name) => join(path, name)))
        .filter((path) => existsSync(path))
        .map((path) => readFileSync(path, 'utf8').trim())[0] ?? '';
    const unlimited = limitOf();
    const limited = { ...from, memoryLimitBytes: 64n * 1024n * 1024n };
    await world.driver.update({ ...container.bundle, resources: limited, from }, fx);
    expect(limitOf()).toBe('67108864');
    const tooSmall = { ...from, memoryLimitBytes: 4096n };
    await expect(
      world.driver.update({ ...container.bundle, resources: tooSmall, from: limited }, fx),
    ).rejects.toMatchObject({
      fault: {
        kind: 'wrongState',
        subject: container.id,
        message: expect.stringMatching(/memory usage of \d+ bytes exceeds the new limit of 4096$/u) as string,
      },
    });
    expect(limitOf()).toBe('67108864');
    await world.driver.update({ ...container.bundle, resources: from, from: limited }, fx);
    expect(limitOf()).toBe(unlimited);
    await expect(
      world.driver.update({ ...world.container(['true']).bundle, resources: limited, from }, fx),
    ).rejects.toMatchObject({ fault: { kind: 'notFound' } });
  });

  it('reports why a program can’t be started, and leaves no process', async () => {
    const container = world.container(['/no/such/program']);
    await expect(world.create(container)).rejects.toMatchObject({
      fault: {
        kind: 'outside',
        subject: container.id,
        message: expect.stringMatching(
          /^create container [0-9a-f]{64}: runc create: .*no\/such\/program.*no such file/u,
        ) as string,
      },
    });
    expect(processesNaming(container.id)).toEqual([]);
  });

  it('S38 S64 gives init no descriptor but 0, 1, 2 and no variable of ours', async () => {
    process.env['TROUPE_SECRET'] = 'leaked';
    const container = await world.run([
      'sh',
      '-c',
      'echo fds $(cd /proc/self/fd && echo *); env; while :; do sleep 0.05; done',
    ]);
    delete process.env['TROUPE_SECRET'];
    await logged(container.logPath, 'MARK');
    const log = readFileSync(container.logPath, 'utf8');
    expect(log).toMatch(/fds 0 1 2 3\n/u);
    expect(log).not.toContain('leaked');
    const monitor = readFileSync(world.layout.monitorPidFile(container.id), 'utf8').trim();
    expect(
      readFileSync(`/proc/${monitor}/environ`, 'utf8')
        .split('\0')
        .filter(Boolean)
        .map((word) => word.split('=')[0]),
    ).toEqual(['PATH', '_OCI_SYNCPIPE', 'LC_CTYPE', '_OCI_STARTPIPE']);
    // not in the cgroup of this process
    expect(readFileSync(`/proc/${monitor}/cgroup`, 'utf8')).toContain(
      `/troupe-sandbox-${world.sandboxId}/monitors`,
    );
  });

  it('S13 F47 the monitor is in its sandbox’s cgroup, but outside its memory limit where the hierarchy allows it (v1)', async () => {
    const container = await world.run(['sleep', '1000']);
    const places = readFileSync(
      `/proc/${readFileSync(world.layout.monitorPidFile(container.id), 'utf8').trim()}/cgroup`,
      'utf8',
    )
      .trim()
      .split('\n')
      .map((line) => line.split(':'));
    const placeOf = (controller: string): string =>
      places.find(([, names]) => names?.split(',').includes(controller))?.[2] ??
      places.find(([number]) => number === '0')?.[2] ??
      '';
    expect(placeOf('pids')).toBe(`${sandboxCgroup(world.parent, world.sandboxId)}/monitors`);
    if (cgroups.version === 1) expect(placeOf('memory')).not.toContain(world.parent);
    else expect(placeOf('memory')).toBe(placeOf('pids'));
  });

  it('F02 completes an empty cgroup of monitors that a killed daemon made in some hierarchies only', async () => {
    const leaves = cgroupPaths(join(sandboxCgroup(world.parent, world.sandboxId), 'monitors'));
    for (const leaf of leaves.slice(0, Math.ceil(leaves.length / 2))) mkdirSync(leaf);
    const container = await world.run(['sh', '-c', 'exit 0']);
    await world.exitOf(container.id);
    expect(leaves.filter((leaf) => !existsSync(leaf))).toEqual([]);
  });
});
