// Pods in containerd's own shim for runc, built from its Go module: the same protocol as the shims of virtual machines.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilTermed } from '../../e2e/support/pods.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { World } from '../../e2e/support/world.ts';
import { shimRuncV2 } from '../../support/tools/go-tools.ts';
import { closeWorld, makePod, removePod } from './pod.ts';
import type { PodWish } from './pod.ts';

const MIB = 1024n * 1024n;

describe('a handler with a shim', () => {
  let world: World;

  beforeAll(async () => {
    const config = `[runtime.handlers.shim]\ntype = "vm"\npath = "${await shimRuncV2()}"\n`;
    world = await makeWorld({ name: 'shim', network: 'host-only', config });
  }, 600_000);

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  const pod = (name: string, wish: PodWish = {}) => makePod(world, name, { runtimeHandler: 'shim', ...wish });
  const shimOf = (sandboxId: string): number =>
    (JSON.parse(readFileSync(join(world.instance.state, 'sandboxes', sandboxId, 'shim.json'), 'utf8')) as { shim: { pid: number } }).shim.pid;
  const logOf = (name: string): string => readFileSync(`${world.logs}/${name}/main/0.log`, 'utf8');
  const statusOf = async (containerId: string) => (await world.client.runtime.containerStatus({ containerId })).status;

  it('is listed as ready', async () => {
    const { runtimeHandlers, info } = await world.client.runtime.status({ verbose: true });
    expect(runtimeHandlers.map(({ name }) => name).toSorted()).toEqual(['', 'runc', 'shim']);
    expect(JSON.parse(info['handlers'] ?? '')).toContainEqual(expect.objectContaining({ name: 'shim', ready: true }));
  });

  it('runs a pod from its creation to its end: log, exec, limits, exit code, and leaves nothing', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('life', { command: untilTermed(7), limits: { memoryLimitInBytes: 64n * MIB } });
    const shim = shimOf(sandboxId);
    expect(readFileSync(`/proc/${shim}/cgroup`, 'utf8')).toContain(`troupe-sandbox-${sandboxId}/monitors`);
    await runtime.startContainer({ containerId });
    const exec = await runtime.execSync({ containerId, cmd: ['sh', '-c', 'echo inside; echo outside >&2; exit 3'], timeout: 10n });
    expect([Buffer.from(exec.stdout).toString(), Buffer.from(exec.stderr).toString(), exec.exitCode]).toEqual(['inside\n', 'outside\n', 3]);
    await runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 48n * MIB } });
    expect((await statusOf(containerId))?.resources?.linux?.memoryLimitInBytes).toBe(48n * MIB);
    await runtime.stopContainer({ containerId, timeout: 60n });
    expect(await statusOf(containerId)).toMatchObject({ exitCode: 7, reason: 'Error' });
    expect(logOf('life')).toContain('stdout F up\n');
    await removePod(world, sandboxId);
    expect(existsSync(`/proc/${shim}`)).toBe(false);
    expect(readdirSync(join(world.instance.state, 'shims'))).toEqual(['events.sock']);
  });
});
