// Images on a disk of their own, layers of a further store that is only read, and a store that does not answer any
// more.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../../support/run.ts';
import { makeDeadMount, whyNoDeadMount } from '../../support/dead-mount.ts';
import { checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { unless } from '../../support/skips/unless.ts';

const program = join(checkout, 'bin/troupe');
const DEADLINE = 4;

/** A file system of its own at `path`. */
function mountMemory(path: string): void {
  execFileSync('mkdir', ['-p', path]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=700,size=256m', 'images', path]);
}

/** Everything below a directory: names, sizes, times. */
function stateOf(path: string): string {
  return execFileSync('find', [path, '-printf', '%P %s %T@ %C@ %m\n'], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
}

const podOf = (world: World, name: string) =>
  sandboxConfig({ name, logDirectory: join(world.logs, name), hostNetwork: true });

async function running(
  world: World,
  name: string,
  image: string,
): Promise<{ readonly podSandboxId: string; readonly containerId: string }> {
  const { runtime } = world.client;
  const config = podOf(world, name);
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    sandboxConfig: config,
    config: containerConfig({ name: 'c', image, command: untilTermed(0), hostNetwork: true }),
  });
  await runtime.startContainer({ containerId });
  return { podSandboxId, containerId };
}

describePods('stores beside the own root', () => {
  let giver: World;
  let world: World;
  let images: string;
  let shared: string;
  const share = (): void => void execFileSync('mount', ['--bind', giver.instance.root, shared]);
  beforeAll(async () => {
    giver = await makeWorld({ name: 'giver', network: 'host-only' });
    await giver.pull();
    world = await makeWorld({
      name: 'taker',
      config: (directory) => {
        images = join(directory, 'images');
        mountMemory(images);
        shared = join(directory, 'shared');
        execFileSync('mkdir', [shared]);
        share();
        return `[storage]\nimage_store = "${images}"\nadditional_stores = ["${shared}"]\n`;
      },
    });
  });
  afterAll(async () => {
    await world?.instance.kill();
    // neither is there after a test that failed half-way
    for (const path of [images, shared]) if (existsSync(path ?? '')) spawnSync('umount', ['-l', path]);
    await world?.close();
    await giver?.close();
  });

  it('images of an additional store are listed from the start, and run without a pull', async () => {
    const [image, ...others] = (await world.client.image.listImages({})).images;
    expect([image?.repoTags, others]).toEqual([[giver.imageName], []]);
    const { podSandboxId, containerId } = await running(world, 'unpulled', giver.imageName);
    expect((await world.client.runtime.execSync({ containerId, cmd: ['true'] })).exitCode).toBe(0);
    await world.client.runtime.removePodSandbox({ podSandboxId });
    await world.client.image.removeImage({ image: { image: giver.imageName } });
    expect((await world.client.image.listImages({})).images).toEqual([]);
  });

  it('F45 F89 images of an additional store that is not mounted at the start are kept, and run once it is', async () => {
    const { instance, client } = world;
    await instance.kill();
    await instance.start();
    const listed = async (): Promise<readonly string[][]> =>
      (await client.image.listImages({})).images.map(({ repoTags }) => repoTags);
    expect(await listed()).toEqual([[giver.imageName]]);
    await instance.kill();
    execFileSync('umount', [shared]);
    await instance.start();
    const { conditions } = (await client.runtime.status({})).status ?? {};
    expect(conditions?.find(({ type }) => type === 'PartsStarted')?.message).toContain(
      `image store ${shared}: `,
    );
    expect(await listed()).toEqual([[giver.imageName]]);
    await expect(running(world, 'late', giver.imageName)).rejects.toThrow(
      `image store ${shared} cannot be read`,
    );
    expect(await listed()).toEqual([[giver.imageName]]);
    await instance.kill();
    share();
    await instance.start();
    const { podSandboxId } = await running(world, 'mounted', giver.imageName);
    for (const { id } of (await client.runtime.listPodSandbox({})).items)
      await client.runtime.removePodSandbox({ podSandboxId: id });
    expect(podSandboxId).not.toBe('');
    await client.image.removeImage({ image: { image: giver.imageName } });
  });

  it('a layer of an additional store is not fetched, and that store is not written to; usage separates images from containers', async () => {
    const before = stateOf(join(giver.instance.root, 'layers'));
    // the same content under the taker's own registry
    const image = await world.pull();
    expect(readdirSync(join(images, 'layers'))).toEqual([]);
    const { podSandboxId, containerId } = await running(world, 'web', image);
    expect(
      (
        await world.client.runtime.execSync({
          containerId,
          cmd: ['sh', '-c', 'echo x > /new; rm /etc/passwd'],
        })
      ).exitCode,
    ).toBe(0);
    const {
      imageFilesystems: [own],
      containerFilesystems: [theirs],
    } = await world.client.image.imageFsInfo({});
    expect([own?.fsId?.mountpoint, theirs?.fsId?.mountpoint]).toEqual([images, world.instance.root]);
    expect(statSync(images).dev).not.toBe(statSync(world.instance.root).dev);
    const check = await run([
      program,
      'check',
      '--state',
      world.instance.state,
      '--config',
      join(world.instance.directory, 'troupe.toml'),
      '--root',
      world.instance.root,
    ]);
    expect(check.stdout).not.toMatch(/I14|I15/u);
    await world.client.runtime.removePodSandbox({ podSandboxId });
    await world.client.image.removeImage({ image: { image } });
    expect((await world.client.image.listImages({})).images).toEqual([]);
    expect(stateOf(join(giver.instance.root, 'layers'))).toBe(before);
  });

  it('a layer in no store is fetched into the own one, and counted there', async () => {
    await giver.client.image.removeImage({ image: { image: await giver.pull() } });
    const image = await world.pull();
    expect(readdirSync(join(images, 'layers'))).toHaveLength(1);
    const {
      imageFilesystems: [own],
    } = await world.client.image.imageFsInfo({});
    const counted = Number(
      execFileSync('du', ['-s', '--block-size=1', join(images, 'layers')], { encoding: 'utf8' }).split(
        '\t',
      )[0],
    );
    expect(Math.abs(Number(own?.usedBytes?.value ?? 0n) / counted - 1)).toBeLessThan(0.01);
    expect(image).not.toBe('');
  });

  const why = whyNoDeadMount();
  if (why !== '') process.stdout.write(`skipped: a store that does not answer: ${why}\n`);
  unless(it, why)('F45 I19: a store that does not answer holds up only the calls that need it', async () => {
    const { runtime, image: imageService } = world.client;
    const image = await world.pull();
    const other = await running(world, 'beside', image);
    const config = podOf(world, 'stuck');
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const dead = makeDeadMount(images, true);
    try {
      const create = (at: number) =>
        runtime.createContainer(
          {
            podSandboxId,
            sandboxConfig: config,
            config: containerConfig({ name: `c${at}`, image, command: untilTermed(0), hostNetwork: true }),
          },
          { deadlineMs: 2000 },
        );
      // far more calls than the pool has threads
      const stuck = await Promise.allSettled(
        Array.from({ length: 24 }, (_, at) =>
          at % 2 === 0 ? create(at) : imageService.imageFsInfo({}, { deadlineMs: 2000 }),
        ),
      );
      expect(
        stuck.map((one) => (one.status === 'rejected' ? (one.reason as { code: number }).code : 'done')),
      ).toEqual(stuck.map(() => DEADLINE));
      await othersAreServed(world, other.containerId);
      // the next daemon comes up as well, and knows its containers
      await world.instance.kill();
      await world.instance.start();
      expect((await runtime.containerStatus({ containerId: other.containerId })).status?.state).toBe(2);
      const degraded = (await runtime.status({})).status?.conditions.find(
        ({ type }) => type === 'PartsStarted',
      );
      expect(degraded).toMatchObject({
        status: false,
        message: expect.stringContaining(`image store ${images}: `) as string,
      });
    } finally {
      dead.remove();
    }
    // it is back: what waited goes on, and everything goes away
    for (const id of [podSandboxId, other.podSandboxId]) {
      await runtime.stopPodSandbox({ podSandboxId: id });
      await runtime.removePodSandbox({ podSandboxId: id });
    }
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
    expect((await imageService.imageFsInfo({})).imageFilesystems).toHaveLength(1);
    expect(readFileSync(join(images, 'storage-driver'), 'utf8')).toBe('overlay\n');
  });
});

/** Everything goes on that needs nothing of the store: a container that runs, lists, and another pod. */
async function othersAreServed(world: World, containerId: string): Promise<void> {
  const { runtime } = world.client;
  expect((await runtime.execSync({ containerId, cmd: ['true'] })).exitCode).toBe(0);
  expect((await runtime.listContainers({})).containers.map(({ id }) => id)).toContain(containerId);
  expect((await runtime.containerStatus({ containerId })).status?.state).toBe(1);
  expect((await runtime.status({})).status?.conditions.every(({ status }) => status)).toBe(true);
  const third = podOf(world, 'third');
  const { podSandboxId: thirdId } = await runtime.runPodSandbox({ config: third });
  await runtime.stopPodSandbox({ podSandboxId: thirdId });
  await runtime.removePodSandbox({ podSandboxId: thirdId });
  await runtime.stopContainer({ containerId, timeout: 5n });
  expect((await runtime.containerStatus({ containerId })).status?.state).toBe(2);
}
