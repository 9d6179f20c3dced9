// UpdateContainerResources of the running daemon: request → cgroup files → ContainerStatus, and what a crash leaves.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { World } from '../../e2e/support/world.ts';
import type { Limits } from './pod.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import { detectCgroups } from '../../../src/host/cgroup-layout.ts';

const MIB = 1024n * 1024n;
const cgroups = await detectCgroups();
/** Codes of gRPC. */
const NOT_FOUND = 5;
const FAILED_PRECONDITION = 9;
const INVALID_ARGUMENT = 3;

let world: World;

beforeAll(async () => {
  world = await hostOnlyWorld('upd');
});

afterAll(async () => {
  expect(await closeWorld(world)).toEqual([]);
});

const made = (name: string, limits: Limits, command: readonly string[] = ['sleep', '3600']) => makePod(world, name, { limits, command });

function update(containerId: string, linux: Limits): Promise<unknown> {
  return world.client.runtime.updateContainerResources({ containerId, linux });
}

const codeOf = (call: Promise<unknown>): Promise<number> => call.then(() => 0, (error: { code: number }) => error.code);

async function told(containerId: string): Promise<Limits> {
  const { status } = await world.client.runtime.containerStatus({ containerId });
  const { cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes } = status?.resources?.linux ?? {};
  return { cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes } as Limits;
}

/** The same out of the cgroup's files; only what both versions have a file for. */
function inForce(containerId: string): { readonly memory: bigint; readonly cpu: string } {
  const file = (controller: string, name: string): string => {
    const mount = cgroups.hierarchies.find((one) => one.controllers.includes(controller))?.mountPoint ?? '';
    return readFileSync(join(mount, world.instance.words[0] ?? '', `troupe-${containerId}`, name), 'utf8').trim();
  };
  if (cgroups.version === 2) return { memory: BigInt(file('memory', 'memory.max')), cpu: file('cpu', 'cpu.max') };
  return { memory: BigInt(file('memory', 'memory.limit_in_bytes')), cpu: `${file('cpu', 'cpu.cfs_quota_us')} ${file('cpu', 'cpu.cfs_period_us')}` };
}

describe('UpdateContainerResources', () => {
  it('of a running container: in force and told at once, what is not named stays', async () => {
    const { sandboxId, containerId } = await made('run', { memoryLimitInBytes: 64n * MIB, cpuShares: 512n });
    await world.client.runtime.startContainer({ containerId });
    await update(containerId, { cpuQuota: 20_000n, cpuPeriod: 50_000n });
    expect(inForce(containerId)).toEqual({ memory: 64n * MIB, cpu: '20000 50000' });
    await update(containerId, { memoryLimitInBytes: 96n * MIB });
    expect(inForce(containerId)).toEqual({ memory: 96n * MIB, cpu: '20000 50000' });
    expect(await told(containerId)).toEqual({ cpuShares: 512n, cpuQuota: 20_000n, cpuPeriod: 50_000n, memoryLimitInBytes: 96n * MIB });
    await update(containerId, { memoryLimitInBytes: 32n * MIB, cpuQuota: -1n });
    expect(inForce(containerId)).toEqual({ memory: 32n * MIB, cpu: cgroups.version === 2 ? 'max 50000' : '-1 50000' });
    await removePod(world, sandboxId);
  });

  it('of a created container: it stays created, starts with the new limits, and can be stopped', async () => {
    const { sandboxId, containerId } = await made('new', { memoryLimitInBytes: 64n * MIB });
    await update(containerId, { memoryLimitInBytes: 48n * MIB });
    const { status } = await world.client.runtime.containerStatus({ containerId });
    expect(status?.state).toBe(ContainerState.CONTAINER_CREATED);
    await world.client.runtime.startContainer({ containerId });
    expect(inForce(containerId).memory).toBe(48n * MIB);
    await world.client.runtime.stopContainer({ containerId, timeout: 0n });
    expect(await codeOf(update(containerId, { memoryLimitInBytes: 64n * MIB }))).toBe(FAILED_PRECONDITION);
    await world.client.runtime.removeContainer({ containerId });
    expect(await codeOf(update(containerId, { memoryLimitInBytes: 64n * MIB }))).toBe(NOT_FOUND);
    await removePod(world, sandboxId);
  });

  it('one after the other when they come at once; a start and a stop among them are kept', async () => {
    const { sandboxId, containerId } = await made('many', { memoryLimitInBytes: 64n * MIB });
    const updates = [70n, 80n, 90n].map((size) => update(containerId, { memoryLimitInBytes: size * MIB }));
    const started = world.client.runtime.startContainer({ containerId });
    await Promise.all([...updates, started]);
    expect(inForce(containerId).memory).toBe(90n * MIB);
    const late = [50n, 60n].map((size) => codeOf(update(containerId, { memoryLimitInBytes: size * MIB })));
    await world.client.runtime.stopContainer({ containerId, timeout: 0n });
    // each was in time or too late, and none hangs
    for (const code of await Promise.all(late)) expect([0, FAILED_PRECONDITION]).toContain(code);
    await removePod(world, sandboxId);
  });

  it('F09: a limit below what is used, or one that the kernel refuses, is refused and leaves all as it was', async () => {
    const filled = ['sh', '-c', 'x=$(head -c 24000000 /dev/zero | tr "\\\\0" x); echo full; while :; do sleep 3600; done'];
    const { sandboxId, containerId } = await made('full', { memoryLimitInBytes: 128n * MIB, cpuShares: 256n }, filled);
    await world.client.runtime.startContainer({ containerId });
    await untilLogged(`${world.logs}/full/main/0.log`, 'full');
    const before = inForce(containerId);
    expect(await codeOf(update(containerId, { memoryLimitInBytes: 16n * MIB, cpuShares: 1024n }))).toBe(FAILED_PRECONDITION);
    // a CPU that no machine has: the runtime fails after it may have set the memory
    expect(await codeOf(update(containerId, { memoryLimitInBytes: 100n * MIB, cpusetCpus: '8000' }))).not.toBe(0);
    expect(await codeOf(update(containerId, { memoryLimitInBytes: 1n }))).toBe(INVALID_ARGUMENT);
    expect(inForce(containerId)).toEqual(before);
    expect(await told(containerId)).toMatchObject({ cpuShares: 256n, memoryLimitInBytes: 128n * MIB });
    await update(containerId, { memoryLimitInBytes: 110n * MIB });
    expect(inForce(containerId).memory).toBe(110n * MIB);
    await removePod(world, sandboxId);
  });

  it('F09: is told after kill -9 and a restart; one that was cut short is in force as it is told', async () => {
    const { sandboxId, containerId } = await made('kill', { memoryLimitInBytes: 64n * MIB });
    await world.client.runtime.startContainer({ containerId });
    await update(containerId, { memoryLimitInBytes: 72n * MIB, cpuQuota: 30_000n, cpuPeriod: 100_000n });
    await world.instance.kill();
    await world.instance.start();
    expect(await told(containerId)).toMatchObject({ memoryLimitInBytes: 72n * MIB, cpuQuota: 30_000n, cpuPeriod: 100_000n });
    const cut = codeOf(update(containerId, { memoryLimitInBytes: 80n * MIB }));
    await world.instance.kill();
    await cut;
    await world.instance.start();
    // what the crash left of the update goes on first, so that this one finds a container at rest
    await update(containerId, { cpuShares: 300n });
    const memory = (await told(containerId)).memoryLimitInBytes;
    expect([72n * MIB, 80n * MIB]).toContain(memory);
    expect(inForce(containerId).memory).toBe(memory);
    await removePod(world, sandboxId);
  });
});

/** Waits for a line in a log: each look asks the daemon something, so that the loop is bounded by its answers. */
async function untilLogged(path: string, word: string): Promise<void> {
  for (let looks = 0; looks < 1000; looks += 1) {
    if (readFileSync(path, 'utf8').includes(word)) return;
    await world.client.runtime.version({});
  }
  throw new Error(`${path} never said ${word}`);
}
