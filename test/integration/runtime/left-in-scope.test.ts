// Below a slice a container's monitor has a leaf of the container's scope, where the runtime's create runs its hooks.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createCgroup, listProcesses, moveProcess } from '../../../src/host/cgroups/cgroups.ts';
import type { Systemd } from '../../../src/host/cgroups/systemd.ts';
import { scopeOf } from '../../../src/host/cgroups/slices.ts';
import { containerCgroup } from '../../../src/host/sandbox/layout.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';
import { cgroups } from './kernel.ts';
import { fx, missing, World } from './support.ts';

/** Makes scopes as systemd does, but removes none: the driver does that where systemd does not. */
const systemd: Systemd = {
  startScope: async (cgroup, pid) => {
    await createCgroup(cgroups, cgroup);
    await moveProcess(cgroups, cgroup, pid);
  },
  limitScope: async () => undefined,
};

unless(describe, missing())('a container below a slice', () => {
  let world: World;
  beforeEach(async () => {
    world = await new World({ systemd }, undefined, 'slice').open();
  });
  afterEach(async () => {
    expect(await world.close()).toEqual([]);
  });

  it('F46 F48 a process that a hook has left beside the monitor ends with its container, which is removed', async () => {
    const container = world.container(['true']);
    await world.driver.writeBundle(container.bundle, fx);
    const path = join(world.layout.bundleDir(container.id), 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as { hooks?: object };
    const program = 'sleep 1000 </dev/null >/dev/null 2>&1 & sleep 1000 </dev/null >/dev/null 2>&1 &';
    config.hooks = { prestart: [{ path: '/bin/sh', args: ['sh', '-c', program] }] };
    rmSync(path);
    writeFileSync(path, JSON.stringify(config));
    const init = await world.driver.create({ ...container.bundle, effective: container.effective }, fx);
    world.driver.watch({ ...container.bundle, init });
    await world.driver.start(container.bundle, fx);
    await world.exitOf(container.id);
    const cgroup = containerCgroup(world.parent, container.id);
    const scope = scopeOf(cgroup) ?? '';
    const monitor = Number(readFileSync(world.layout.monitorPidFile(container.id), 'utf8'));
    await until(() => !existsSync(`/proc/${monitor}`));
    const left = await listProcesses(cgroups, scope);
    expect(left).toHaveLength(2);
    await world.driver.destroy({ ...container.bundle, ended: true }, fx);
    expect(await listProcesses(cgroups, scope)).toEqual([]);
    expect(world.leftovers(container.id)).toEqual([]);
  });
});
