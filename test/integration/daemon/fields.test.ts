// Fields of containers through the running daemon's socket: what the process inside and ContainerStatus tell of them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { imageOf, layerOf } from '../../../scripts/support/image.ts';
import {
  CDIDeviceSchema, ContainerConfigSchema, DeviceSchema, Int64ValueSchema, LinuxContainerResourcesSchema, LinuxPodSandboxConfigSchema, LinuxSandboxSecurityContextSchema, MountSchema, NamespaceMode, NamespaceOptionSchema,
  PodSandboxConfigSchema, SecurityProfile_ProfileType as ProfileType, SecurityProfileSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { detectCgroups } from '../../../src/host/cgroup-layout.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import type { Fields } from '../../unit/cri/stage.ts';
import { closeWorld, removePod } from './pod.ts';
import type { Limits } from './pod.ts';

/** Codes of gRPC. */
const [UNKNOWN, INVALID_ARGUMENT, FAILED_PRECONDITION, ABORTED] = [2, 3, 9, 10];

/** Two layers: a whiteout, a program, and links that lead out of the image. */
const volumeImage = imageOf({}, [
  layerOf([
    { type: 'directory', path: 'models', mode: 0o755 },
    { type: 'file', path: 'models/one', mode: 0o644, content: 'one\n' },
    { type: 'file', path: 'models/gone', mode: 0o644, content: 'gone\n' },
    { type: 'file', path: 'run', mode: 0o755, content: '#!/bin/sh\necho ran\n' },
    { type: 'symlink', path: 'latest', target: '/models' },
    { type: 'symlink', path: 'outside', target: '../../../../../../../../etc' },
  ]),
  layerOf([
    { type: 'file', path: 'models/.wh.gone', mode: 0o644, content: '' },
    { type: 'file', path: 'models/two', mode: 0o644, content: 'two\n' },
  ]),
]);
const oneLayer = imageOf({}, [layerOf([{ type: 'file', path: 'only', mode: 0o644, content: 'only\n' }])]);

const MIB = 1024n * 1024n;
const cgroups = await detectCgroups();

interface Wish {
  readonly mounts?: readonly Fields<typeof MountSchema>[];
  readonly limits?: Limits;
  readonly cdi?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly command?: readonly string[];
  readonly devices?: readonly Fields<typeof DeviceSchema>[];
  readonly runAs?: readonly [user: bigint, group: bigint];
}

let world: World;
let imageName: string;
let sandboxId: string;
let containers = 0;
const pod = (name: string) => create(PodSandboxConfigSchema, sandboxConfig({ name, logDirectory: join(world.logs, name), hostNetwork: true }));

beforeAll(async () => {
  const config = ['cdi_dirs = ["CDI"]', 'hooks_dirs = ["HOOKS"]', 'device_ownership_from_security_context = true'];
  world = await makeWorld({
    name: 'field', network: 'host-only', images: new Map([['test/models:1', volumeImage], ['test/only:1', oneLayer]]),
    config: (directory) => ['[runtime]', ...config.map((line) => line.replace('CDI', join(directory, 'cdi')).replace('HOOKS', join(directory, 'hooks.d'))), '[runtime.rlimits.core]', 'soft = 7', 'hard = 8'].join('\n'),
  });
  imageName = await world.pull();
  for (const name of ['cdi', 'hooks.d']) mkdirSync(join(world.instance.directory, name));
  sandboxId = (await world.client.runtime.runPodSandbox({ config: pod('main') })).podSandboxId;
});

afterAll(async () => {
  await removePod(world, sandboxId);
  expect(await closeWorld(world)).toEqual([]);
});

async function createContainer(wish: Wish): Promise<string> {
  containers += 1;
  const config = create(ContainerConfigSchema, containerConfig({ name: `c${containers}`, image: imageName, command: wish.command ?? ['sleep', '3600'], hostNetwork: true, annotations: wish.annotations ?? {} }));
  const filled = create(ContainerConfigSchema, {
    ...config, mounts: (wish.mounts ?? []).map((mount) => create(MountSchema, mount)), CDIDevices: (wish.cdi ?? []).map((name) => create(CDIDeviceSchema, { name })),
  });
  filled.devices.push(...(wish.devices ?? []).map((device) => create(DeviceSchema, device)));
  const security = filled.linux?.securityContext;
  if (security !== undefined && wish.runAs !== undefined) {
    security.runAsUser = create(Int64ValueSchema, { value: wish.runAs[0] });
    security.runAsGroup = create(Int64ValueSchema, { value: wish.runAs[1] });
  }
  if (filled.linux !== undefined && wish.limits !== undefined) filled.linux.resources = create(LinuxContainerResourcesSchema, { oomScoreAdj: 1000n, ...wish.limits });
  return (await world.client.runtime.createContainer({ podSandboxId: sandboxId, config: filled, sandboxConfig: pod('main') })).containerId;
}

async function run(wish: Wish): Promise<string> {
  const containerId = await createContainer(wish);
  await world.client.runtime.startContainer({ containerId });
  return containerId;
}

async function exec(containerId: string, script: string): Promise<string> {
  const { stdout, stderr } = await world.client.runtime.execSync({ containerId, cmd: ['sh', '-c', script], timeout: 30n });
  return Buffer.concat([stdout, stderr]).toString();
}

const end = async (containerId: string): Promise<void> => void (await world.client.runtime.removeContainer({ containerId }));
const faultOf = (call: Promise<unknown>): Promise<{ code: number; message: string }> =>
  call.then(() => ({ code: 0, message: '' }), ({ code, details }: { code: number; details: string }) => ({ code, message: details }));

describe('mounts', () => {
  it('mount options hold in the container and are told', async () => {
    const volume = join(world.instance.directory, 'volume');
    mkdirSync(volume);
    writeFileSync(join(volume, 'run'), '#!/bin/sh\necho ran\n', { mode: 0o755 });
    const id = await run({ mounts: [{ containerPath: '/free', hostPath: volume }, { containerPath: '/bound', hostPath: volume, mountOptions: ['nosuid', 'noexec', 'nodev'] }] });
    expect(await exec(id, '/free/run; /bound/run; grep " /bound " /proc/self/mountinfo')).toMatch(/^ran\n[^]*\/bound rw,nosuid,nodev,noexec[^]*\/bound\/run: Permission denied/u);
    const { status } = await world.client.runtime.containerStatus({ containerId: id });
    expect(status?.mounts.map(({ mountOptions }) => mountOptions)).toEqual([[], ['nodev', 'noexec', 'nosuid']]);
    expect((await world.client.runtime.status({})).features?.mountOptions).toBe(true);
    await end(id);
  });

  it('a file on a directory of the image is the request’s mistake', async () => {
    const hostPath = join(world.instance.directory, 'file');
    writeFileSync(hostPath, '');
    const { code, message } = await faultOf(createContainer({ mounts: [{ containerPath: '/etc', hostPath }] }));
    expect([code, message]).toEqual([INVALID_ARGUMENT, expect.stringContaining(`mount ${hostPath} at /etc: the source is no directory, but the image has a directory there`)]);
  });
});

describe('images as volumes', () => {
  const pull = async (name: string): Promise<string> => (await world.client.image.pullImage({ image: { image: `${world.registry}/test/${name}:1` } })).imageRef;
  const volume = (image: string, more: Fields<typeof MountSchema> = {}): Fields<typeof MountSchema> => ({ containerPath: '/v', readonly: true, image: { image }, ...more });

  it('show all layers, read-only, nothing in them runs; ContainerStatus tells the image’s id', async () => {
    const [models, only] = [await pull('models'), await pull('only')];
    const id = await run({ mounts: [volume(models), volume(`${world.registry}/test/only:1`, { containerPath: '/o' }), volume(models, { containerPath: '/again' })] });
    expect(await exec(id, 'ls /v/models /o /again/models; cat /v/models/*')).toBe('/again/models:\none\ntwo\n\n/o:\nonly\n\n/v/models:\none\ntwo\none\ntwo\n');
    expect(await exec(id, '/v/run')).toContain('Permission denied');
    expect(await exec(id, 'echo x > /v/new')).toContain('Read-only file system');
    const { status } = await world.client.runtime.containerStatus({ containerId: id });
    expect(status?.mounts.map(({ image, hostPath, readonly }) => [image?.image, hostPath, readonly])).toEqual([[models, '', true], [only, '', true], [models, '', true]]);
    expect(status?.mounts[0]?.image?.imageRef).toMatch(new RegExp(`^${world.registry}/test/models@sha256:[0-9a-f]{64}$`, 'u'));
    expect((await world.client.image.listImages({})).images.map((image) => image.id)).toEqual(expect.arrayContaining([models, only]));
    await end(id);
  });

  it('S45 a sub-path stays in the image, links of the image included; one that is not there is told so', async () => {
    const models = await pull('models');
    const id = await run({ mounts: [volume(models, { imageSubPath: 'models' }), volume(models, { containerPath: '/l', imageSubPath: 'latest' })] });
    expect(await exec(id, 'ls /v /l')).toBe('/l:\none\ntwo\n\n/v:\none\ntwo\n');
    await end(id);
    for (const imageSubPath of ['nothing', 'models/one/below', 'outside', 'outside/passwd']) {
      const { code, message } = await faultOf(createContainer({ mounts: [volume(models, { imageSubPath })] }));
      expect([code, message]).toEqual([UNKNOWN, expect.stringMatching(new RegExp(`^ImageVolumeMountFailed: .*image_sub_path ${imageSubPath} is not in the image$`, 'u'))]);
    }
    expect(await faultOf(createContainer({ mounts: [volume(models, { imageSubPath: '../x' })] }))).toMatchObject({ code: INVALID_ARGUMENT });
  });

  it('refuse what they cannot be, and an image that is not here', async () => {
    const models = await pull('models');
    for (const [mount, field] of [
      [volume(models, { readonly: false }), 'config.mounts[0].readonly'],
      [volume(models, { hostPath: '/etc' }), 'config.mounts[0].host_path'],
      [volume(models, { propagation: 1 }), 'config.mounts[0].propagation'],
      [{ containerPath: '/v', hostPath: '/etc', imageSubPath: 'x' }, 'config.mounts[0].image_sub_path'],
    ] as const) {
      expect(await faultOf(createContainer({ mounts: [mount] })), field).toMatchObject({ code: INVALID_ARGUMENT, message: expect.stringContaining(field) as string });
    }
    const missing = await faultOf(createContainer({ mounts: [volume('nobody/has:this')] }));
    expect(missing).toMatchObject({ code: UNKNOWN, message: expect.stringMatching(/^ImageVolumeMountFailed: .*image nobody\/has:this is not here$/u) as string });
  });

  it('protect their image while they are in use, and are gone with their container, also after kill -9', async () => {
    const models = await pull('models');
    const id = await run({ mounts: [volume(models)], command: ['sleep', '3600'] });
    expect(await faultOf(world.client.image.removeImage({ image: { image: models } }))).toMatchObject({ code: FAILED_PRECONDITION, message: expect.stringContaining(id) as string });
    const mounts = (): number => readFileSync('/proc/self/mountinfo', 'utf8').split('\n').filter((line) => line.includes(`/containers/${id}/volumes/`)).length;
    expect(mounts()).toBe(1);
    // whose mounts these are stands in no other place than in their path
    const check = spawnSync(world.instance.argv[0], ['check', ...world.instance.argv.slice(2)], { encoding: 'utf8' });
    expect(check.stdout + check.stderr).not.toContain('/volumes/');
    expect([check.status, check.stderr]).toEqual([0, '']);
    await world.instance.kill();
    await world.instance.start();
    expect(await faultOf(world.client.image.removeImage({ image: { image: models } }))).toMatchObject({ code: FAILED_PRECONDITION });
    expect(await exec(id, 'cat /v/models/one')).toBe('one\n');
    await world.client.runtime.stopContainer({ containerId: id, timeout: 0n });
    expect(mounts()).toBe(0);
    await world.client.image.removeImage({ image: { image: models } });
    await end(id);
    expect((await world.client.image.imageStatus({ image: { image: models } })).image).toBeUndefined();
  });
});

describe('devices, hooks and limits', () => {
  it('CDI devices by the field and by an annotation; one that no file has', async () => {
    const edits = (name: string) => ({ name, containerEdits: { env: [`CDI_${name.toUpperCase()}=1`], deviceNodes: [{ path: `/dev/cdi-${name}`, hostPath: '/dev/zero' }] } });
    writeFileSync(join(world.instance.directory, 'cdi/v.json'), JSON.stringify({ cdiVersion: '0.6.0', kind: 'v.com/dev', devices: [edits('a'), edits('b'), edits('c')] }));
    const id = await run({ cdi: ['v.com/dev=a'], annotations: { 'cdi.k8s.io/plugin_1': 'v.com/dev=b,v.com/dev=a' } });
    expect(await exec(id, 'echo /dev/cdi-*; head -c 3 /dev/cdi-b | wc -c')).toBe('/dev/cdi-a /dev/cdi-b\n3\n');
    expect(await exec(id, 'tr "\\0" "\\n" < /proc/1/environ | grep CDI')).toBe('CDI_A=1\nCDI_B=1\n');
    await end(id);
    expect(await faultOf(createContainer({ cdi: ['v.com/dev=z'] }))).toMatchObject({ code: INVALID_ARGUMENT, message: expect.stringContaining('use CDI device v.com/dev=z: no usable CDI file') as string });
  });

  it('devices belong to the container’s user where that is configured', async () => {
    const id = await run({ devices: [{ containerPath: '/dev/mine', hostPath: '/dev/zero', permissions: 'r' }], runAs: [1000n, 2000n] });
    expect(await exec(id, 'stat -c "%u:%g %t:%T" /dev/mine; head -c 2 /dev/mine | wc -c')).toBe('1000:2000 1:5\n2\n');
    await end(id);
  });

  it('hooks for those containers that they are for', async () => {
    const seen = join(world.instance.directory, 'hooked');
    const hook = { version: '1.0.0', hook: { path: '/bin/sh', args: ['sh', '-c', `cat > ${seen}`] }, when: { annotations: { '^hook/wanted$': '^yes$' } }, stages: ['createRuntime'] };
    writeFileSync(join(world.instance.directory, 'hooks.d/10.json'), JSON.stringify(hook));
    await end(await createContainer({}));
    expect(() => readFileSync(seen)).toThrow('ENOENT');
    const id = await createContainer({ annotations: { 'hook/wanted': 'yes' } });
    expect(JSON.parse(readFileSync(seen, 'utf8'))).toMatchObject({ id });
    await end(id);
  });

  it('memory, swap and CPUs are limited as asked, and ContainerStatus says so', async () => {
    const limits = { memoryLimitInBytes: 64n * MIB, memorySwapLimitInBytes: 96n * MIB, cpusetCpus: '0', cpusetMems: '0' };
    const id = await run({ limits });
    const files = cgroups.version === 2
      ? 'memory.max memory.swap.max cpuset.cpus cpuset.mems'
      : 'memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes cpuset/cpuset.cpus cpuset/cpuset.mems';
    // where swap is not accounted for, it cannot be limited, and the file is not there
    const swap = cgroups.version === 2 ? 32n * MIB : 96n * MIB;
    const said = (await exec(id, `cd /sys/fs/cgroup; for file in ${files}; do if test -e $file; then cat $file; else echo none; fi; done`)).trim().split('\n');
    expect([said[0], ['none', String(swap)].includes(said[1] ?? ''), said[2], said[3]]).toEqual([String(64n * MIB), true, '0', '0']);
    const { status } = await world.client.runtime.containerStatus({ containerId: id });
    expect(status?.resources?.linux).toMatchObject(limits);
    await end(id);
  });

  it('limits of processes by configuration', async () => {
    const id = await run({});
    expect(await exec(id, 'grep -E "core file|open files" /proc/1/limits')).toMatch(/^Max core file size +7 +8 +bytes *\nMax open files +1024 +\d+ +files *\n$/u);
    await end(id);
  });

  it('CPUs that this machine has not are the request’s mistake, at creation and at an update', async () => {
    const message = expect.stringMatching(/use cpuset_cpus 0,4000: this machine has 0/u) as string;
    expect(await faultOf(createContainer({ limits: { cpusetCpus: '0,4000' } }))).toMatchObject({ code: INVALID_ARGUMENT, message });
    const id = await run({});
    const update = world.client.runtime.updateContainerResources({ containerId: id, linux: { cpusetCpus: '0,4000' } });
    expect(await faultOf(update)).toMatchObject({ code: INVALID_ARGUMENT, message });
    await end(id);
  });
});

describe('the pod’s own seccomp profile', () => {
  it.each([NamespaceMode.CONTAINER, NamespaceMode.POD])('is looked at before the pod runs, with a pause process or without (pid %s)', async (pid) => {
    const path = join(world.instance.directory, `profile-${pid}.json`);
    const config = pod(`seccomp${pid}`);
    const securityContext = create(LinuxSandboxSecurityContextSchema, {
      namespaceOptions: create(NamespaceOptionSchema, { network: NamespaceMode.NODE, pid }),
      seccomp: create(SecurityProfileSchema, { profileType: ProfileType.Localhost, localhostRef: path }),
    });
    const wish = create(PodSandboxConfigSchema, { ...config, linux: create(LinuxPodSandboxConfigSchema, { securityContext }) });
    expect(await faultOf(world.client.runtime.runPodSandbox({ config: wish }))).toMatchObject({ code: INVALID_ARGUMENT, message: expect.stringContaining(`read seccomp profile ${path}: it is not there`) as string });
    writeFileSync(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['acct'], action: 'SCMP_ACT_ERRNO' }] }));
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config: wish });
    if (pid === NamespaceMode.POD) {
      const document = JSON.parse(readFileSync(join(world.instance.state, 'sandboxes', podSandboxId, 'pause/config.json'), 'utf8')) as { linux: { seccomp: object } };
      expect(document.linux.seccomp).toMatchObject({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['acct'] }] });
    }
    await removePod(world, podSandboxId);
  });
});

describe('what verbose statuses show of the OCI document', () => {
  const specOf = (info: { readonly [key: string]: string }): { readonly process?: object; readonly linux?: { readonly namespaces?: readonly object[] } } | undefined =>
    (JSON.parse(info['info'] ?? '') as { readonly runtimeSpec?: object }).runtimeSpec;

  it('is a container’s whole one but for the environment, and of a pod without a pause process the namespaces that it keeps', async () => {
    const { runtime } = world.client;
    const id = await run({});
    const container = specOf((await runtime.containerStatus({ containerId: id, verbose: true })).info);
    expect(container).toMatchObject({ process: { args: ['sleep', '3600'] }, linux: { namespaces: expect.arrayContaining([expect.objectContaining({ type: 'mount' })]) as unknown } });
    expect(container?.process).not.toHaveProperty('env');
    const ipc = join(world.instance.state, 'ns', sandboxId, 'ipc');
    expect(specOf((await runtime.podSandboxStatus({ podSandboxId: sandboxId, verbose: true })).info)?.linux?.namespaces).toContainEqual({ type: 'ipc', path: ipc });
    await end(id);
  });
});

describe('two wishes at once', () => {
  it('the one that another call took away is told Aborted, not Canceled, with what happened', async () => {
    const { runtime } = world.client;
    const config = pod('twice');
    const other = create(PodSandboxConfigSchema, { ...config, hostname: 'other' });
    const first = faultOf(runtime.runPodSandbox({ config }));
    const second = runtime.runPodSandbox({ config: other });
    const { podSandboxId } = await second;
    const { code, message } = await first;
    // whichever way the daemon heard them: joined, ended before, or given up in favour of the other
    if (code !== 0) expect([code, message]).toEqual([ABORTED, expect.stringMatching(/another call has stopped, removed or replaced it meanwhile|it was (?:stopped|removed) meanwhile/u)]);
    await removePod(world, podSandboxId);
  });
});
