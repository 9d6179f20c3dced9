// Containers restored by the running daemon; CRIU's part is a fake, which makes the process anew from the bundle.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { ContainerStatus } from '../../../src/gen/runtime/v1/api_pb.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import { sandboxConfig } from '../../e2e/support/pods.ts';
import type { ContainerConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { archive, entry } from '../../unit/oci/layers/tar-builder.ts';
import { checkpointTar, CONFIG, coreImage, SPEC } from '../checkpoint/archives.ts';
import type { Parts } from '../checkpoint/archives.ts';
import { fakeCriu, RUNC } from './fake-criu.ts';
import { untilTrue } from '../../support/turns.ts';
import { code, refusalOf } from './refusal.ts';
import type { Refusal } from './refusal.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import { partsOf, restoreWorld, requestFor } from './restore-world.ts';
import type { RestoreRequest } from './restore-world.ts';

describePods('restores', () => {
  const fake = fakeCriu();
  let world: World;
  let sandboxId: string;
  let image: string;
  let attempts = 0;

  const parts = (more: Parts = {}): Parts => partsOf(image, more);
  const archived = (more: Parts = {}, name = 'c.tar'): string => {
    const path = join(mkdtempSync(join(fake.directory, 'archive-')), name);
    writeFileSync(path, checkpointTar(parts(more)));
    return path;
  };
  const data = join(fake.directory, 'data');

  beforeAll(async () => {
    mkdirSync(data);
    world = await restoreWorld(fake);
    image = await world.pull();
    sandboxId = (
      await world.client.runtime.runPodSandbox({
        config: sandboxConfig({ name: 'pod', logDirectory: join(world.logs, 'pod'), hostNetwork: true }),
        runtimeHandler: 'fake',
      })
    ).podSandboxId;
  });
  beforeEach(() => fake.does('work'));
  afterAll(async () => {
    try {
      await removePod(world, sandboxId);
      expect(await closeWorld(world)).toEqual([]);
    } finally {
      fake.remove();
    }
  });

  const wanted = (name: string, from: string, more: Partial<RestoreRequest> = {}): ContainerConfig =>
    requestFor(from, data, { ...more, name, attempt: attempts });
  const configOf = (from: string, more: Partial<RestoreRequest> = {}): ContainerConfig => {
    attempts += 1;
    return wanted('main', from, more);
  };
  const made = async (from: string, more: Partial<RestoreRequest> = {}): Promise<string> =>
    (await world.client.runtime.createContainer({ podSandboxId: sandboxId, config: configOf(from, more) }))
      .containerId;
  const start = (containerId: string): Promise<unknown> =>
    world.client.runtime.startContainer({ containerId });
  const statusOf = async (containerId: string): Promise<ContainerStatus> => {
    const { status } = await world.client.runtime.containerStatus({ containerId });
    if (status === undefined) throw new Error(`no status of ${containerId}`);
    return status;
  };
  const inside = async (containerId: string, ...cmd: string[]): Promise<string> => {
    const { stdout, exitCode } = await world.client.runtime.execSync({ containerId, cmd, timeout: 60n });
    return `${exitCode} ${Buffer.from(stdout).toString().trim()}`;
  };
  const remove = (containerId: string): Promise<unknown> =>
    world.client.runtime.removeContainer({ containerId });
  const images = (): string[] => readdirSync(join(world.instance.root, 'restores'));
  const commands = (): string => execFileSync('ps', ['-e', '-o', 'args']).toString();
  const containers = async (): Promise<number> =>
    (await world.client.runtime.listContainers({})).containers.length;

  it('CreateContainer from an archive makes a container of the checkpoint’s image without a process; StartContainer restores it', async () => {
    const id = await made(archived());
    expect(await statusOf(id)).toMatchObject({ state: ContainerState.CONTAINER_CREATED, imageId: image });
    expect(images()).toEqual([id]);
    expect(commands()).not.toContain(id);
    await start(id);
    expect(await statusOf(id)).toMatchObject({ state: ContainerState.CONTAINER_RUNNING });
    const { path, argv, files } = fake.restored();
    expect(path.split(':')[0]).toBe(fake.directory);
    const bundle = join(world.instance.state, 'containers', id, 'bundle');
    expect(argv).toContain(` restore --bundle ${bundle} --pid-file `);
    expect(argv).toMatch(
      new RegExp(
        ` --detach --image-path ${join(world.instance.root, 'restores', id, 'checkpoint')} --work-path ${bundle} --file-locks ${id}$`,
        'u',
      ),
    );
    expect(files).toEqual(['core-1.img', 'inventory.img']);
    // what it had written and deleted; its images are of no use any more
    expect(await inside(id, 'cat', '/etc/new')).toBe('0 new');
    expect(await inside(id, 'test', '-e', '/bin/yes')).toBe('1 ');
    expect(images()).toEqual([]);
    await world.client.runtime.stopContainer({ containerId: id, timeout: 0n });
    expect(await statusOf(id)).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 137 });
    await remove(id);
  });

  it('S30: CreateContainer from an image that is a checkpoint works; an archive of CheckpointContainer can be restored', async () => {
    const named = `${world.registry}/test/checkpoint:1`;
    const checkpoint = (await world.client.image.pullImage({ image: { image: named } })).imageRef;
    // S30: its names are those that it was pulled by
    const { images: listed } = await world.client.image.listImages({});
    expect(listed.flatMap(({ repoTags }) => repoTags).toSorted()).toEqual(
      ['busybox', 'checkpoint'].map((name) => `${world.registry}/test/${name}:1`),
    );
    // S86: an annotation counts for the name that brought its manifest, so by the id alone it is an image of programs
    await expect(made(checkpoint)).rejects.toThrow('executable file not found');
    const id = await made(checkpoint, {
      named,
      mounts: [
        { containerPath: '/data', hostPath: data },
        { containerPath: '/cache/', hostPath: data },
      ],
    });
    await start(id);
    expect(await statusOf(id)).toMatchObject({ state: ContainerState.CONTAINER_RUNNING, imageId: image });
    expect(await inside(id, 'sh', '-c', 'echo more > /etc/more; rm /bin/wc; echo done')).toBe('0 done');
    const location = join(mkdtempSync(join(fake.directory, 'again-')), 'c.tar');
    await world.client.runtime.checkpointContainer({ containerId: id, location });
    await remove(id);
    const again = await made(location, {
      mounts: [
        { containerPath: '/data', hostPath: data },
        { containerPath: '/cache', hostPath: data },
      ],
    });
    await start(again);
    expect(await inside(again, 'cat', '/etc/more')).toBe('0 more');
    expect(await inside(again, 'test', '-e', '/bin/wc')).toBe('1 ');
    await remove(again);
  });

  it('S08: mounts, devices, rights, labels and paths are the request’s; the archive’s are in no configuration', async () => {
    const hostile = {
      ...SPEC,
      mounts: [{ destination: '/data', type: 'bind', source: '/etc', options: ['rbind', 'rw'] }],
      process: {
        terminal: false,
        user: { uid: 0 },
        capabilities: { bounding: ['CAP_SYS_ADMIN'] },
        env: ['EVIL=1'],
      },
      annotations: { evil: 'evil' },
      linux: {
        devices: [{ path: '/dev/evil', type: 'b', major: 8, minor: 0 }],
        namespaces: [],
        cgroupsPath: '/evil',
      },
      hooks: { createRuntime: [{ path: '/bin/evil' }] },
    };
    const before = await world.client.image.listImages({});
    const id = await made(
      archived({
        'spec.dump': JSON.stringify(hostile),
        'config.dump': JSON.stringify({
          ...CONFIG,
          rootfsImageRef: image,
          rootfsImageName: 'evil:latest',
          name: 'evil',
          runtime: '/bin/evil',
        }),
        'bind.mounts': `[{"source":"${fake.directory}/planted","destination":"/data","file_type":"directory","permissions":511}]`,
      }),
    );
    const document = readFileSync(join(world.instance.state, 'containers', id, 'bundle/config.json'), 'utf8');
    expect(document).not.toMatch(/evil|EVIL/u);
    expect(JSON.parse(document)).toMatchObject({
      mounts: expect.arrayContaining([expect.objectContaining({ destination: '/data', source: data })]),
    });
    expect(
      (JSON.parse(document) as { mounts: { source: string }[] }).mounts.map(({ source }) => source),
    ).not.toContain('/etc');
    expect(existsSync(join(fake.directory, 'planted'))).toBe(false);
    // S30: no name of an image has come or changed
    expect(await world.client.image.listImages({})).toEqual(before);
    await remove(id);
  });

  const refused = async (
    from: string,
    wanted: Refusal,
    more: Partial<RestoreRequest> = {},
  ): Promise<void> => {
    const before = await containers();
    const refusal = await refusalOf(made(from, more));
    expect(refusal).toEqual({ code: wanted.code, details: expect.stringContaining(wanted.details) });
    expect(await containers()).toBe(before);
    expect(images()).toEqual([]);
  };

  it('S08: a mount of the checkpoint that the request lacks, and a different terminal setting, are refused', async () => {
    await refused(
      archived(),
      { code: code.invalidArgument, details: 'missing mounts of the checkpoint: "/data"' },
      { mounts: [] },
    );
    await refused(archived(), { code: code.invalidArgument, details: 'config.tty' }, { tty: true });
  });

  it('S30: a missing image is neither pulled nor named', async () => {
    const unknown = {
      ...CONFIG,
      rootfsImageRef: `${world.registry}/test/other:1`,
      rootfsImageName: '',
      rootfsImage: '',
    };
    await refused(archived({ 'config.dump': JSON.stringify(unknown) }), {
      code: code.notFound,
      details: '/test/other:1: not found',
    });
  });

  it('bad archives are refused and leave nothing', async () => {
    const broken = archived();
    writeFileSync(broken, readFileSync(broken).subarray(0, 5000));
    await refused(join(fake.directory, 'none.tar'), { code: code.invalidArgument, details: 'ENOENT' });
    await refused(broken, { code: code.invalidArgument, details: 'cut short' });
    await refused(archived({ 'checkpoint/core-1.img': coreImage(5) }), {
      code: code.invalidArgument,
      details: 'core-1.img is of another machine type',
    });
    await refused(archived({ 'rootfs-diff.tar': archive(entry({ name: '../../../escape', body: '' })) }), {
      code: code.invalidArgument,
      details: 'contains ..',
    });
    await refused('/etc/../etc/passwd', { code: code.invalidArgument, details: 'contains ..' });
  });

  it('a failed restore is quoted; the container has ended, and nothing of it runs', async () => {
    fake.does('fail');
    const id = await made(archived());
    expect(await refusalOf(start(id))).toEqual({
      code: code.unknown,
      details: expect.stringContaining('criu failed: type RESTORE errno 2'),
    });
    expect(await statusOf(id)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 128,
      reason: 'StartError',
    });
    expect(commands()).not.toContain(id);
    expect(images()).toEqual([]);
    await remove(id);
  });

  it('StopContainer ends a container that was never restored, and one that hangs in its restore', async () => {
    const idle = await made(archived());
    await world.client.runtime.stopContainer({ containerId: idle, timeout: 30n });
    expect(await statusOf(idle)).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 137 });
    await remove(idle);
    fake.does('hang');
    const id = await made(archived());
    const cut = refusalOf(start(id));
    await fake.untilItHangs();
    await world.client.runtime.stopContainer({ containerId: id, timeout: 0n });
    expect((await cut).code).not.toBe(0);
    expect(await statusOf(id)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      reason: 'StartError',
    });
    // the exit is shown once it is recorded, before the runtime's delete has ended
    await untilTrue(() => !commands().includes(id));
    await remove(id);
    expect(images()).toEqual([]);
  });

  it('a daemon killed during a restore undoes it at its next start; the container is created again and can be restored', async () => {
    fake.does('hang');
    const id = await made(archived());
    const other = await made(archived());
    const cut = refusalOf(start(id));
    await fake.untilItHangs();
    await world.instance.kill();
    expect((await cut).code).not.toBe(0);
    await world.instance.start();
    expect(commands()).not.toContain(id);
    for (const one of [id, other])
      expect(await statusOf(one)).toMatchObject({ state: ContainerState.CONTAINER_CREATED });
    fake.does('work');
    for (const one of [id, other]) {
      await start(one);
      expect(await inside(one, 'cat', '/etc/new')).toBe('0 new');
    }
    // its process is known to a daemon that did not see it begin
    await world.instance.kill();
    await world.instance.start();
    expect(await statusOf(id)).toMatchObject({ state: ContainerState.CONTAINER_RUNNING });
    expect(
      execFileSync(RUNC, ['--root', join(world.instance.state, 'runtimes/fake'), 'state', id]).toString(),
    ).toContain('"status": "running"');
    await world.client.runtime.stopContainer({ containerId: id, timeout: 0n });
    for (const one of [id, other]) await remove(one);
    expect(images()).toEqual([]);
  });

  it('limits of a container that is not restored yet can’t be changed', async () => {
    const id = await made(archived());
    const refusal = await refusalOf(
      world.client.runtime.updateContainerResources({ containerId: id, linux: { cpuShares: 512n } }),
    );
    expect(refusal.code).toBe(code.failedPrecondition);
    await remove(id);
  });

  it('RestorePod makes a pod with a created container for each config, or nothing', async () => {
    const directory = mkdtempSync(join(fake.directory, 'pod-'));
    for (const name of ['one', 'two']) writeFileSync(join(directory, `${name}.tar`), checkpointTar(parts()));
    const config = (name: string): ContainerConfig => wanted(name, image);
    const request = {
      checkpointPath: directory,
      runtimeHandler: 'fake',
      containerConfigs: [config('one'), config('two')],
      config: sandboxConfig({
        name: 'restored',
        logDirectory: join(world.logs, 'restored'),
        hostNetwork: true,
      }),
    };
    const pods = async (): Promise<string[]> =>
      (await world.client.runtime.listPodSandbox({})).items
        .map(({ metadata }) => metadata?.name ?? '')
        .toSorted();
    const wrong: readonly (readonly [object, number])[] = [
      [{ checkpointPath: join(directory, 'none') }, code.invalidArgument],
      [{ containerConfigs: [] }, code.invalidArgument],
      [{ containerConfigs: [config('one'), config('one')] }, code.invalidArgument],
      [{ containerConfigs: [config('one'), config('three')] }, code.invalidArgument],
      [{ containerConfigs: [config('one'), config('../one')] }, code.invalidArgument],
      [{ options: { fast: '1' } }, code.invalidArgument],
    ];
    for (const [at, [more, wanted]] of wrong.entries()) {
      expect(
        (await refusalOf(world.client.runtime.restorePod({ ...request, ...more }))).code,
        `the request ${at}`,
      ).toBe(wanted);
      expect(await pods()).toEqual(['pod']);
      expect(images()).toEqual([]);
    }
    const { podSandboxId, restoredContainers } = await world.client.runtime.restorePod(request);
    expect(restoredContainers.map(({ name }) => name)).toEqual(['one', 'two']);
    for (const { containerId } of restoredContainers) {
      expect(await statusOf(containerId)).toMatchObject({ state: ContainerState.CONTAINER_CREATED });
      await start(containerId);
      expect(await inside(containerId, 'cat', '/etc/new')).toBe('0 new');
    }
    await removePod(world, podSandboxId);
  });

  it('S08: restoring is off by default, and reported where CRIU does not work', async () => {
    const path = archived();
    fake.breakCriu(true);
    await world.instance.terminate();
    await world.instance.start();
    await refused(path, { code: code.unimplemented, details: 'criu check: exit code 1: vdso: not found' });
    fake.breakCriu(false);
    const other = await hostOnlyWorld('rsno', { config: `[runtime]\ncriu = "${fake.criu}"` });
    try {
      const { sandboxId: pod } = await makePod(other, 'none');
      const refusal = await refusalOf(
        other.client.runtime.createContainer({ podSandboxId: pod, config: configOf(path) }),
      );
      expect(refusal).toEqual({
        code: code.unimplemented,
        details: expect.stringContaining('restores are disabled'),
      });
      await removePod(other, pod);
    } finally {
      expect(await closeWorld(other)).toEqual([]);
    }
  });
});
