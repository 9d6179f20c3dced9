// Names of images over their life: tags that move, and RemoveImage by whatever an image is called.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { imageOf, layerOf, type Image } from '../../../scripts/support/image.ts';
import { pushImage, startRegistry, type DockerRegistry } from '../../support/docker-registry/start.ts';
import { describePods } from '../support/crictl.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

const small = (text: string): Image =>
  imageOf({ Env: [`WORD=${text}`] }, [layerOf([{ type: 'file', path: 'file', mode: 0o644, content: text }])]);

describePods('names of images', () => {
  let work: string;
  let registry: DockerRegistry;
  let world: World;
  const [first, second] = [small('first'), small('second')];
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), 'troupe-lifecycle-'));
    registry = await startRegistry({ root: join(work, 'registry') });
    world = await makeWorld({
      name: 'life',
      shortNames: () => `[[registry]]\nlocation = "${registry.address}"\ninsecure = true\n`,
    });
  });
  afterAll(async () => {
    await world?.close();
    await registry?.stop();
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  });

  const pull = async (name: string): Promise<string> =>
    (await world.client.image.pullImage({ image: { image: name } })).imageRef;
  const remove = (name: string): Promise<unknown> =>
    world.client.image.removeImage({ image: { image: name } });
  const idOf = async (name: string): Promise<string | undefined> =>
    (await world.client.image.imageStatus({ image: { image: name } })).image?.id;
  const listed = async (): Promise<Record<string, readonly string[]>> =>
    Object.fromEntries(
      (await world.client.image.listImages({})).images.map(({ id, repoTags, repoDigests }) => [
        id,
        [...repoTags, ...repoDigests],
      ]),
    );

  it('when a tag moves the earlier image keeps its digest, and each image is removed by its own names', async () => {
    const repository = `${registry.address}/team/moves`;
    await pushImage(registry.address, 'team/moves:v', first);
    const before = await pull(`${repository}:v`);
    await pushImage(registry.address, 'team/moves:v', second);
    const after = await pull(`${repository}:v`);
    const [old, fresh] = [
      `${repository}@${first.manifest.digest}`,
      `${repository}@${second.manifest.digest}`,
    ];
    expect(await listed()).toEqual({ [before]: [old], [after]: [`${repository}:v`, fresh] });
    expect([await idOf(`${repository}:v`), await idOf(old), await idOf(fresh)]).toEqual([
      after,
      before,
      after,
    ]);

    await remove(`${repository}:v`);
    expect(await listed()).toEqual({ [before]: [old] });
    // the tag names nothing here any more, whatever it did once
    await remove(`${repository}:v`);
    expect(await listed()).toEqual({ [before]: [old] });
    await remove(old);
    expect(await listed()).toEqual({});
  });

  it('a tag that moves and comes back names the first image again', async () => {
    const repository = `${registry.address}/team/back`;
    for (const image of [first, second, first]) {
      await pushImage(registry.address, 'team/back:v', image);
      await pull(`${repository}:v`);
    }
    expect(await idOf(`${repository}:v`)).toBe(first.config.digest);
    expect(await listed()).toEqual({
      [first.config.digest]: [`${repository}:v`, `${repository}@${first.manifest.digest}`],
      [second.config.digest]: [`${repository}@${second.manifest.digest}`],
    });
    for (const image of [first, second]) await remove(image.config.digest);
  });

  it.each([
    ['its tag', (repository: string) => `${repository}:one`],
    ['another of its tags', (repository: string) => `${repository}:two`],
    ['a tag in another repository', () => `${registry.address}/other/named:three`],
    ['its digest', (repository: string) => `${repository}@${first.manifest.digest}`],
    [
      'tag and digest, of which the digest counts',
      (repository: string) => `${repository}:none@${first.manifest.digest}`,
    ],
    ['its id', () => first.config.digest],
    ['its id without sha256:', () => first.config.digest.slice('sha256:'.length)],
    ['the beginning of its id', () => first.config.digest.slice('sha256:'.length, 'sha256:'.length + 12)],
  ])('RemoveImage by %s removes it with all its names', async (_how, nameOf) => {
    const repository = `${registry.address}/team/named`;
    for (const name of ['team/named:one', 'team/named:two', 'other/named:three']) {
      await pushImage(registry.address, name, first);
      await pull(`${registry.address}/${name}`);
    }
    await pull(`${repository}@${first.manifest.digest}`);
    expect((await listed())[first.config.digest]?.length).toBe(5);
    await Promise.all(Array.from({ length: 3 }, () => remove(nameOf(repository))));
    expect(await listed()).toEqual({});
    expect(await idOf(`${repository}:one`)).toBeUndefined();
  });

  it('an image pulled by digest has no tag until it is pulled by one', async () => {
    const repository = `${registry.address}/team/digest`;
    await pushImage(registry.address, 'team/digest:v', first);
    await pull(`${repository}@${first.manifest.digest}`);
    expect(await idOf(`${repository}:v`)).toBeUndefined();
    await pull(`${repository}:v`);
    expect(await idOf(`${repository}:v`)).toBe(first.config.digest);
    await remove(`${repository}:v`);
    expect(await listed()).toEqual({});
  });
});
