// Pods in a shim of our own that behaves like a virtual machine's (fake-shim.ts): version 2 of the protocol, one
// process id for all of a pod, and the ways in which such a shim fails.
import { Code } from '@connectrpc/connect';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState, PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { Task } from '../../../src/gen/shim/task_pb.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { TtrpcClient, connectUnix } from '../../../src/ttrpc/client.ts';
import { sandboxConfig, startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { closeWorld, makePod, removePod } from './pod.ts';
import type { PodRequest } from './pod.ts';
import { EVENT_MS } from '../../support/patience.ts';

describe('a handler of type vm', () => {
  let world: World;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-shim-'));
    const program = join(directory, 'shim');
    writeFileSync(
      program,
      `#!/bin/sh\nexec '${process.execPath}' '${join(import.meta.dirname, 'fake-shim.ts')}' "$@"\n`,
      { mode: 0o755 },
    );
    world = await makeWorld({
      name: 'vm',
      network: 'host-only',
      config: `[runtime.handlers.vm]\ntype = "vm"\npath = "${program}"\n`,
    });
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  const pod = (name: string, request: PodRequest = {}) =>
    makePod(world, name, { runtimeHandler: 'vm', ...request });
  const statusOf = async (containerId: string) =>
    (await world.client.runtime.containerStatus({ containerId })).status;
  const failureOf = (call: Promise<unknown>): Promise<{ code: number; message: string }> =>
    call.then(
      () => ({ code: 0, message: '' }),
      (error: { code: number; message: string }) => error,
    );
  const shimOf = (sandboxId: string): number =>
    (
      JSON.parse(readFileSync(join(world.instance.state, 'sandboxes', sandboxId, 'shim.json'), 'utf8')) as {
        shim: { pid: number };
      }
    ).shim.pid;

  const isRunning = (pid: number): boolean =>
    existsSync(`/proc/${pid}`) && !/^\d+ \(.*\) Z/u.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

  it('a container’s exit code, log and exec streams come, though the process that stands for it goes on', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('ends', {
      command: ['sh', '-c', 'echo from the guest; echo and this >&2; exit 3'],
    });
    const other = await makeSecond('ends', sandboxId);
    await runtime.startContainer({ containerId });
    await expect.poll(async () => (await statusOf(containerId))?.state).toBe(ContainerState.CONTAINER_EXITED);
    expect(await statusOf(containerId)).toMatchObject({ exitCode: 3, reason: 'Error' });
    const log = readFileSync(`${world.logs}/ends/main/0.log`, 'utf8');
    expect(log).toContain('stdout F from the guest\n');
    expect(log).toContain('stderr F and this\n');
    await runtime.startContainer({ containerId: other });
    const exec = await runtime.execSync({
      containerId: other,
      cmd: ['sh', '-c', 'echo inside; exit 4'],
      timeout: 60n,
    });
    expect([Buffer.from(exec.stdout).toString(), exec.exitCode]).toEqual(['inside\n', 4]);
    const { stats } = await runtime.containerStats({ containerId: other });
    expect([stats?.cpu?.usageCoreNanoSeconds?.value, stats?.memory?.workingSetBytes?.value]).toEqual([
      42_000n,
      800n,
    ]);
    await runtime.stopContainer({ containerId: other, timeout: 30n });
    await removePod(world, sandboxId);
  });

  const makeThird = (name: string, sandboxId: string): Promise<string> =>
    makeSecond(name, sandboxId, 'third');

  /** Another container in the same pod; it sleeps. */
  async function makeSecond(name: string, sandboxId: string, own = 'second'): Promise<string> {
    const config = {
      metadata: { name: own, attempt: 0 },
      image: { image: await world.pull() },
      command: ['sleep', '3600'],
      logPath: `${own}.log`,
    };
    const made = await world.client.runtime.createContainer({
      podSandboxId: sandboxId,
      config,
      sandboxConfig: sandboxConfig({ name, logDirectory: `${world.logs}/${name}`, hostNetwork: true }),
    });
    return made.containerId;
  }

  it.each([
    ['unstarted', 'cannot kill it before'],
    ['lost', 'has neither an exit of it nor an answer to its deletion'],
  ])('a container that was never started is stopped and removed where the shim (%s) %s', async (name) => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod(name);
    const other = await makeSecond(name, sandboxId);
    await runtime.stopContainer({ containerId, timeout: 30n });
    expect(await statusOf(containerId)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 137,
    });
    await runtime.removeContainer({ containerId });
    // with the pod, which kills it
    await runtime.startContainer({ containerId: other });
    await makeThird(name, sandboxId);
    await removePod(world, sandboxId);
  });

  it('the guest’s OOM kill is reported for the container', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('hungry', { command: ['sleep', '3600'] });
    await runtime.startContainer({ containerId });
    expect(await afterOomKill(containerId)).toMatchObject({ exitCode: 137, reason: 'OOMKilled' });
    await removePod(world, sandboxId);
  });

  /** USR2 is this shim's word for one; the CRI has no way to send a signal of choice. */
  async function afterOomKill(containerId: string) {
    const clock = realClock();
    const { items } = await world.client.runtime.listPodSandbox({});
    const socket = await connectUnix(join(world.instance.state, 'shims', `${items[0]?.id ?? ''}.sock`), {
      clock,
      timeoutMs: EVENT_MS,
    });
    const client = new TtrpcClient(socket, { clock, peer: 'fake shim' });
    await client.call(Task.method.kill, { id: containerId, signal: 12 });
    client.close();
    await expect.poll(async () => (await statusOf(containerId))?.state).toBe(ContainerState.CONTAINER_EXITED);
    return statusOf(containerId);
  }

  it.each([
    ['refuses', 'exit code 3: no virtual machines on this one'],
    ['grpc', 'protocol grpc is not supported, only ttrpc'],
    ['silent', 'invalid address: 0 bytes of output'],
  ])('a shim that %s at its start is reported with the reason, and leaves nothing', async (name, reason) => {
    const refused = await failureOf(pod(name));
    expect(refused.message).toContain(reason);
    expect((await world.client.runtime.listPodSandbox({})).items).toEqual([]);
  });

  it('a shim that does not answer Create is killed at the deadline, and the error says where it stands', async () => {
    const config = sandboxConfig({ name: 'mute', logDirectory: `${world.logs}/mute`, hostNetwork: true });
    const refused = await failureOf(
      world.client.runtime.runPodSandbox({ config, runtimeHandler: 'vm' }, { deadlineMs: 6000 }),
    );
    expect(refused.code).toBe(Code.DeadlineExceeded);
    const other = sandboxConfig({
      name: 'mute',
      logDirectory: `${world.logs}/mute`,
      hostNetwork: true,
      attempt: 1,
    });
    // a higher attempt supersedes it; the new one hangs as well and is taken back with its caller
    await failureOf(
      world.client.runtime.runPodSandbox({ config: other, runtimeHandler: 'vm' }, { deadlineMs: 6000 }),
    );
  });

  it('a refusal by the shim is reported in its words, and the pod goes on', async () => {
    const refused = await failureOf(pod('full'));
    expect(refused.message).toContain('the guest has no memory left');
    const { items } = await world.client.runtime.listPodSandbox({
      filter: { labelSelector: { 'io.kubernetes.pod.name': 'full' } },
    });
    expect(items.map(({ state }) => state)).toEqual([PodSandboxState.SANDBOX_READY]);
    await removePod(world, items[0]?.id ?? '');
  });

  it('a stop of its pod kills a hanging shim, and nothing of the pod is left', async () => {
    const { sandboxId, containerId } = await pod('hangs', { command: ['sleep', '3600'] });
    await world.client.runtime.startContainer({ containerId });
    process.kill(shimOf(sandboxId), 'SIGSTOP');
    await world.client.runtime.stopContainer({ containerId, timeout: 0n });
    expect(await statusOf(containerId)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 255,
    });
    await removePod(world, sandboxId);
  });

  it('pods outlive handler and daemon: they are found by their record, and can be stopped and removed', async () => {
    const { sandboxId, containerId } = await pod('kept', { command: untilTermed(6) });
    await startUntilUp(world.client, containerId);
    const shim = shimOf(sandboxId);
    writeFileSync(
      join(world.instance.directory, 'troupe.toml'),
      readFileSync(join(world.instance.directory, 'troupe.toml'), 'utf8').replace(
        /\[runtime\.handlers\.vm\][^[]*/u,
        '',
      ),
    );
    await world.instance.kill();
    await world.instance.start();
    expect((await world.client.runtime.status({})).runtimeHandlers.map(({ name }) => name)).toEqual([
      '',
      'runc',
    ]);
    expect(await statusOf(containerId)).toMatchObject({ state: ContainerState.CONTAINER_RUNNING });
    await world.client.runtime.stopContainer({ containerId, timeout: 30n });
    expect((await statusOf(containerId))?.exitCode).toBe(6);
    await removePod(world, sandboxId);
    // nobody reaps it here, where its parent was the daemon that was killed
    expect(isRunning(shim)).toBe(false);
  });
});
