import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_LIMITS } from '../../../src/ports/resources.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import type { RuntimeDriverOptions } from '../../../src/oci/runtime/container/parts.ts';
import {
  message,
  CONMON,
  RUNC,
  World,
  fakeRuntime,
  fx,
  missing,
  monitorPidOf,
  processesNaming,
  wrapper,
} from './support.ts';
import { canary } from '../../support/canaries.ts';
import { fxOf } from '../../support/fx.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';
import { faults } from './injected.ts';

const reason = missing();
if (reason !== '') console.log(`fault tests of the runtime driver are skipped: ${reason}`);

unless(describe, reason)('faults of monitor and runtime', () => {
  let world: World;
  beforeEach(async () => {
    world = await new World().open();
  });
  afterEach(async () => {
    expect(await world.close()).toEqual([]);
  });

  const withRuntime = (script: string): Partial<RuntimeDriverOptions> => fakeRuntime(world.root, script);
  const withMonitor = (script: string): Partial<RuntimeDriverOptions> => ({
    monitorPath: wrapper(world.root, 'fake-conmon', script),
  });
  const monitorPid = (id: string): number => monitorPidOf(world, id);

  describe('F38 the monitor is killed while the container runs', () => {
    it('the container is killed and its end reported', async () => {
      const container = await world.run(['sh', '-c', 'setsid sleep 1000 & sleep 1000']);
      process.kill(monitorPid(container.id), 'SIGKILL');
      expect(await world.exitOf(container.id)).toMatchObject({
        exitCode: 255,
        reason: 'MonitorLost',
        observedBy: 'process',
        oomKilled: false,
      });
      faults.lostMonitor.happened();
      expect(processesNaming(container.id)).toEqual([]);
      expect(await world.driver.readExit(container.bundle, fx)).toBeUndefined();
    });

    it('also when it died while nobody watched', async () => {
      const container = await world.run(['sleep', '1000']);
      world.driver.close();
      process.kill(monitorPid(container.id), 'SIGKILL');
      await until(() => !processesNaming(container.id).some((line) => line.includes('conmon')));
      world.driver = world.newDriver();
      await world.driver.open();
      expect((await world.driver.observe(fx)).containers).toMatchObject([
        { process: 'running', monitorAlive: false, exitFile: undefined },
      ]);
      world.driver.watch({ ...container.bundle, init: container.init });
      expect(await world.exitOf(container.id)).toMatchObject({ reason: 'MonitorLost' });
    });
  });

  it('a reported exit with a deleted file is not taken for a lost monitor', async () => {
    const warnings: string[] = [];
    const clock = realClock();
    const held: (() => void)[] = [];
    let holds = false;
    const driver = world.newDriver({
      clock: {
        ...clock,
        setTimeout: (run, ms) => clock.setTimeout(() => (holds ? void held.push(run) : run()), ms),
      },
      log: { ...silentLog, warn: (_fields, text) => void warnings.push(text ?? '') },
    });
    await driver.open();
    world.driver.close();
    world.driver = driver;
    const first = await world.run(['sleep', '1000']);
    const monitor = monitorPid(first.id);
    process.kill(monitor, 'SIGSTOP');
    holds = true;
    process.kill(first.init.pid, 'SIGKILL');
    // the driver knows that init has ended, and waits until its next poll
    await until(() => held.length > 0);
    process.kill(monitor, 'SIGCONT');
    expect(await world.exitOf(first.id)).toMatchObject({ exitCode: 137 });
    await driver.forgetExit(first.bundle, fx);
    await until(() => !processesNaming(first.id).some((line) => line.includes('conmon')));
    holds = false;
    for (const run of held) run();
    // one that really loses its monitor goes the same way, later
    const second = await world.run(['sleep', '1000']);
    process.kill(monitorPid(second.id), 'SIGKILL');
    expect(await world.exitOf(second.id)).toMatchObject({ reason: 'MonitorLost' });
    expect(world.exits.get(first.id)).toHaveLength(1);
    expect(warnings.filter((text) => text.includes('without an exit file'))).toHaveLength(1);
  });

  it('F39 a monitor may report nothing, garbage, twice, or half a line', async () => {
    const cases: readonly (readonly [string, string, RegExp])[] = [
      ['exit 0', 'outside', /monitor exited without a report: no error message$/u],
      ['echo no such option >&2; exit 1', 'outside', /monitor exited without a report: no such option$/u],
      ['echo garbage >&3', 'outside', /invalid report of the monitor: not JSON$/u],
      ['printf \'{"pid": 4\' >&3', 'outside', /invalid report of the monitor: not JSON$/u],
      [
        'echo \'{"pid": -1, "message": "boom"}\' >&3; echo \'{"pid": 4}\' >&3',
        'outside',
        /runc create: boom$/u,
      ],
      [
        `echo '{"pid": ${process.pid}}' >&3`,
        'outside',
        /reported process \d+, which is not init in the runtime's state$/u,
      ],
      ['echo \'{"pid": 4194304}\' >&3', 'outside', /process 4194304 exited at once/u],
      [
        'head -c 200000 /dev/zero | tr "\\0" x >&3; sleep 1000',
        'outside',
        /monitor exited without a report/u,
      ],
    ];
    for (const [script, kind, pattern] of cases) {
      const driver = world.newDriver(withMonitor(script));
      const container = world.container(['true']);
      await expect(world.create(container, driver), script).rejects.toMatchObject({
        fault: { kind, message: message(pattern) },
      });
      faults.badReport.happened();
      expect(processesNaming(container.id), script).toEqual([]);
      driver.close();
    }
  });

  it('F33 a runtime that hangs in create is killed with its monitor, and the error names the stage', async () => {
    const driver = world.newDriver(
      withRuntime(`[ "$verb" = create ] && { sleep 1000 & sleep 1000; }\nexec ${RUNC} "$@"`),
    );
    const container = world.container(['true']);
    await driver.writeBundle(container.bundle, fx);
    await expect(
      driver.create({ ...container.bundle, effective: container.effective }, fxOf(500)),
    ).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        message: message(
          /^create container [0-9a-f]{64}: runc create: timed out after 500 ms waiting for the monitor$/u,
        ),
      },
    });
    faults.hangingCreate.happened();
    expect(processesNaming(container.id)).toEqual([]);
    driver.close();
  });

  it('F33 an abort of a hanging create does the same', async () => {
    const driver = world.newDriver(withRuntime('exec sleep 1000'));
    const container = world.container(['true']);
    const caller = new AbortController();
    await driver.writeBundle(container.bundle, fx);
    // as early as can be: the monitor is about to fork twice
    const note = (waiting: { pid?: number }): void => void (waiting.pid !== undefined && caller.abort());
    const creating = driver.create(
      { ...container.bundle, effective: container.effective },
      { ...fxOf(EVENT_MS, caller.signal), note },
    );
    await expect(creating).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    expect(processesNaming(container.id)).toEqual([]);
    driver.close();
  });

  it('F34 start and delete that hang end with the stage in the message', async () => {
    const container = world.container(['sleep', '1000']);
    await world.create(container);
    const driver = world.newDriver(withRuntime('[ "$verb" != features ] && exec sleep 1000'));
    await expect(driver.start(container.bundle, fxOf(300))).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        message: message(/^start container [0-9a-f]{64}: runc start: killed after a timeout of 300 ms$/u),
      },
    });
    await expect(driver.delete(container.bundle, fxOf(300))).rejects.toMatchObject({
      fault: { kind: 'timedOut', message: message(/runc delete: killed/u) },
    });
    faults.hangingCall.happened(2);
    expect(processesNaming(container.id).filter((line) => line.includes('fake-runc'))).toEqual([]);
    driver.close();
  });

  it('F35 a runtime may fail with JSON, text, nothing, or 10 MiB', async () => {
    const cases: readonly (readonly [string, RegExp])[] = [
      ['echo \'{"level":"error","msg":"in json"}\' >&2; exit 3', /runc start: exit code 3: in json$/u],
      ['printf "plain \\033[31mtext\\n" >&2; exit 1', /runc start: exit code 1: plain {2}\[31mtext$/u],
      ['exit 9', /runc start: exit code 9: no error message$/u],
      ['head -c 10485760 /dev/zero | tr "\\0" y >&2; exit 1', /runc start: exit code 1: y+$/u],
      ['kill -9 $$', /runc start: signal 9: no error message$/u],
    ];
    for (const [script, pattern] of cases) {
      const driver = world.newDriver(withRuntime(script));
      const container = world.container(['true']);
      const failure = await driver.start(container.bundle, fx).then(
        () => undefined,
        (error: unknown) => error as { fault: { message: string; kind: string } },
      );
      expect(failure?.fault.kind).toBe('outside');
      expect(failure?.fault.message).toMatch(pattern);
      faults.failingRuntime.happened();
      expect(Buffer.byteLength(failure?.fault.message ?? '')).toBeLessThanOrEqual(4096);
      driver.close();
    }
  });

  it('F35 a create that fails quotes the runtime, at most 4 KiB of it', async () => {
    const driver = world.newDriver(withRuntime('head -c 50000 /dev/zero | tr "\\0" z >&2; exit 1'));
    const container = world.container(['true']);
    const failure = await world.create(container, driver).then(
      () => undefined,
      (error: unknown) => error as { fault: { message: string } },
    );
    expect(failure?.fault.message).toMatch(/^create container [0-9a-f]{64}: runc create: .*zzz/u);
    expect(Buffer.byteLength(failure?.fault.message ?? '')).toBeLessThanOrEqual(4096);
    driver.close();
  });

  it('S91 a fault that repeats what the runtime wrote is marked, whatever the runtime was to do', async () => {
    const word = canary('word');
    const container = await world.run(['sleep', '1000']);
    const { bundle, init } = container;
    const driver = world.newDriver(withRuntime(`echo 'exec: "${word}": failed' >&2; exit 1`));
    const limited = { ...NO_LIMITS, memoryLimitBytes: 64n * 2n ** 20n };
    const exec = { ...bundle, namespace: 'default', argv: ['true'], init, execTimeoutMs: 0 };
    const calls: Readonly<Record<string, () => Promise<unknown>>> = {
      create: () => world.create(world.container(['true']), driver),
      start: () => driver.start(bundle, fx),
      update: () => driver.update({ ...bundle, resources: limited, from: NO_LIMITS }, fx),
      exec: () => driver.execSync(exec, fx),
      delete: () => driver.delete(bundle, fx),
    };
    for (const [name, call] of Object.entries(calls)) {
      await expect(call(), name).rejects.toMatchObject({
        fault: { kind: 'outside', message: message(new RegExp(word, 'u')), quotesOutput: true },
      });
    }
    driver.close();
  });

  it('F35 a create with more output than conmon reads ends with the deadline', async () => {
    const driver = world.newDriver(withRuntime('yes >&2'));
    const container = world.container(['true']);
    await driver.writeBundle(container.bundle, fx);
    await expect(
      driver.create({ ...container.bundle, effective: container.effective }, fxOf(500)),
    ).rejects.toMatchObject({ fault: { kind: 'timedOut' } });
    expect(processesNaming(container.id)).toEqual([]);
    driver.close();
  });

  it('F36 a pid that does not match the start time in the runtime’s file is never trusted', async () => {
    const container = await world.run(['sleep', '1000']);
    const path = join(world.layout.runtimeRoot('runc'), container.id, 'state.json');
    const text = readFileSync(path, 'utf8');
    const state = JSON.parse(text) as { init_process_pid: number; init_process_start: number };
    for (const bad of [
      text.slice(0, 100),
      JSON.stringify({ ...state, init_process_pid: process.pid }),
      JSON.stringify({ ...state, id: 'other' }),
    ]) {
      writeFileSync(path, bad);
      expect((await world.driver.observe(fx)).containers).toMatchObject([
        { process: 'gone', init: undefined, leftovers: true, monitorAlive: true },
      ]);
      faults.wrongState.happened();
    }
    // and destroy, with the bad file in place, ends the container and not this process
    await world.driver.destroy(container.bundle, fx);
    expect(world.leftovers(container.id)).toEqual([]);
  });

  it('F37 when init dies between create and start, the start fails and the exit is reported', async () => {
    const container = world.container(['true']);
    const init = await world.create(container);
    world.driver.watch({ ...container.bundle, init });
    await world.driver.killAll({ ...container.bundle, init }, fx);
    expect(await world.exitOf(container.id)).toMatchObject({ exitCode: 137, observedBy: 'exitFile' });
    faults.deadInit.happened();
    await expect(world.driver.start(container.bundle, fx)).rejects.toMatchObject({
      fault: { kind: 'outside', message: message(/^start container .*: runc start: exit code 1/u) },
    });
  });

  describe('F40 F41 the exits directory', () => {
    it('a late exit file is waited for while the monitor lives', async () => {
      const container = await world.run(['sleep', '1000']);
      const monitor = monitorPid(container.id);
      process.kill(monitor, 'SIGSTOP');
      await world.driver.killAll({ ...container.bundle, init: container.init }, fx);
      await until(() => !existsSync(`/proc/${container.init.pid}/exe`));
      expect(world.exits.has(container.id)).toBe(false);
      faults.badExit.happened();
      process.kill(monitor, 'SIGCONT');
      expect(await world.exitOf(container.id)).toMatchObject({ exitCode: 137, observedBy: 'exitFile' });
    });

    it('invalid content is 255 with the reason; unknown ids are reported; other names are not', async () => {
      const unknown = 'e'.repeat(64);
      for (const name of ['..', '.x', `${unknown}.A1B2C3`, 'E'.repeat(64), 'e'.repeat(63)]) {
        if (name !== '..') writeFileSync(join(world.layout.exitsDir, name), '5');
      }
      writeFileSync(join(world.layout.exitsDir, unknown), 'nonsense');
      expect(await world.exitOf(unknown as never)).toMatchObject({
        exitCode: 255,
        reason: 'Unknown',
        message: 'invalid exit file: "nonsense"',
      });
      faults.badExit.happened();
      expect([...world.exits.keys()]).toEqual([unknown]);
      for (const name of readdirSync(world.layout.exitsDir)) unlinkSync(join(world.layout.exitsDir, name));
    });

    it('an end before the watch is reported at its start', async () => {
      const container = await world.run(['sh', '-c', 'exit 6']);
      await world.exitOf(container.id);
      world.driver.close();
      world.exits.clear();
      world.driver = world.newDriver();
      await world.driver.open();
      expect(await world.exitOf(container.id)).toMatchObject({ exitCode: 6 });
    });

    it('a burst that overflows the kernel’s queue loses no exit', async () => {
      const queue = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'));
      const ids = Array.from({ length: queue + 1000 }, (_none, at) => at.toString(16).padStart(64, '0'));
      // at one go: nothing is read from the queue meanwhile
      for (const id of ids) writeFileSync(join(world.layout.exitsDir, id), '3');
      // more than the kernel keeps, while nothing read them
      faults.lostEvents.happened();
      for (const id of ids) expect((await world.exitOf(id as never)).exitCode).toBe(3);
      for (const id of ids) unlinkSync(join(world.layout.exitsDir, id));
    });

    it('a lost watch is restarted, and exits in between are reported', async () => {
      const container = await world.run(['sleep', '1000']);
      renameSync(world.layout.exitsDir, `${world.layout.exitsDir}.moved`);
      mkdirSync(world.layout.exitsDir);
      writeFileSync(join(world.layout.exitsDir, container.id), '8');
      expect(await world.exitOf(container.id)).toMatchObject({ exitCode: 8 });
      faults.lostEvents.happened();
      const later = 'd'.repeat(64);
      writeFileSync(join(world.layout.exitsDir, later), '9');
      expect(await world.exitOf(later as never)).toMatchObject({ exitCode: 9 });
    });
  });

  it('a probe finds handlers ready, missing or broken', async () => {
    const broken = wrapper(world.root, 'broken', 'echo it is broken >&2; exit 1');
    const driver = world.newDriver({
      handlers: [
        { name: 'runc', path: RUNC, kind: 'oci' },
        { name: 'absent', path: '/nonexistent/runc', kind: 'oci' },
        { name: 'broken', path: broken, kind: 'oci' },
      ],
    });
    expect(driver.handlers().map((one) => one.ready)).toEqual([false, false, false, false]);
    await driver.probe();
    expect(driver.handlers()).toMatchObject([
      { name: '', ready: true, reason: '', recursiveReadOnlyMounts: true },
      { name: 'runc', ready: true, reason: '' },
      { name: 'absent', ready: false, reason: '/nonexistent/runc is not executable: ENOENT' },
      { name: 'broken', ready: false, reason: `${broken} --version: exit code 1: it is broken` },
    ]);
    driver.close();
    expect(existsSync(CONMON)).toBe(true);
  });
});
