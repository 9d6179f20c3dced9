// start and delete of known releases of runc without running them; what is not as usual is left to runc
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EffectContext } from '../../../src/ports/effect.ts';
import { withCgroup } from '../../../src/host/cgroups/cgroups.ts';
import type { ThreadRequest } from '../../../src/host/kernel-thread/thread-protocol.ts';
import { recogniseMemory } from '../../../src/host/files/state-files.ts';
import { mountBind, unmount } from '../../../src/host/mounts/mounts.ts';
import { containerCgroup } from '../../../src/host/sandbox/layout.ts';
import { EXEC_FIFO } from '../../../src/oci/runtime/container/runc.ts';
import { runc14, runcNewest } from '../../support/tools/go-tools.ts';
import { unless } from '../../support/skips/unless.ts';
import { until } from '../../support/eventually.ts';
import { cgroupPaths, cgroups, freezeAll } from './kernel.ts';
import { type Container, fx, gone, missing, RUNC, World } from './support.ts';

/** A tmpfs, as /run is on a node. */
const MEMORY = '/dev/shm';

const programs = { 'Debian’s': async () => Promise.resolve(RUNC), '1.4': runc14, newest: runcNewest };

let world: World;
/** What the driver's calls waited on. */
let waits: string[] = [];

const noting = (timeoutMs = fx.timeoutMs): EffectContext => ({
  ...fx,
  timeoutMs,
  note: ({ on }) => void waits.push(on),
});

async function open(path: string, shortcuts = true): Promise<void> {
  waits = [];
  world = new World({ handlers: [{ name: 'runc', path, kind: 'oci', shortcuts }] }, MEMORY);
  await recogniseMemory(world.root);
  await world.open();
  await world.driver.probe();
}

const stateOf = ({ id }: Container): string => join(world.layout.runtimeRoot('runc'), id);

/** Creates, starts and waits for the end. */
async function ended(argv: readonly string[]): Promise<Container> {
  const container = world.container(argv);
  const init = await world.create(container);
  world.driver.watch({ ...container.bundle, init });
  await world.driver.start(container.bundle, noting());
  await world.exitOf(container.id);
  return container;
}

afterEach(async () => {
  expect(await world.close()).toEqual([]);
});

unless(describe, missing())('runc’s verbs without runc', () => {
  for (const [name, program] of Object.entries(programs)) {
    it(`${name} runc: a container starts, ends and is deleted without a call of it`, async () => {
      await open(await program());
      const container = await ended(['sh', '-c', 'exit 7']);
      expect(world.exits.get(container.id)?.[0]?.exitCode).toBe(7);
      expect(existsSync(join(stateOf(container), EXEC_FIFO))).toBe(false);
      await world.driver.delete(container.bundle, noting());
      expect(waits).toEqual(['init to leave its FIFO']);
      expect(existsSync(stateOf(container))).toBe(false);
      const cgroup = containerCgroup(world.parent, container.id);
      expect(cgroupPaths(cgroup).filter((path) => existsSync(path))).toEqual([]);
    });
  }

  it('the switch is off: runc is called', async () => {
    await open(await runc14(), false);
    const container = await ended(['true']);
    await world.driver.delete(container.bundle, noting());
    expect(waits).toEqual(expect.arrayContaining(['runc start', 'runc delete']));
  });

  describe('with runc 1.4', () => {
    beforeEach(async () => open(await runc14()));

    it('the cgroup that was removed with the state is not removed again, but by another daemon', async () => {
      const containers = [await ended(['true']), await ended(['true'])];
      for (const { bundle } of containers) await world.driver.delete(bundle, noting());
      const restarted = world.newDriver();
      const posted = vi.spyOn(Worker.prototype, 'postMessage');
      const removals: number[] = [];
      for (const [at, { id, bundle }] of containers.entries()) {
        await (at === 0 ? world.driver : restarted).destroy({ ...bundle, ended: true }, noting());
        const path = containerCgroup(world.parent, id);
        const orders = posted.mock.calls.map(([request]) => (request as ThreadRequest).order);
        removals.push(
          orders.filter((one) => one.kind === 'cgroup' && one.act === 'remove' && one.path === path).length,
        );
      }
      expect(removals).toEqual([0, 1]);
      posted.mockRestore();
      restarted.close();
    });

    it('a second start is refused in runc’s words', async () => {
      const { bundle } = await world.run(['sleep', '1000']);
      await expect(world.driver.start(bundle, noting())).rejects.toThrow(
        /runc start: exit code 1: cannot start an already running container/u,
      );
    });

    it('a start of what was killed before is refused in runc’s words', async () => {
      const container = world.container(['sleep', '1000']);
      const init = await world.create(container);
      process.kill(init.pid, 'SIGKILL');
      await gone(container.id);
      await expect(world.driver.start(container.bundle, noting())).rejects.toThrow(
        /runc start: exit code 1: cannot start a container that has stopped/u,
      );
    });

    it('a start waits for a frozen init until its bound, and a later one succeeds', async () => {
      const container = world.container(['sh', '-c', 'exit 3']);
      const init = await world.create(container);
      world.driver.watch({ ...container.bundle, init });
      const cgroup = containerCgroup(world.parent, container.id);
      await freezeAll(cgroup);
      await expect(world.driver.start(container.bundle, noting(300))).rejects.toThrow(
        /timed out after 300 ms waiting for init/u,
      );
      await withCgroup('thaw', cgroups, cgroup);
      await world.driver.start(container.bundle, noting());
      expect((await world.exitOf(container.id)).exitCode).toBe(3);
    });

    it('F03 a daemon that was killed before it removed the FIFO finds the container running', async () => {
      const container = world.container(['sleep', '1000']);
      const init = await world.create(container);
      const fifo = join(stateOf(container), EXEC_FIFO);
      await world.driver.start(container.bundle, noting());
      execFileSync('mkfifo', [fifo]);
      await until(() => readFileSync(`/proc/${init.pid}/cmdline`, 'utf8').startsWith('sleep'));
      expect((await world.driver.observe(fx)).containers).toMatchObject([
        { id: container.id, process: 'running' },
      ]);
    });

    it('hooks after the end are run by runc', async () => {
      const container = world.container(['true']);
      await world.driver.writeBundle(container.bundle, fx);
      const path = world.layout.configJson(container.id);
      const config = JSON.parse(readFileSync(path, 'utf8')) as object;
      const mark = join(world.root, 'after');
      const hooks = { poststop: [{ path: '/bin/sh', args: ['sh', '-c', `cat > ${mark}`] }] };
      writeFileSync(path, JSON.stringify({ ...config, hooks }));
      const init = await world.driver.create({ ...container.bundle, effective: container.effective }, fx);
      world.driver.watch({ ...container.bundle, init });
      await world.driver.start(container.bundle, noting());
      await world.exitOf(container.id);
      await world.driver.delete(container.bundle, noting());
      expect(waits).toContain('runc delete');
      expect(JSON.parse(readFileSync(mark, 'utf8'))).toMatchObject({ id: container.id, status: 'stopped' });
    });

    it('a file that cannot be removed leaves the rest to runc', async () => {
      const container = await ended(['true']);
      writeFileSync(join(world.root, 'aside'), '');
      // as before runc 1.2, when it was killed at its start: its binary is bound there
      const bound = join(stateOf(container), 'runc.bound');
      writeFileSync(bound, '');
      await mountBind({ source: join(world.root, 'aside'), target: bound });
      await expect(world.driver.delete(container.bundle, noting())).rejects.toThrow(/busy/u);
      expect(waits).toContain('runc delete');
      await unmount(bound);
      await world.driver.delete(container.bundle, noting());
      expect(existsSync(stateOf(container))).toBe(false);
    });
  });
});
