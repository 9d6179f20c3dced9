// Pulls on a store that is full, out of inodes, read-only or damaged, and in a daemon without descriptors: named for
// what it is, nothing half made stays, and the next pull heals it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type CriClient, criClient } from '../../../scripts/support/cri-client.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf } from '../../support/registry/images.ts';
import { insecure } from '../../support/registry/rig.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import { injects } from '../../support/faults/injects.ts';

const noSpace = injects('F22', 'no space left for the layers of a pull');
const noInodes = injects('F24', 'no inodes left for the files of a pull');
const readOnly = injects('F25', 'the store, or the root, is mounted read-only');
const noDescriptors = injects('F26', 'EMFILE in the daemon during a pull');
const goneLayer = injects('F27', 'the directory of a layer is deleted');
const cutRecord = injects('F28', 'the record of a layer is cut short');

const MIB = 1024 * 1024;
/**
 * Room for the small image and the journal's reserve, not for the large one; inodes for the small one, not for the many
 * files.
 */
const STORE = { size: '24m', inodes: 600 };

describePods('pulls on a store in trouble', () => {
  let registry: FakeRegistry;
  let instance: Instance;
  let client: CriClient;
  let reference: (name: string) => string;

  beforeEach(async () => {
    registry = await FakeRegistry.start();
    reference = (name) => `${registry.host}/${name}:v`;
    const small = await layerOf(
      [{ name: 'small', mode: 0o755, content: readFileSync(staticBusybox()) }],
      'gzip',
    );
    const other = await layerOf([{ name: 'other', content: Buffer.alloc(MIB, 'o') }], 'gzip');
    const large = await layerOf([{ name: 'large', content: Buffer.alloc(32 * MIB, 'l') }], 'none');
    const many = await layerOf(
      Array.from({ length: 2000 }, (_, at) => ({ name: `many${at}`, content: '' })),
      'gzip',
    );
    registry.push('small', 'v', imageOf([small]));
    registry.push('other', 'v', imageOf([other]));
    registry.push('large', 'v', imageOf([small, large]));
    registry.push('many', 'v', imageOf([many]));
    instance = await makeInstance({
      name: 'full',
      network: 'host-only',
      registriesConf: insecure(registry.host),
    });
    await mkdir(instance.root, { mode: 0o700 });
    execFileSync('mount', [
      '-t',
      'tmpfs',
      '-o',
      `mode=700,size=${STORE.size},nr_inodes=${STORE.inodes}`,
      instance.words[0] ?? '',
      instance.root,
    ]);
    await instance.start();
    client = criClient(instance.socket);
  });
  afterEach(async () => {
    client?.close();
    await instance?.remove();
    await registry?.close();
  });

  const pull = async (name: string): Promise<string> =>
    (await client.image.pullImage({ image: { image: reference(name) } })).imageRef;
  const isHere = async (name: string): Promise<boolean> =>
    (await client.image.imageStatus({ image: { image: reference(name) } })).image !== undefined;
  const below = (name: string): Promise<string[]> => readdir(join(instance.root, name)).catch(() => []);
  /** What pulls leave while they work. */
  const underWay = async (): Promise<string[]> => [...(await below('partial')), ...(await below('ingest'))];

  test.each([
    ['F22 a full disk', noSpace, 'large', /no space left/iu],
    [
      'F24 a disk without inodes',
      noInodes,
      'many',
      /no space left on .* \(needs \d+ inodes reserved for the journal and pods, has \d+\)/u,
    ],
  ])(
    '%s: the pull is exhausted with the reason, nothing of it stays, other images do, and later pulls succeed',
    async (_row, fault, name, reason) => {
      await pull('small');
      const error = await pull(name).then(
        () => new Error('it was pulled'),
        (thrown: Error) => thrown,
      );
      expect(error).toMatchObject({
        code: status.RESOURCE_EXHAUSTED,
        details: expect.stringMatching(reason) as string,
      });
      fault.happened();
      expect([
        await isHere('small'),
        await isHere(name),
        await underWay(),
        (await below('layers')).length,
      ]).toEqual([true, false, [], 1]);
      const { imageFilesystems } = await client.image.imageFsInfo({});
      expect(Number(imageFilesystems[0]?.usedBytes?.value ?? 0n)).toBeGreaterThan(MIB);
      await client.image.removeImage({ image: { image: reference('small') } });
      expect(await pull('small')).toMatch(/^sha256:/u);
    },
  );

  test('F25 while a store is read-only pulls say so and lists go on; afterwards pulls succeed', async () => {
    await pull('small');
    const place = join(instance.root, 'partial');
    execFileSync('mount', ['--bind', place, place]);
    execFileSync('mount', ['-o', 'remount,bind,ro', place]);
    await expect(pull('other')).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: expect.stringContaining('read-only') as string,
    });
    readOnly.happened();
    expect([await isHere('small'), (await client.image.listImages({})).images.length]).toEqual([true, 1]);
    execFileSync('umount', [place]);
    await pull('other');
  });

  test('F25 while a root is read-only the node is not ready with the reason, lists and stops go on; afterwards it is ready', async () => {
    const config = sandboxConfig({
      name: 'web',
      logDirectory: join(instance.directory, 'logs'),
      hostNetwork: true,
    });
    const { podSandboxId } = await client.runtime.runPodSandbox({ config });
    const condition = async () =>
      (await client.runtime.status({})).status?.conditions.find(({ type }) => type === 'RuntimeReady');
    expect(await condition()).toMatchObject({ status: true });
    execFileSync('mount', ['--bind', instance.root, instance.root]);
    execFileSync('mount', ['-o', 'remount,bind,ro', instance.root]);
    await expect.poll(condition).toMatchObject({
      status: false,
      message: `${instance.root} is not writable: read-only file system`,
    });
    readOnly.happened();
    expect((await client.runtime.listPodSandbox({})).items).toHaveLength(1);
    await client.runtime.stopPodSandbox({ podSandboxId });
    execFileSync('umount', [instance.root]);
    await expect.poll(condition).toMatchObject({ status: true });
    await client.runtime.removePodSandbox({ podSandboxId });
  });

  test('F26 a pull of a daemon without descriptors is exhausted, and succeeds once there are some', async () => {
    const pid = String(instance.pid());
    await pull('small');
    const before = /Max open files +([0-9]+)/u.exec(await readFile(`/proc/${pid}/limits`, 'utf8'))?.[1] ?? '';
    const used = (await readdir(`/proc/${pid}/fd`)).length;
    // the connection to the registry is kept for the next request
    registry.dropConnections();
    execFileSync('prlimit', ['--pid', pid, `--nofile=${used - 4}:`]);
    await expect(pull('other')).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    noDescriptors.happened();
    execFileSync('prlimit', ['--pid', pid, `--nofile=${before}:`]);
    await pull('other');
    expect(await isHere('small')).toBe(true);
  });

  test.each([
    ['F27 a layer that is gone', goneLayer, (layer: string) => rm(layer, { recursive: true })],
    [
      'F28 a layer whose record is cut short',
      cutRecord,
      (layer: string) => truncate(join(layer, 'layer.json'), 20),
    ],
  ])(
    '%s: CreateContainer names the damaged layer, the image is no longer present, a pull repairs it',
    async (_row, fault, damage) => {
      const image = await pull('small');
      const config = sandboxConfig({
        name: 'web',
        logDirectory: join(instance.directory, 'logs'),
        hostNetwork: true,
      });
      const { podSandboxId } = await client.runtime.runPodSandbox({ config });
      const create = () =>
        client.runtime.createContainer({
          podSandboxId,
          sandboxConfig: config,
          config: containerConfig({ name: 'app', image, command: ['/small'], hostNetwork: true }),
        });
      const [hex = ''] = await below('layers');
      await damage(join(instance.root, 'layers', hex));
      await expect(create()).rejects.toMatchObject({ details: expect.stringContaining(hex) as string });
      fault.happened();
      await expect.poll(() => isHere('small')).toBe(false);
      expect(await pull('small')).toBe(image);
      const { containerId } = await create();
      await client.runtime.removeContainer({ containerId });
      await client.runtime.removePodSandbox({ podSandboxId });
    },
  );
});
