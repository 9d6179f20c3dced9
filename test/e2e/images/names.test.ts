// Short names by registries.conf: whoever has pulled an image by one finds, uses and removes it by the same.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

describe.each([
  [
    'an alias',
    'box:1',
    (registry: string) => `short-name-mode = "permissive"\n[aliases]\n"box" = "${registry}/test/busybox"\n`,
  ],
  // nothing listens at the first: what counts is where it was found
  [
    'the second of two search registries',
    'test/busybox:1',
    (registry: string) =>
      `unqualified-search-registries = ["127.0.0.1:1", "${registry}"]\nshort-name-mode = "permissive"\n`,
  ],
])('a short name by %s', (_how, name, shortNames) => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'short', shortNames });
  });
  afterAll(async () => {
    await world?.close();
  });

  it('names the same image in PullImage, ImageStatus, ListImages, CreateContainer and RemoveImage', async () => {
    const { image, runtime } = world.client;
    const spec = { image: name };
    const { imageRef } = await image.pullImage({ image: spec });
    expect((await image.imageStatus({ image: spec })).image).toMatchObject({
      id: imageRef,
      repoTags: [world.imageName],
    });
    expect((await image.listImages({ filter: { image: spec } })).images.map(({ id }) => id)).toEqual([
      imageRef,
    ]);

    const config = sandboxConfig({ name: 'web', logDirectory: join(world.logs, 'web') });
    const podSandboxId = (await runtime.runPodSandbox({ config })).podSandboxId;
    const request = containerConfig({ name: 'app', image: name, command: untilTermed(0) });
    const { containerId } = await runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: request,
    });
    expect((await runtime.containerStatus({ containerId })).status?.imageId).toBe(imageRef);
    await runtime.removePodSandbox({ podSandboxId });

    await image.removeImage({ image: spec });
    expect((await image.listImages({})).images).toEqual([]);
  });
});
