import { describe, expect, it } from 'vitest';
import { fail } from '../../../../src/base/fault.ts';
import { keepersOf } from '../../../../src/actors/images/keepers.ts';
import { pinnedBy } from '../../../../src/actors/images/pinned.ts';
import { EasyWorld } from '../easy-ports.ts';
import { containerId, containerView, digest, imageId, imageRecord } from '../fixtures.ts';

const candidates = (name: string): readonly string[] => {
  if (name.startsWith('sha256:')) throw new Error('not a reference');
  return [name.includes('/') ? name : `docker.io/library/${name}`];
};

describe('pinnedBy', () => {
  const image = imageRecord();
  it.each([
    ['docker.io/library/nginx:1', true],
    ['nginx:1', true],
    [image.id, true],
    [`docker.io/library/nginx@${digest('9')}`, true],
    ['docker.io/library/*', true],
    ['*nginx*', true],
    ['nginx', false],
    ['docker.io/library/nginx', false],
    ['nginx*', false],
    ['*apache*', false],
  ])('%s pins docker.io/library/nginx:1: %s', (pattern, expected) => {
    expect(pinnedBy([pattern], candidates)(image)).toBe(expected);
    expect(pinnedBy(['other', pattern], candidates)(image)).toBe(expected);
  });

  it('F95: a short name pins all references that it may mean while registries.conf is invalid', () => {
    const unknown = (): never => fail('denied', 'registries.conf: line 1: a key is missing');
    const latest = imageRecord({ repoTags: ['quay.io/team/pause:latest'] });
    expect(
      ['nginx:1', 'library/nginx:1', 'ginx:1', 'nginx:2'].map((pattern) =>
        pinnedBy([pattern], unknown)(image),
      ),
    ).toEqual([true, true, false, false]);
    expect(pinnedBy(['pause'], unknown)(latest)).toBe(true);
    expect(pinnedBy([image.id], unknown)(image)).toBe(true);
  });

  it('a short name pins what it means by the registries.conf in force, and the test changes only with that', async () => {
    const patterns = ['nginx:1'];
    const world = await EasyWorld.serving({ pinned: () => patterns });
    world.candidates = (name) => [`quay.io/team/${name}`];
    const before = world.troupe.isPinned;
    expect([before(image), world.troupe.isPinned]).toEqual([false, before]);
    world.candidates = (name) => [`docker.io/library/${name}`];
    expect(world.troupe.isPinned(image)).toBe(true);
  });

  it('pins nothing without a pattern', () => {
    expect(pinnedBy([], candidates)(image)).toBe(false);
  });
});

describe('keepersOf', () => {
  const layer = (letter: string) => ({
    digest: digest(letter),
    diffId: digest(letter),
    mediaType: 'tar',
    sizeBytes: 1,
  });
  const one = imageRecord({ id: imageId('1'), layers: [layer('a'), layer('b')] });
  const two = imageRecord({ id: imageId('2'), layers: [layer('a')] });

  it('names containers by root and by volume once, images per layer, and layers kept only by a container', () => {
    const user = containerView('running', {
      address: `container/${containerId()}`,
      image: {
        id: one.id,
        ref: 'x',
        layers: [digest('a'), digest('b')],
        volumes: [
          { id: one.id, layers: [digest('a'), digest('b')] },
          { id: imageId('7'), layers: [digest('f')] },
        ],
      } as never,
    });
    const kept = keepersOf([one, two], [user], [], []);
    expect(kept.images.map(({ keepers }) => keepers)).toEqual([[user.address], []]);
    expect(kept.images[0]?.layers.map(({ keepers }) => keepers)).toEqual([
      [`image/${one.id}`, `image/${two.id}`, user.address],
      [`image/${one.id}`, user.address],
    ]);
    expect(kept.others).toEqual([{ diffId: digest('f'), keepers: [user.address] }]);
  });
});
