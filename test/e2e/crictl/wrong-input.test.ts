// What is answered to what is wrong: the field by its name, unknown ids, calls that don't fit the state (F73).
import { status as codes } from '@grpc/grpc-js';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { containerJson, Crictl, describePods, type Json, podJson } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { injects } from '../../support/faults/injects.ts';
import { makeWorld, type World } from '../support/world.ts';

const UNKNOWN = 'f'.repeat(64);

const unknownId = injects('F73', 'calls with ids that are not known');

describePods('wrong input', () => {
  let world: World;
  let crictl: Crictl;
  let pod: Awaited<ReturnType<Crictl['runPod']>>;
  beforeAll(async () => {
    world = await makeWorld({ name: 'wrong' });
    crictl = new Crictl(world);
    await world.pull();
    pod = await crictl.runPod('pod');
  });
  afterAll(async () => await world.close());

  const wrongPods: readonly (readonly [string, Json])[] = [
    [
      'config.metadata.namespace',
      { metadata: { name: 'x', namespace: 'a;IP=10.0.0.1', uid: 'u', attempt: 0 } },
    ],
    ['config.hostname', { hostname: 'two words' }],
    ['config.log_directory', { log_directory: 'relative' }],
    ['config.linux.cgroup_parent', { linux: { cgroup_parent: '/../../up' } }],
    ['config.linux.sysctls', { linux: { sysctls: { 'kernel.panic': '1' } } }],
    ['config.port_mappings', { port_mappings: [{ container_port: 70000, host_port: 80 }] }],
  ];
  test.each(wrongPods)(
    'RunPodSandbox with a wrong %s is InvalidArgument and names it',
    async (field, more) => {
      const said = await crictl.fails('runp', await crictl.file(podJson('never', more)));
      expect(said).toContain('InvalidArgument');
      expect(said).toContain(field);
    },
  );

  test('RunPodSandbox with an unknown handler is InvalidArgument', async () => {
    expect(await crictl.fails('runp', '--runtime', 'kata', await crictl.file(podJson('never')))).toMatch(
      /InvalidArgument.*runtime_handler .*kata.* is not configured/,
    );
  });

  const wrongContainers: readonly (readonly [string, Json])[] = [
    ['config.working_dir', { working_dir: 'relative' }],
    ['config.log_path', { log_path: '../../etc/cron.d/job' }],
    ['config.envs[0].key', { envs: [{ key: 'A=B', value: '' }] }],
    ['config.mounts[0].container_path', { mounts: [{ container_path: '', host_path: '/tmp' }] }],
    [
      'config.linux.security_context.capabilities',
      { linux: { security_context: { capabilities: { add_capabilities: ['NO_SUCH'] } } } },
    ],
    [
      'config.linux.security_context.run_as_user',
      { linux: { security_context: { run_as_user: { value: -5 } } } },
    ],
  ];
  test.each(wrongContainers)(
    'CreateContainer with a wrong %s is InvalidArgument and names it',
    async (field, more) => {
      const said = await crictl.fails(
        'create',
        pod.id,
        await crictl.file(containerJson('never', world.imageName, ['true'], more)),
        pod.file,
      );
      expect(said).toContain('InvalidArgument');
      expect(said).toContain(field);
    },
  );

  test('requests that crictl cannot send are refused, too: no name, no image', async () => {
    const { runtime } = world.client;
    const refused = (field: string) => ({
      code: codes.INVALID_ARGUMENT,
      details: expect.stringContaining(field) as string,
    });
    await expect(
      runtime.runPodSandbox({ config: { metadata: { namespace: 'default', uid: 'u' } } }),
    ).rejects.toMatchObject(refused('config.metadata.name'));
    await expect(runtime.runPodSandbox({})).rejects.toMatchObject(refused('config'));
    const created = {
      podSandboxId: pod.id,
      sandboxConfig: sandboxConfig({ name: 'pod', logDirectory: pod.logs }),
    };
    await expect(
      runtime.createContainer({ ...created, config: { metadata: { name: 'c' } } }),
    ).rejects.toMatchObject(refused('config.image.image'));
    await expect(
      runtime.createContainer({ ...created, config: { image: { image: 'x' } } }),
    ).rejects.toMatchObject(refused('config.metadata'));
  });

  test('F73 an unknown pod, image or container is NotFound; Stop and Remove of one succeed', async () => {
    expect(
      await crictl.fails(
        'create',
        UNKNOWN,
        await crictl.file(containerJson('c', world.imageName, ['true'])),
        pod.file,
      ),
    ).toContain('NotFound');
    expect(
      await crictl.fails(
        'create',
        pod.id,
        await crictl.file(containerJson('c', 'not/here:1', ['true'])),
        pod.file,
      ),
    ).toMatch(/not\/here:1/);
    const { runtime, image } = world.client;
    const notFound = { code: codes.NOT_FOUND };
    await expect(runtime.podSandboxStatus({ podSandboxId: UNKNOWN })).rejects.toMatchObject(notFound);
    await expect(runtime.containerStatus({ containerId: UNKNOWN })).rejects.toMatchObject(notFound);
    await expect(runtime.startContainer({ containerId: UNKNOWN })).rejects.toMatchObject(notFound);
    await expect(runtime.execSync({ containerId: UNKNOWN, cmd: ['true'] })).rejects.toMatchObject(notFound);
    await expect(runtime.reopenContainerLog({ containerId: UNKNOWN })).rejects.toMatchObject(notFound);
    await runtime.stopContainer({ containerId: UNKNOWN, timeout: 1n });
    await runtime.removeContainer({ containerId: UNKNOWN });
    await runtime.stopPodSandbox({ podSandboxId: UNKNOWN });
    await runtime.removePodSandbox({ podSandboxId: UNKNOWN });
    await image.removeImage({ image: { image: 'not/here:1' } });
    expect((await image.imageStatus({ image: { image: 'not/here:1' } })).image).toBeUndefined();
    unknownId.happened();
  });

  test('calls in the wrong state are refused and change nothing', async () => {
    const config = await crictl.file(containerJson('state', world.imageName, untilTermed(0)));
    const id = await crictl.ok('create', pod.id, config, pod.file);
    expect(await crictl.fails('exec', '--sync', id, 'true')).toMatch(/created/);
    await crictl.ok('start', id);
    const { runtime } = world.client;
    await expect(runtime.startContainer({ containerId: id })).rejects.toMatchObject({
      code: codes.FAILED_PRECONDITION,
    });
    await expect(
      runtime.createContainer({
        podSandboxId: pod.id,
        config: containerConfig({ name: 'state', image: world.imageName, command: untilTermed(0) }),
        sandboxConfig: sandboxConfig({ name: 'pod', logDirectory: join(world.logs, 'pod') }),
      }),
    ).rejects.toMatchObject({ code: codes.ALREADY_EXISTS, details: expect.stringContaining(id) as string });
    expect((await crictl.container(id)).status.state).toBe('CONTAINER_RUNNING');
    await crictl.ok('stop', '--timeout', '10', id);
    await crictl.ok('stop', id);
    await expect(runtime.startContainer({ containerId: id })).rejects.toMatchObject({
      code: codes.FAILED_PRECONDITION,
    });
    await crictl.ok('stopp', pod.id);
    await crictl.ok('stopp', pod.id);
    expect(
      await crictl.fails(
        'create',
        pod.id,
        await crictl.file(containerJson('late', world.imageName, ['true'])),
        pod.file,
      ),
    ).toContain('FailedPrecondition');
  });

  test('a missing program fails the start with its name, and the container can be removed', async () => {
    const other = await crictl.runPod('other');
    const config = await crictl.file(containerJson('none', world.imageName, ['/no/such/program']));
    const said = await crictl.ok('create', other.id, config, other.file).then(
      async (id) => await crictl.fails('start', id),
      (error: unknown) => String(error),
    );
    expect(said).toContain('/no/such/program');
    await crictl.ok('rmp', '--force', other.id);
  });

  test('nothing is left on the machine', async () => {
    await crictl.ok('rmp', '--force', '--all');
    expect(await world.leftovers()).toEqual([]);
  });
});
