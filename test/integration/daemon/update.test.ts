// UpdateContainerResources of the running daemon: request → cgroup files → ContainerStatus, and what a crash leaves.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { World } from '../../e2e/support/world.ts';
import type { Limits } from './pod.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { until } from '../../support/eventually.ts';

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

const made = (name: string, limits: Limits, command: readonly string[] = ['sleep', '3600']) =>
  makePod(world, name, { limits, command });

function update(containerId: string, linux: Limits): Promise<unknown> {
  return world.client.runtime.updateContainerResources({ containerId, linux });
}

const codeOf = (call: Promise<unknown>): Promise<number> =>
  call.then(
    () => 0,
    (error: { code: number }) => error.code,
  );

async function reported(containerId: string): Promise<Limits> {
  const { status } = await world.client.runtime.containerStatus({ containerId });
  const { cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes } = status?.resources?.linux ?? {};
  return { cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes } as Limits;
}

/** The same out of the cgroup's files; only what both versions have a file for. */
function inForce(containerId: string): { readonly memory: bigint; readonly cpu: string } {
  const file = (controller: string, name: string): string => {
    const mount = cgroups.hierarchies.find((one) => one.controllers.includes(controller))?.mountPoint ?? '';
    return readFileSync(
      join(mount, world.instance.words[0] ?? '', `troupe-${containerId}`, name),
      'utf8',
    ).trim();
  };
  if (cgroups.version === 2)
    return { memory: BigInt(file('memory', 'memory.max')), cpu: file('cpu', 'cpu.max') };
  return {
    memory: BigInt(file('memory', 'memory.limit_in_bytes')),
    cpu: `${file('cpu', 'cpu.cfs_quota_us')} ${file('cpu', 'cpu.cfs_period_us')}`,
  };
}

describe('UpdateContainerResources', () => {
  it('of a running container: limits are in force and reported at once; unset fields stay', async () => {
    const { sandboxId, containerId } = await made('run', { memoryLimitInBytes: 64n * MIB, cpuShares: 512n });
    await world.client.runtime.startContainer({ containerId });
    await update(containerId, { cpuQuota: 20_000n, cpuPeriod: 50_000n });
    expect(inForce(containerId)).toEqual({ memory: 64n * MIB, cpu: '20000 50000' });
    await update(containerId, { memoryLimitInBytes: 96n * MIB });
    expect(inForce(containerId)).toEqual({ memory: 96n * MIB, cpu: '20000 50000' });
    expect(await reported(containerId)).toEqual({
      cpuShares: 512n,
      cpuQuota: 20_000n,
      cpuPeriod: 50_000n,
      memoryLimitInBytes: 96n * MIB,
    });
    await update(containerId, { memoryLimitInBytes: 32n * MIB, cpuQuota: -1n });
    expect(inForce(containerId)).toEqual({
      memory: 32n * MIB,
      cpu: cgroups.version === 2 ? 'max 50000' : '-1 50000',
    });
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

  it('runs concurrent updates one after the other; a start and a stop among them take effect', async () => {
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
    const filled = [
      'sh',
      '-c',
      'x=$(head -c 24000000 /dev/zero | tr "\\\\0" x); echo full; while :; do sleep 3600; done',
    ];
    const { sandboxId, containerId } = await made(
      'full',
      { memoryLimitInBytes: 128n * MIB, cpuShares: 256n },
      filled,
    );
    await world.client.runtime.startContainer({ containerId });
    await until(() => readFileSync(`${world.logs}/full/main/0.log`, 'utf8').includes('full'));
    const before = inForce(containerId);
    expect(await codeOf(update(containerId, { memoryLimitInBytes: 16n * MIB, cpuShares: 1024n }))).toBe(
      FAILED_PRECONDITION,
    );
    // a CPU that no machine has: the runtime fails after it may have set the memory
    expect(
      await codeOf(update(containerId, { memoryLimitInBytes: 100n * MIB, cpusetCpus: '8000' })),
    ).not.toBe(0);
    expect(await codeOf(update(containerId, { memoryLimitInBytes: 1n }))).toBe(INVALID_ARGUMENT);
    expect(inForce(containerId)).toEqual(before);
    expect(await reported(containerId)).toMatchObject({ cpuShares: 256n, memoryLimitInBytes: 128n * MIB });
    await update(containerId, { memoryLimitInBytes: 110n * MIB });
    expect(inForce(containerId).memory).toBe(110n * MIB);
    await removePod(world, sandboxId);
  });

  it('F09: is reported after kill -9 and a restart; an interrupted one is in force as reported', async () => {
    const { sandboxId, containerId } = await made('kill', { memoryLimitInBytes: 64n * MIB });
    await world.client.runtime.startContainer({ containerId });
    await update(containerId, { memoryLimitInBytes: 72n * MIB, cpuQuota: 30_000n, cpuPeriod: 100_000n });
    await world.instance.kill();
    await world.instance.start();
    expect(await reported(containerId)).toMatchObject({
      memoryLimitInBytes: 72n * MIB,
      cpuQuota: 30_000n,
      cpuPeriod: 100_000n,
    });
    const cut = codeOf(update(containerId, { memoryLimitInBytes: 80n * MIB }));
    await world.instance.kill();
    await cut;
    await world.instance.start();
    // what the crash left of the update goes on first, so that this one finds a container at rest
    await update(containerId, { cpuShares: 300n });
    const memory = (await reported(containerId)).memoryLimitInBytes;
    expect([72n * MIB, 80n * MIB]).toContain(memory);
    expect(inForce(containerId).memory).toBe(memory);
    await removePod(world, sandboxId);
  });
});

describe('an update with a controlled runtime', () => {
  let directory: string;
  const file = (name: string): string => join(directory, name);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-update-'));
    // does the update for real, and then what the file `after` says
    const script = [
      '#!/bin/sh',
      `case " $* " in *" update "*) if [ -e ${file('after')} ]; then`,
      `runc "$@"; . ${file('after')}; fi;; esac`,
      'exec runc "$@"',
      '',
    ];
    writeFileSync(file('runtime'), script.join('\n'), { mode: 0o755 });
    expect(await closeWorld(world)).toEqual([]);
    world = await hostOnlyWorld('updb', { runtimePath: file('runtime') });
  });

  afterAll(() => rmSync(directory, { recursive: true }));

  it('F09: killed between kernel and record, it is completed at the next start', async () => {
    const { sandboxId, containerId } = await made('cut', { memoryLimitInBytes: 64n * MIB });
    writeFileSync(
      file('after'),
      `echo $$ > ${file('pid')}.new; mv ${file('pid')}.new ${file('pid')}; while :; do sleep 1; done\n`,
    );
    const cut = codeOf(update(containerId, { memoryLimitInBytes: 80n * MIB }));
    await until(() => existsSync(file('pid')));
    expect(inForce(containerId).memory).toBe(80n * MIB);
    expect((await reported(containerId)).memoryLimitInBytes).toBe(64n * MIB);
    await world.instance.kill();
    process.kill(Number(readFileSync(file('pid'), 'utf8')), 'SIGKILL');
    rmSync(file('after'));
    expect(await cut).not.toBe(0);
    await world.instance.start();
    await world.client.runtime.startContainer({ containerId });
    expect((await reported(containerId)).memoryLimitInBytes).toBe(80n * MIB);
    expect(inForce(containerId).memory).toBe(80n * MIB);
    await removePod(world, sandboxId);
  });

  it('F09: failed after the kernel took it, it is reverted', async () => {
    const { sandboxId, containerId } = await made('back', { memoryLimitInBytes: 64n * MIB });
    writeFileSync(file('after'), `rm ${file('after')}; echo no >&2; exit 1\n`);
    const thrown = await update(containerId, {
      memoryLimitInBytes: 80n * MIB,
      cpuQuota: 20_000n,
      cpuPeriod: 50_000n,
    }).catch((error: Error) => error);
    expect(String(thrown)).toContain(
      `UpdateContainerResources ${containerId}: update container ${containerId}: runc update: exit code 1: no`,
    );
    const none = cgroups.version === 2 ? 'max 100000' : '-1 100000';
    expect(inForce(containerId)).toEqual({ memory: 64n * MIB, cpu: none });
    expect(await reported(containerId)).toMatchObject({
      memoryLimitInBytes: 64n * MIB,
      cpuQuota: 0n,
      cpuPeriod: 0n,
    });
    await removePod(world, sandboxId);
  });

  it('delays a concurrent stop, which then succeeds', async () => {
    const { sandboxId, containerId } = await made('stop', { memoryLimitInBytes: 64n * MIB });
    await world.client.runtime.startContainer({ containerId });
    writeFileSync(
      file('after'),
      `touch ${file('held')}; while [ ! -e ${file('go')} ]; do sleep 0.01; done; exit 0\n`,
    );
    const updated = codeOf(update(containerId, { memoryLimitInBytes: 80n * MIB }));
    await until(() => existsSync(file('held')));
    const stopped = world.client.runtime.stopContainer({ containerId, timeout: 0n });
    await world.client.runtime.version({});
    writeFileSync(file('go'), '');
    await stopped;
    // it was done, or its container ended before it could be answered
    expect([0, FAILED_PRECONDITION]).toContain(await updated);
    const { status } = await world.client.runtime.containerStatus({ containerId });
    expect(status).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 137 });
    rmSync(file('after'));
    await removePod(world, sandboxId);
  });
});
