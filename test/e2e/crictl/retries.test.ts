// A kubelet's calls that come twice: at once, after its deadline, after a kill (F69, F70). The runtime is made to wait,
// so that the second call meets the first one where the test wants it to.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { status as codes } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describePods } from '../support/crictl.ts';
import { containerConfig, type ContainerRequest, sandboxConfig, untilTermed } from '../support/pods.ts';
import { SlowRuntime } from '../support/slow-runtime.ts';
import { makeWorld, type World } from '../support/world.ts';
import { injects } from '../../support/faults/injects.ts';
import { stopAtCall } from '../../support/tracer/tracer.ts';
import { until } from '../../support/eventually.ts';

const equalCalls = injects('F69', 'ten equal calls at once');
const lateAnswer = injects('F68', 'a deadline passes while the runtime creates');
const higherAttempt = injects('F70', 'the next attempt while the one before is alive or being made');
const stopWhileMade = injects('F72', 'StopPodSandbox while a container of the pod is being made');

describePods('calls that come twice', () => {
  const slow = new SlowRuntime();
  let world: World;
  let image: string;
  beforeAll(async () => {
    world = await makeWorld({ name: 'twice', runtimePath: slow.path });
    image = await world.pull();
  });
  afterAll(async () => {
    await world.close();
    await slow.dispose();
  });

  const pod = (name: string, tryNumber = 0, attempt = 0) =>
    sandboxConfig({
      name,
      logDirectory: join(world.logs, name),
      attempt,
      annotations: { try: String(tryNumber) },
    });
  /** Like a kubelet's: each try has another termination log and another annotation. */
  const container = (request: Partial<ContainerRequest>, tryNumber = 0) => {
    const terminationLog = join(world.instance.directory, `termination-${tryNumber}`);
    writeFileSync(terminationLog, '');
    return containerConfig({
      name: 'c',
      image,
      command: untilTermed(0),
      terminationLog,
      annotations: { try: String(tryNumber) },
      ...request,
    });
  };

  test('F69: ten equal RunPodSandbox or CreateContainer calls at once give one id each, one namespace, one lease', async () => {
    const { runtime } = world.client;
    const ten = Array.from({ length: 10 }, (_, index) => index);
    const pods = await Promise.all(ten.map((index) => runtime.runPodSandbox({ config: pod('dup', index) })));
    const ids = new Set(pods.map(({ podSandboxId }) => podSandboxId));
    equalCalls.happened(pods.length);
    expect(ids.size).toBe(1);
    const [podSandboxId = ''] = ids;
    const made = await Promise.all(
      ten.map((index) =>
        runtime.createContainer({
          podSandboxId,
          config: container({}, index),
          sandboxConfig: pod('dup', index),
        }),
      ),
    );
    expect(new Set(made.map(({ containerId }) => containerId)).size).toBe(1);
    expect((await runtime.listPodSandbox({})).items.map(({ id }) => id)).toEqual([podSandboxId]);
    expect((await runtime.listContainers({})).containers).toHaveLength(1);
    expect(readdirSync(join(world.instance.state, 'ns'))).toEqual([podSandboxId]);
    const leases = join(world.instance.directory, 'leases');
    expect(
      readdirSync(leases)
        .flatMap((network) => readdirSync(join(leases, network)))
        .filter((name) => /^\d/.test(name)),
    ).toHaveLength(1);
    await runtime.removePodSandbox({ podSandboxId });
  });

  test('F68 F69: past the deadline the error names state and reason of the wait; a retry with another termination log and annotation gets the same container', async () => {
    const { runtime } = world.client;
    const { podSandboxId } = await runtime.runPodSandbox({ config: pod('late') });
    slow.close();
    const late = (): Promise<unknown> =>
      runtime
        .createContainer(
          { podSandboxId, config: container({}, 1), sandboxConfig: pod('late', 1) },
          { deadlineMs: 1_500 },
        )
        .catch((thrown: unknown) => thrown);
    expect(await late()).toMatchObject({ code: codes.DEADLINE_EXCEEDED });
    // on a busy machine the first one has not come to the runtime
    await until(() => slow.isWaiting());
    expect(await late()).toMatchObject({ code: codes.DEADLINE_EXCEEDED });
    lateAnswer.happened();
    const again = runtime.createContainer({
      podSandboxId,
      config: container({}, 2),
      sandboxConfig: pod('late', 2),
    });
    await slow.open();
    const { containerId } = await again;
    const { containerId: same } = await runtime.createContainer({
      podSandboxId,
      config: container({}, 3),
      sandboxConfig: pod('late', 3),
    });
    expect(same).toBe(containerId);
    expect((await runtime.listContainers({})).containers.map(({ id }) => id)).toEqual([containerId]);
    // The client's own clock may be the one that fires first; the daemon's answer then stands in its log.
    await until(async () =>
      (await world.instance.log())
        .split('\n')
        .some(
          (line) =>
            line.includes('"origin":"CreateContainer"') &&
            line.includes('deadlineExceeded') &&
            /provisioning\.process.*runc create/u.test(line),
        ),
    );
    await runtime.removePodSandbox({ podSandboxId });
  });

  test('a different request under the same name replaces the first within its own call', async () => {
    const { runtime } = world.client;
    const { podSandboxId } = await runtime.runPodSandbox({ config: pod('other') });
    slow.close();
    const first = runtime
      .createContainer({ podSandboxId, config: container({}), sandboxConfig: pod('other') })
      .then(
        () => 'made',
        (thrown: { details: string }) => thrown.details,
      );
    await until(async () => await slow.isWaiting());
    const second = runtime.createContainer({
      podSandboxId,
      config: container({ command: ['sleep', '1000'] }),
      sandboxConfig: pod('other'),
    });
    await slow.open();
    const { containerId } = await second;
    expect(await first).not.toBe('made');
    expect((await runtime.listContainers({})).containers.map(({ id }) => id)).toEqual([containerId]);
    await runtime.startContainer({ containerId });
    const { stdout } = await runtime.execSync({ containerId, cmd: ['cat', '/proc/1/cmdline'] });
    expect(Buffer.from(stdout).toString()).toBe('sleep\x001000\0');
    await runtime.removePodSandbox({ podSandboxId });
  });

  test('F70: the next attempt is another pod; one that was answered stays, one whose client has left is undone', async () => {
    const { runtime } = world.client;
    const { podSandboxId: first } = await runtime.runPodSandbox({ config: pod('next', 0, 0) });
    const left = new AbortController();
    const traced = await stopAtCall(world.instance.pid(), 1, 'hold');
    const unclaimed = runtime
      .runPodSandbox({ config: pod('next', 1, 1) }, { signal: left.signal })
      .catch((error: { code: number }) => error.code);
    await traced.reached;
    left.abort();
    expect(await unclaimed).toBe(codes.CANCELLED);
    await traced.leave();
    const { podSandboxId: third } = await runtime.runPodSandbox({ config: pod('next', 2, 2) });
    higherAttempt.happened();
    const listed = async (): Promise<string[]> =>
      (await runtime.listPodSandbox({})).items.map(({ id }) => id).toSorted();
    expect(await listed()).toEqual([first, third].toSorted());
    for (const podSandboxId of [first, third]) {
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    }
    expect(await listed()).toEqual([]);
  });

  test('F72: a pod that is stopped while a container of it is being made has no container, and takes none', async () => {
    const { runtime } = world.client;
    const { podSandboxId } = await runtime.runPodSandbox({ config: pod('ends') });
    const request = { podSandboxId, config: container({}), sandboxConfig: pod('ends') };
    slow.close();
    const made = runtime.createContainer(request).then(
      () => 'made',
      () => 'refused',
    );
    await until(async () => await slow.isWaiting());
    const stopped = runtime.stopPodSandbox({ podSandboxId });
    stopWhileMade.happened();
    await slow.open();
    await stopped;
    expect(await made).toBe('refused');
    expect((await runtime.listContainers({})).containers).toEqual([]);
    await expect(runtime.createContainer(request)).rejects.toMatchObject({ code: codes.FAILED_PRECONDITION });
    await runtime.removePodSandbox({ podSandboxId });
  });

  test('nothing is left on the machine', async () => {
    expect(await world.leftovers()).toEqual([]);
  });
});
