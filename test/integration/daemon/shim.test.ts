// Pods in containerd's own shim for runc, built from its Go module: the same protocol as the shims of virtual machines.
import { Code } from '@connectrpc/connect';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { shimNamespace } from '../../../src/oci/runtime/shim/launch.ts';
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { World } from '../../e2e/support/world.ts';
import { run } from '../../support/run.ts';
import { shimRuncV2 } from '../../support/tools/go-tools.ts';
import { closeWorld, makePod, removePod } from './pod.ts';
import type { PodRequest } from './pod.ts';

const MIB = 1024n * 1024n;

describe('a handler with a shim', () => {
  let world: World;

  beforeAll(async () => {
    const config = `[runtime.handlers.shim]\ntype = "vm"\npath = "${await shimRuncV2()}"\n`;
    world = await makeWorld({ name: 'shim', network: 'host-only', config });
  });

  afterAll(async () => {
    // runc's root of this instance's namespace, which no shim takes away
    rmSync(join('/run/containerd/runc', shimNamespace(createLayout(world.instance))), {
      recursive: true,
      force: true,
    });
    expect(await closeWorld(world)).toEqual([]);
  });

  const pod = (name: string, request: PodRequest = {}) =>
    makePod(world, name, { runtimeHandler: 'shim', ...request });
  const shimOf = (sandboxId: string): number =>
    (
      JSON.parse(readFileSync(join(world.instance.state, 'sandboxes', sandboxId, 'shim.json'), 'utf8')) as {
        shim: { pid: number };
      }
    ).shim.pid;
  const logOf = (name: string): string => readFileSync(`${world.logs}/${name}/main/0.log`, 'utf8');
  const statusOf = async (containerId: string) =>
    (await world.client.runtime.containerStatus({ containerId })).status;

  /** Nobody may be there to reap it, where its parent was a daemon that was killed. */
  const isRunning = (pid: number): boolean =>
    existsSync(`/proc/${pid}`) && !/^\d+ \(.*\) Z/u.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  const checked = async () => {
    const [program, , ...options] = world.instance.argv;
    const { code, stdout } = await run([program, 'check', ...options]);
    return { code, stdout };
  };

  it('is listed as ready', async () => {
    const { runtimeHandlers, info } = await world.client.runtime.status({ verbose: true });
    expect(runtimeHandlers.map(({ name }) => name).toSorted()).toEqual(['', 'runc', 'shim']);
    expect(JSON.parse(info['handlers'] ?? '')).toContainEqual(
      expect.objectContaining({ name: 'shim', ready: true }),
    );
  });

  it('runs a pod from its creation to its end: log, exec, limits, exit code, and leaves nothing', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('life', {
      command: untilTermed(7),
      limits: { memoryLimitInBytes: 64n * MIB },
    });
    const shim = shimOf(sandboxId);
    expect(readFileSync(`/proc/${shim}/cgroup`, 'utf8')).toContain(`troupe-sandbox-${sandboxId}/monitors`);
    await startUntilUp(world.client, containerId);
    const exec = await runtime.execSync({
      containerId,
      cmd: ['sh', '-c', 'echo inside; echo outside >&2; exit 3'],
      timeout: 60n,
    });
    expect([Buffer.from(exec.stdout).toString(), Buffer.from(exec.stderr).toString(), exec.exitCode]).toEqual(
      ['inside\n', 'outside\n', 3],
    );
    await runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 48n * MIB } });
    expect((await statusOf(containerId))?.resources?.linux?.memoryLimitInBytes).toBe(48n * MIB);
    await runtime.stopContainer({ containerId, timeout: 60n });
    expect(await statusOf(containerId)).toMatchObject({ exitCode: 7, reason: 'Error' });
    expect(logOf('life')).toContain('stdout F up\n');
    await removePod(world, sandboxId);
    expect(existsSync(`/proc/${shim}`)).toBe(false);
    expect(readdirSync(join(world.instance.state, 'shims'))).toEqual(['events.sock']);
  });

  it('a container outlives kill -9 of the daemon, loses no line of its log, and one that ended meanwhile has its code', async () => {
    const { runtime } = world.client;
    const counting = 'n=0; trap "exit 5" TERM; while true; do n=$((n+1)); echo line $n; sleep 0.05; done';
    const running = await pod('outlives', { command: ['sh', '-c', counting] });
    const ending = await pod('ends', {
      command: ['sh', '-c', `while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 9`],
    });
    const waiting = await pod('waits', { command: untilTermed(4) });
    for (const { containerId } of [running, ending]) await runtime.startContainer({ containerId });
    await expect.poll(() => logOf('outlives')).toContain('line 3');
    // records and machine agree, shims and monitors of streams among them
    expect(await checked()).toMatchObject({ code: 0 });
    const { pid } = JSON.parse(
      (await runtime.containerStatus({ containerId: ending.containerId, verbose: true })).info['info'] ?? '',
    ) as { pid: number };
    await world.instance.kill();
    const before = logOf('outlives').split('\n').length;
    writeFileSync(`/proc/${pid}/root/tmp/go`, '');
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
    await expect.poll(() => logOf('outlives').split('\n').length).toBeGreaterThan(before);
    await world.instance.start();
    // a shim that has just reaped its init still answers State with RUNNING; Wait answers when it has recorded the exit
    await expect
      .poll(async () => (await statusOf(ending.containerId))?.state)
      .toBe(ContainerState.CONTAINER_EXITED);
    expect(await statusOf(ending.containerId)).toMatchObject({ exitCode: 9 });
    expect(await statusOf(running.containerId)).toMatchObject({ state: ContainerState.CONTAINER_RUNNING });
    expect(await statusOf(waiting.containerId)).toMatchObject({ state: ContainerState.CONTAINER_CREATED });
    await startUntilUp(world.client, waiting.containerId);
    for (const { containerId } of [running, waiting])
      await runtime.stopContainer({ containerId, timeout: 60n });
    expect([
      (await statusOf(running.containerId))?.exitCode,
      (await statusOf(waiting.containerId))?.exitCode,
    ]).toEqual([5, 4]);
    const numbers = [...logOf('outlives').matchAll(/stdout F line (\d+)/gu)].map((match) => Number(match[1]));
    expect(numbers).toEqual(numbers.map((_, at) => at + 1));
    for (const { sandboxId } of [running, ending, waiting]) await removePod(world, sandboxId);
  });

  it('a killed shim takes its pod with it: the exit is reported, the sandbox is not ready, and all can be removed', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('lost', {
      command: ['sh', '-c', 'sleep 3600 & sleep 3600'],
    });
    await runtime.startContainer({ containerId });
    const { pid } = JSON.parse(
      (await runtime.containerStatus({ containerId, verbose: true })).info['info'] ?? '',
    ) as { pid: number };
    process.kill(shimOf(sandboxId), 'SIGKILL');
    await expect.poll(async () => (await statusOf(containerId))?.state).toBe(ContainerState.CONTAINER_EXITED);
    expect(await statusOf(containerId)).toMatchObject({
      exitCode: 255,
      reason: 'MonitorLost',
      message: 'the shim ended without reporting an exit code',
    });
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await removePod(world, sandboxId);
  });

  it('a pod whose shim was killed while no daemon ran is not ready', async () => {
    const { sandboxId, containerId } = await pod('gone', { command: ['sleep', '3600'] });
    await world.client.runtime.startContainer({ containerId });
    const shim = shimOf(sandboxId);
    await world.instance.kill();
    process.kill(shim, 'SIGKILL');
    await world.instance.start();
    const sandboxState = async () =>
      (await world.client.runtime.podSandboxStatus({ podSandboxId: sandboxId })).status?.state;
    await expect.poll(sandboxState).toBe(PodSandboxState.SANDBOX_NOTREADY);
    // at once, or by its watch where the killed shim has needed longer to end
    await expect.poll(async () => (await statusOf(containerId))?.state).toBe(ContainerState.CONTAINER_EXITED);
    expect((await statusOf(containerId))?.exitCode).toBe(255);
    await removePod(world, sandboxId);
  });

  it('an exec past its timeout is killed with its children', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('late', { command: ['sleep', '3600'] });
    await runtime.startContainer({ containerId });
    const late = runtime.execSync({ containerId, cmd: ['sh', '-c', 'sleep 3599 & sleep 3598'], timeout: 1n });
    expect(
      await late.then(
        () => 0,
        (error: { code: number }) => error.code,
      ),
    ).toBe(Code.DeadlineExceeded);
    const { stdout } = await runtime.execSync({ containerId, cmd: ['ps'], timeout: 60n });
    expect(Buffer.from(stdout).toString()).not.toMatch(/sleep 359[89]/u);
    expect(
      readdirSync(join(world.instance.state, 'containers', containerId)).filter((name) =>
        name.startsWith('shim-exec'),
      ),
    ).toEqual([]);
    await removePod(world, sandboxId);
  });

  it('reports a container’s usage, and its OOM kill', async () => {
    const { runtime } = world.client;
    const hog = ['sh', '-c', 'a=x; while true; do a=$a$a$a$a; done'];
    const { sandboxId, containerId } = await pod('hog', { command: ['sleep', '3600'] });
    await runtime.startContainer({ containerId });
    const { stats } = await runtime.containerStats({ containerId });
    expect(stats?.memory?.workingSetBytes?.value ?? 0n).toBeGreaterThan(0n);
    expect(stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n).toBeGreaterThan(0n);
    const killed = await pod('killed', { command: hog, limits: { memoryLimitInBytes: 20n * MIB } });
    await runtime.startContainer({ containerId: killed.containerId });
    await expect
      .poll(async () => (await statusOf(killed.containerId))?.state)
      .toBe(ContainerState.CONTAINER_EXITED);
    expect(await statusOf(killed.containerId)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    for (const one of [sandboxId, killed.sandboxId]) await removePod(world, one);
  });

  it('holds a shared PID namespace, and reopens a log', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('pids', {
      sharesPids: true,
      command: ['sh', '-c', 'while true; do echo tick; sleep 0.1; done'],
    });
    await runtime.startContainer({ containerId });
    const { stdout } = await runtime.execSync({
      containerId,
      cmd: ['sh', '-c', 'echo $$; cat /proc/1/comm'],
      timeout: 60n,
    });
    expect(Buffer.from(stdout).toString()).toMatch(/^[0-9]+\npause\n$/u);
    const path = `${world.logs}/pids/main/0.log`;
    renameSync(path, `${path}.old`);
    await runtime.reopenContainerLog({ containerId });
    await expect.poll(() => logOf('pids')).toContain('tick');
    await removePod(world, sandboxId);
  });

  it('reports why a container cannot be made or started, and leaves nothing of it', async () => {
    const { runtime } = world.client;
    const made = pod('wrong', { command: ['/no/such/program'] }).then(({ containerId }) =>
      runtime.startContainer({ containerId }),
    );
    await expect(made).rejects.toThrow(/no such file or directory/u);
    const { items } = await runtime.listPodSandbox({});
    for (const { id } of items) await removePod(world, id);
  });

  it('a wipe ends shim, monitors and processes', async () => {
    const { sandboxId, containerId } = await pod('wiped', { command: ['sleep', '3600'] });
    await world.client.runtime.startContainer({ containerId });
    const shim = shimOf(sandboxId);
    await world.instance.kill();
    const [program, , ...options] = world.instance.argv;
    const wiped = await run([program, 'wipe', '--force', ...options]);
    expect(wiped, wiped.stderr).toMatchObject({ code: 0 });
    await expect.poll(() => isRunning(shim)).toBe(false);
    await world.instance.start();
    expect((await world.client.runtime.listPodSandbox({})).items).toEqual([]);
  });
});
