// Containers and pauses that were half made: what is destroyed, found again, and left.
import { mkdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { silentLog } from '../../../src/base/log.ts';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RuntimeDriverOptions } from '../../../src/oci/runtime/container/parts.ts';
import { message, RUNC, World, fakeRuntime, fx, missing, monitorPidOf, processesNaming } from './support.ts';
import { fxOf } from '../../support/fx.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = missing();
if (reason !== '') console.log(`tests of containers in partial states are skipped: ${reason}`);

unless(describe, reason)('containers in partial states', () => {
  let world: World;
  beforeEach(async () => {
    world = await new World().open();
  });
  afterEach(async () => {
    expect(await world.close()).toEqual([]);
  });
  const withRuntime = (script: string): Partial<RuntimeDriverOptions> => fakeRuntime(world.root, script);
  const monitorPid = (id: string): number => monitorPidOf(world, id);

  describe('destroy works from every partial state', () => {
    const half: readonly (readonly [string, (id: never) => void | Promise<void>])[] = [
      ['whole and running', () => undefined],
      ['the bundle is gone', (id) => rmSync(world.layout.bundleDir(id), { recursive: true })],
      ['the note is gone', (id) => rmSync(join(world.layout.containerDir(id), 'troupe.json'))],
      [
        'the pid files are gone',
        (id) => {
          rmSync(world.layout.monitorPidFile(id));
          rmSync(world.layout.pidFile(id));
        },
      ],
      [
        'the runtime’s state is gone',
        (id) => rmSync(join(world.layout.runtimeRoot('runc'), id), { recursive: true }),
      ],
      [
        'the runtime’s state is cut short',
        (id) => writeFileSync(join(world.layout.runtimeRoot('runc'), id, 'state.json'), '{"id":'),
      ],
      [
        'the runtime’s state is a directory with its binary bound in it, as runc leaves it when killed at its start',
        async (id) => {
          const state = join(world.layout.runtimeRoot('runc'), id);
          await world.driver.killAll({ ...world.container([]).bundle, id, init: undefined }, fx);
          rmSync(state, { recursive: true });
          mkdirSync(state);
          writeFileSync(join(state, 'runc.AbCdEf'), '');
          execFileSync('mount', ['--bind', RUNC, join(state, 'runc.AbCdEf')]);
        },
      ],
      ['the monitor is dead', (id) => void process.kill(monitorPid(id), 'SIGKILL')],
      ['the monitor is stopped', (id) => void process.kill(monitorPid(id), 'SIGSTOP')],
    ];
    it.each(half)('%s', async (_name, spoil) => {
      const container = await world.run([
        'sh',
        '-c',
        'trap "" TERM; setsid sleep 1000 & while :; do sleep 1; done',
      ]);
      await until(() => processesNaming(container.id).some((line) => /^\d+ sleep 1000\b/u.test(line)));
      await spoil(container.id as never);
      await world.driver.destroy(container.bundle, fx);
      expect(world.leftovers(container.id)).toEqual([]);
      await world.driver.destroy(container.bundle, fx);
    });

    it('nothing was made', async () => {
      await world.driver.destroy(world.container(['true']).bundle, fx);
    });

    it('only the bundle was written', async () => {
      const container = world.container(['true']);
      await world.driver.writeBundle(container.bundle, fx);
      await world.driver.destroy(container.bundle, fx);
      expect(world.leftovers(container.id)).toEqual([]);
    });

    it('created and never started', async () => {
      const container = world.container(['true']);
      await world.create(container);
      await world.driver.destroy(container.bundle, fx);
      expect(world.leftovers(container.id)).toEqual([]);
    });

    it('ended, deleted by the runtime, exit file left', async () => {
      const container = await world.run(['true']);
      await world.exitOf(container.id);
      await world.driver.delete(container.bundle, fx);
      await world.driver.destroy(container.bundle, fx);
      expect(world.leftovers(container.id)).toEqual([]);
    });

    // a reboot takes the record of a handler that the configuration does not have any more
    it('F80 F89 nothing is known of its handler', async () => {
      const handler = 'runc';
      const [running, unmade] = [await world.run(['sleep', '1000']), world.container(['true'])];
      rmSync(world.layout.handlersDir, { recursive: true });
      world.driver.close();
      world.driver = world.newDriver({
        handlers: [{ name: 'other', path: RUNC, kind: 'oci' }],
        defaultHandler: 'other',
      });
      await world.driver.open();
      world.driver.watch({ ...running.bundle, handler, init: running.init });
      await world.driver.kill({ ...running.bundle, handler, init: running.init, signal: 'SIGKILL' }, fx);
      expect(await world.exitOf(running.id)).toMatchObject({ exitCode: 137 });
      await world.driver.delete({ ...running.bundle, handler }, fx);
      for (const { bundle } of [running, unmade]) await world.driver.destroy({ ...bundle, handler }, fx);
      expect(world.leftovers(running.id)).toEqual([]);
      const sandbox = { ...running.bundle.sandbox, handler };
      await world.driver.destroyPause({ id: world.sandboxId, sandbox }, fx);
      // new containers need a handler
      await expect(world.driver.startPause({ id: world.sandboxId, sandbox }, fx)).rejects.toThrow(
        /not-configured/u,
      );
    });

    it('a create of an earlier daemon is under way', async () => {
      const other = world.newDriver(withRuntime(`[ "$verb" = create ] && sleep 1000; exec ${RUNC} "$@"`));
      const container = world.container(['true']);
      const lost = world.create(container, other).catch(() => undefined);
      await until(() => processesNaming(container.id).some((line) => line.includes('fake-runc')));
      expect((await world.driver.observe(fx)).containers).toMatchObject([
        { process: 'gone', leftovers: true },
      ]);
      await world.driver.destroy(container.bundle, fx);
      await lost;
      await world.driver.destroy(container.bundle, fx);
      expect(world.leftovers(container.id)).toEqual([]);
      other.close();
    });
  });

  it('F38 F89 a lost monitor is reported, also where a file that can not be read delays the watch', async () => {
    const container = await world.run(['sleep', '1000']);
    world.driver.close();
    process.kill(monitorPid(container.id), 'SIGKILL');
    await until(() => !processesNaming(container.id).some((line) => line.includes('conmon')));
    const file = world.layout.monitorPidFile(container.id);
    unlinkSync(file);
    symlinkSync(file, file);
    const said: string[] = [];
    world.driver = world.newDriver({
      log: { ...silentLog, error: (_fields, text) => void said.push(text) },
    });
    await world.driver.open();
    world.driver.watch({ ...container.bundle, init: container.init });
    await until(() => said.some((text) => text.startsWith('watch exits failed')));
    expect(world.exits.get(container.id)).toBeUndefined();
    unlinkSync(file);
    expect(await world.exitOf(container.id)).toMatchObject({ exitCode: 255, reason: 'MonitorLost' });
    expect(processesNaming(container.id)).toEqual([]);
  });

  it('a new driver observes existing containers without starting a process', async () => {
    const running = await world.run(['sleep', '1000']);
    const created = world.container(['true']);
    const init = await world.create(created);
    const ended = await world.run(['sh', '-c', 'exit 4']);
    await world.exitOf(ended.id);
    await until(() => processesNaming(ended.id).length === 0);
    const broken = world.newDriver({ ...withRuntime('exit 1'), monitorPath: '/nonexistent' });
    const { containers } = await broken.observe(fx);
    const byId = new Map(containers.map((one) => [one.id, one]));
    expect(byId.get(running.id)).toMatchObject({
      process: 'running',
      init: running.init,
      monitorAlive: true,
      exitFile: undefined,
      leftovers: true,
    });
    expect(byId.get(created.id)).toMatchObject({
      process: 'created',
      init,
      monitorAlive: true,
      exitFile: undefined,
      leftovers: true,
    });
    expect(byId.get(ended.id)).toMatchObject({
      process: 'gone',
      init: undefined,
      monitorAlive: false,
      exitFile: { exitCode: 4 },
      leftovers: true,
    });
    expect(containers).toHaveLength(3);
    broken.close();
  });

  it('a pause process runs, is observed and is destroyed, also from partial states', async () => {
    const input = { id: world.sandboxId, sandbox: world.container([]).bundle.sandbox };
    const pause = await world.driver.startPause(input, fx);
    expect(await world.driver.startPause(input, fx)).toEqual(pause);
    // the runtime's start returns once init may go on, which may be before init has become the program
    await until(() => readFileSync(`/proc/${pause.pid}/cmdline`, 'utf8') === 'sleep\u00001000\u0000');
    expect(await world.driver.observe(fx)).toEqual({
      containers: [],
      pauses: [{ id: world.sandboxId, process: pause }],
    });
    await world.driver.destroyPause(input, fx);
    await world.driver.destroyPause(input, fx);
    expect(await world.driver.observe(fx)).toEqual({ containers: [], pauses: [] });
    await world.driver.startPause(input, fx);
    rmSync(world.layout.pauseBundleDir(world.sandboxId), { recursive: true });
    expect((await world.driver.observe(fx)).pauses).toHaveLength(1);
    await world.driver.destroyPause(input, fx);
    expect(processesNaming(world.sandboxId)).toEqual([]);
    expect(await world.driver.observe(fx)).toEqual({ containers: [], pauses: [] });
  });

  it('a pause process that can’t be made fails with the stage and leaves nothing', async () => {
    const input = { id: world.sandboxId, sandbox: world.container([]).bundle.sandbox };
    const failing = world.newDriver(withRuntime('exit 5'));
    await expect(failing.startPause(input, fx)).rejects.toMatchObject({
      fault: { kind: 'outside', message: message(/runc create: exit code 5: no error message$/u) },
    });
    const hanging = world.newDriver(withRuntime('exec sleep 1000'));
    await expect(hanging.startPause(input, fxOf(300))).rejects.toMatchObject({
      fault: { kind: 'timedOut', message: message(/runc create: killed/u) },
    });
    expect(await world.driver.observe(fx)).toEqual({ containers: [], pauses: [] });
    expect(processesNaming(world.sandboxId)).toEqual([]);
    for (const driver of [failing, hanging]) driver.close();
  });
});
