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
import { until } from '../../support/eventually.ts';

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
    const late = runtime.createContainer(
      { podSandboxId, config: container({}, 1), sandboxConfig: pod('late', 1) },
      { deadlineMs: 1_500 },
    );
    const error = await late.then(
      () => undefined,
      (thrown: { code: number; details: string }) => thrown,
    );
    expect(error).toMatchObject({ code: codes.DEADLINE_EXCEEDED });
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
    const reported = await until(async () =>
      (await world.instance.log())
        .split('\n')
        .find((line) => line.includes('"origin":"CreateContainer"') && line.includes('deadlineExceeded')),
    );
    expect(reported).toMatch(/provisioning\.process.*runc create/);
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

  test('nothing is left on the machine', async () => {
    expect(await world.leftovers()).toEqual([]);
  });
});
