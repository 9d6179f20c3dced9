import { describe, expect, it } from 'vitest';
import { findImage, lookUpImage } from '../../../../src/actors/images/catalog.ts';
import { digest, imageId, imageRecord } from '../fixtures.ts';

const nginx = imageRecord();
const other = imageRecord({
  id: imageId('2'),
  repoTags: ['docker.io/library/busybox:latest'],
  repoDigests: [],
});
/** Stands for the driver's: short names get the default hosts and tag; bad ones throw. */
const candidates = (name: string): readonly string[] => {
  if (name.includes(' ')) throw new Error('not a reference');
  const tagged = /[:@]/u.test(name.split('/').at(-1) ?? '') ? name : `${name}:latest`;
  return name.includes('/') ? [tagged] : [`search.example/${tagged}`, `docker.io/library/${tagged}`];
};
const find = (name: string, images = [nginx, other]) => findImage(images, name, candidates)?.id;

describe('findImage', () => {
  it.each([
    ['whole id', imageId('1')],
    ['hex of the id', '1'.repeat(64)],
    ['prefix of the id', '11111'],
    ['prefix with its algorithm', 'sha256:111111'],
    ['full reference', 'docker.io/library/nginx:1'],
    ['short reference', 'nginx:1'],
    ['digest', `docker.io/library/nginx@${digest('9')}`],
    ['tag and digest, where the digest counts', `docker.io/library/nginx:whatever@${digest('9')}`],
  ])('by %s', (_how, name) => {
    expect(find(name)).toBe(imageId('1'));
  });

  it.each([
    ['an unknown id', imageId('7')],
    ['a prefix shorter than five digits', '1111'],
    ['another tag', 'nginx:2'],
    ['the digest in another repository', `docker.io/library/apache@${digest('9')}`],
    ['text that is no reference', 'not a name'],
    ['nothing', ''],
  ])('not by %s', (_how, name) => {
    expect(find(name)).toBeUndefined();
  });

  it('by a short name in the order of the search registries', () => {
    const searched = imageRecord({
      id: imageId('3'),
      repoTags: ['search.example/busybox:latest'],
      repoDigests: [],
    });
    expect(find('busybox', [other, searched])).toBe(imageId('3'));
    expect(find('busybox', [other])).toBe(imageId('2'));
    expect(find('docker.io/library/busybox', [other, searched])).toBe(imageId('2'));
  });

  it('S30 by its name, also where the id of another image begins with the same letters', () => {
    const facade = imageRecord({
      id: imageId('4'),
      repoTags: ['docker.io/library/facade:latest'],
      repoDigests: [],
    });
    const taker = imageRecord({ id: `sha256:facade${'0'.repeat(58)}` as typeof nginx.id, repoTags: [] });
    expect(find('facade', [taker, facade])).toBe(facade.id);
    expect(find('facade', [taker])).toBe(taker.id);
  });

  it('not by a prefix that two images share', () => {
    const twin = imageRecord({ id: `${imageId('1').slice(0, -1)}2` as typeof nginx.id });
    expect(find('11111', [nginx, twin])).toBeUndefined();
    expect(find(imageId('1'), [nginx, twin])).toBe(imageId('1'));
    const among = (name: string) => lookUpImage([nginx, twin, other], name, candidates).found;
    expect(['11111', 'sha256:11111', '22222', '1111', 'nginx:1', '33333'].map(among)).toEqual([
      'many',
      'many',
      'one',
      'none',
      'one',
      'none',
    ]);
  });
});
