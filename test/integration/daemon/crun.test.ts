// crun as a second handler beside runc, on whatever cgroups this machine has.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { hybridControllers } from '../../../src/oci/runtime/handlers/hide-unified.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const CRUN = '/usr/bin/crun';
const MIB = 1024n * 1024n;
const isHere = existsSync(CRUN);
if (!isHere) console.log(`skipped: ${CRUN} is not installed`);
const isHybrid = (await hybridControllers()) !== '';

unless(describe, lacking(CRUN))('the handler crun', () => {
  let world: World;

  beforeAll(async () => {
    const config = (directory: string): string =>
      `[runtime]\ncdi_dirs = ["${directory}/cdi"]\nhooks_dirs = ["${directory}/hooks.d"]\n`;
    world = await hostOnlyWorld('crun', { handlers: { crun: CRUN }, config });
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  it('is listed beside the default handler', async () => {
    const { status, runtimeHandlers } = await world.client.runtime.status({ verbose: true });
    expect(status?.conditions.find(({ type }) => type === 'RuntimeReady')).toMatchObject({ status: true });
    expect(runtimeHandlers.map(({ name }) => name).toSorted()).toEqual(['', 'crun', 'runc']);
    expect(existsSync(`${world.instance.root}/stand-ins/crun`)).toBe(isHybrid);
  });

  it('runs a pod from its creation to its end: log, exec, limits, exit code', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await makePod(world, 'life', {
      runtimeHandler: 'crun',
      command: untilTermed(7),
      limits: { memoryLimitInBytes: 64n * MIB },
    });
    await startUntilUp(world.client, containerId);
    expect(existsSync(`${world.instance.state}/runtimes/crun/${containerId}`)).toBe(true);
    const exec = await runtime.execSync({
      containerId,
      cmd: ['sh', '-c', 'echo inside; exit 3'],
      timeout: 60n,
    });
    expect([Buffer.from(exec.stdout).toString(), exec.exitCode]).toEqual(['inside\n', 3]);
    await runtime.updateContainerResources({ containerId, linux: { memoryLimitInBytes: 48n * MIB } });
    const { status } = await runtime.containerStatus({ containerId });
    expect(status?.resources?.linux?.memoryLimitInBytes).toBe(48n * MIB);
    expect(limitIn(world, containerId)).toBe(String(48n * MIB));
    // crun 1.8 cannot write the -1 of "no quota" on cgroup v1
    for (const cpuQuota of [50_000n, -1n]) {
      await runtime.updateContainerResources({ containerId, linux: { cpuQuota } });
      expect((await runtime.containerStatus({ containerId })).status?.resources?.linux?.cpuQuota).toBe(
        cpuQuota,
      );
    }
    await runtime.stopContainer({ containerId, timeout: 60n });
    expect((await runtime.containerStatus({ containerId })).status).toMatchObject({
      exitCode: 7,
      reason: 'Error',
    });
    expect(readFileSync(`${world.logs}/life/main/0.log`, 'utf8')).toContain('stdout F up\n');
    await removePod(world, sandboxId);
    // hidden from crun, and from nobody else
    expect((await hybridControllers()) !== '').toBe(isHybrid);
  });

  it('mounts an image, holds mount options, runs hooks and has CDI devices', async () => {
    const { runtime } = world.client;
    const seen = `${world.instance.directory}/hooked`;
    for (const name of ['cdi', 'hooks.d']) mkdirSync(`${world.instance.directory}/${name}`);
    const hook = { path: '/bin/sh', args: ['sh', '-c', `cat > ${seen}`] };
    writeFileSync(
      `${world.instance.directory}/hooks.d/1.json`,
      JSON.stringify({ version: '1.0.0', hook, when: { always: true }, stages: ['createRuntime'] }),
    );
    const containerEdits = { env: ['GPU=0'], deviceNodes: [{ path: '/dev/gpu0', hostPath: '/dev/zero' }] };
    writeFileSync(
      `${world.instance.directory}/cdi/v.json`,
      JSON.stringify({ cdiVersion: '0.6.0', kind: 'v.com/gpu', devices: [{ name: '0', containerEdits }] }),
    );
    const { sandboxId, containerId } = await makePod(world, 'fields', {
      runtimeHandler: 'crun',
      cdi: ['v.com/gpu=0'],
      mounts: [
        { containerPath: '/v', readonly: true, image: { image: await world.pull() } },
        { containerPath: '/bound', hostPath: world.logs, mountOptions: ['noexec'] },
      ],
    });
    expect(JSON.parse(readFileSync(seen, 'utf8'))).toMatchObject({ id: containerId });
    rmSync(`${world.instance.directory}/hooks.d/1.json`);
    await runtime.startContainer({ containerId });
    const script =
      'cat /v/etc/passwd | head -1; head -c 2 /dev/gpu0 | wc -c; grep -c " /bound .*noexec" /proc/self/mountinfo; echo x > /v/new';
    const { stdout, stderr } = await runtime.execSync({
      containerId,
      cmd: ['sh', '-c', script],
      timeout: 30n,
    });
    expect(Buffer.from(stdout).toString()).toBe('root:x:0:0:root:/root:/bin/sh\n2\n1\n');
    expect(Buffer.from(stderr).toString()).toContain('Read-only file system');
    await removePod(world, sandboxId);
  });

  it('a container outlives kill -9 of the daemon and is stopped by the next', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await makePod(world, 'kill', {
      runtimeHandler: 'crun',
      command: untilTermed(5),
    });
    const waiting = await makePod(world, 'wait', { runtimeHandler: 'crun' });
    await startUntilUp(world.client, containerId);
    await world.instance.kill();
    await world.instance.start();
    await runtime.startContainer({ containerId: waiting.containerId });
    await runtime.stopContainer({ containerId, timeout: 60n });
    expect((await runtime.containerStatus({ containerId })).status).toMatchObject({ exitCode: 5 });
    for (const pod of [sandboxId, waiting.sandboxId]) await removePod(world, pod);
  });

  it('holds a shared PID namespace', async () => {
    const { sandboxId, containerId } = await makePod(world, 'pids', {
      runtimeHandler: 'crun',
      sharesPids: true,
    });
    await world.client.runtime.startContainer({ containerId });
    const { stdout } = await world.client.runtime.execSync({
      containerId,
      cmd: ['sh', '-c', 'echo $$; cat /proc/1/comm'],
      timeout: 60n,
    });
    expect(Buffer.from(stdout).toString()).toMatch(/^[0-9]+\npause\n$/u);
    await removePod(world, sandboxId);
  });
});

function limitIn(world: World, containerId: string): string {
  const below = `${world.instance.words[0] ?? ''}/troupe-${containerId}`;
  const files = [
    `/sys/fs/cgroup/memory/${below}/memory.limit_in_bytes`,
    `/sys/fs/cgroup/${below}/memory.max`,
  ];
  return readFileSync(files.find((file) => existsSync(file)) ?? '', 'utf8').trim();
}
