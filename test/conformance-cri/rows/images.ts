// ImageService: names, tags, digests, filters, removal, joins, errors.
import { existsSync } from 'node:fs';
import { type Image } from '../../../src/gen/runtime/v1/api_pb.ts';
import { holds, matches, refusalOf, refused, same } from '../expect.ts';
import { type Group, row } from '../row.ts';
import type { Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

const status = async ({ image }: Trial, name: string): Promise<Image | undefined> =>
  (await image.imageStatus({ image: { image: name } })).image;
const remove = async ({ image }: Trial, name: string): Promise<void> =>
  void (await image.removeImage({ image: { image: name } }));
const pull = async ({ image }: Trial, name: string): Promise<string> =>
  (await image.pullImage({ image: { image: name } })).imageRef;

/** Pulled for this row, and gone with it. */
async function pulled(t: Trial, nameAndTag: string): Promise<{ readonly name: string; readonly id: string }> {
  const name = t.stage.ref(nameAndTag);
  t.after(async () => await remove(t, name));
  return { name, id: await pull(t, name) };
}

async function found(t: Trial, name: string): Promise<Image> {
  const image = await status(t, name);
  if (image === undefined) throw new Error(`${name} is not there`);
  return image;
}

const idsListed = async ({ image }: Trial, name?: string): Promise<string[]> =>
  (await image.listImages(name === undefined ? {} : { filter: { image: { image: name } } })).images.map(
    ({ id }) => id,
  );

/** Names that no registry can have. */
const ILL_FORMED: readonly (readonly [string, string])[] = [
  ['empty', ''],
  ['with a line break', 'a\nb'],
  ['with a NUL', 'a\0b'],
  ['with blanks', 'a b'],
  ['in capitals', 'UPPER/Case'],
  ['a bad digest', 'x@sha256:zz'],
  ['of 5000 characters', 'a'.repeat(5000)],
  ['with ..', '../../etc/passwd'],
];

export const images: Group = {
  title: 'Images',
  perHandler: false,
  alone: true,
  rows: [
    row('PullImage', 'image_ref is the id that ImageStatus and ListImages have', async (t) => {
      const { name, id } = await pulled(t, 'conf/again:1');
      same((await found(t, name)).id, id);
      holds((await idsListed(t)).includes(id), 'not listed');
    }),
    row('PullImage', 'twice: the same id', async (t) => {
      const { name, id } = await pulled(t, 'conf/again:1');
      same(await pull(t, name), id);
    }),
    row('PullImage', 'by digest: the same image, without a tag', async (t) => {
      const { name, id } = await pulled(t, 'conf/again:1');
      const digest = (await found(t, name)).repoDigests[0] ?? '';
      await remove(t, name);
      same(await pull(t, digest), id);
      const image = await found(t, digest);
      same([image.repoTags, image.repoDigests], [[], [digest]]);
    }),
    row('PullImage', 'five at once: one id, one image', async (t) => {
      const name = t.stage.ref('conf/race:1');
      t.after(async () => await remove(t, name));
      same(new Set(await Promise.all(Array.from({ length: 5 }, async () => await pull(t, name)))).size, 1);
      same((await idsListed(t, name)).length, 1);
    }),
    row('PullImage', 'one of two clients cancels: the other gets the image (K)', async (t) => {
      const name = t.stage.ref('conf/cancel:1');
      t.after(async () => await remove(t, name));
      const gone = new AbortController();
      const first = t.image.pullImage({ image: { image: name } }, { signal: gone.signal }).then(
        () => {},
        () => {},
      );
      const second = pull(t, name);
      setImmediate(() => gone.abort());
      matches(await second, /\S/u);
      await first;
    }),
    row('PullImage', 'a client that cancels: nothing half is listed, the next pull goes', async (t) => {
      const name = t.stage.ref('conf/cancel:1');
      t.after(async () => await remove(t, name));
      await t.image.pullImage({ image: { image: name } }, { deadlineMs: 3 }).catch(() => {});
      const id = await pull(t, name);
      same(await idsListed(t, name), [id]);
    }),
    row(
      'PullImage',
      'a tag that the registry has not is NotFound',
      async (t) => await refused(pull(t, t.stage.ref('conf/again:no-such-tag')), 'NOT_FOUND'),
    ),
    row(
      'PullImage',
      'a repository that the registry has not is NotFound',
      async (t) => await refused(pull(t, t.stage.ref('conf/no-such-image:1')), 'NOT_FOUND'),
    ),
    row('PullImage', "a registry that nobody serves: the kubelet's word RegistryUnavailable", async (t) => {
      const { details } = await refusalOf(pull(t, '127.0.0.1:1/conf/again:1'));
      matches(details, /^RegistryUnavailable: /u);
    }),
    row('PullImage', 'a refusal never repeats a password', async (t) => {
      const call = t.image.pullImage({
        image: { image: t.stage.ref('conf/no-such-image:1') },
        auth: { username: 'user', password: 'very-secret-word' },
      });
      const { details } = await refusalOf(call);
      holds(!details.includes('very-secret-word'), details);
    }),
    row('PullImage', 'credentials that the registry does not ask for are no hindrance', async (t) => {
      const name = t.stage.ref('conf/again:1');
      t.after(async () => await remove(t, name));
      await t.image.pullImage({ image: { image: name }, auth: { username: 'user', password: 'word' } });
    }),
    row('PullImage', 'empty credentials count as no credentials', async (t) => {
      const name = t.stage.ref('conf/again:1');
      t.after(async () => await remove(t, name));
      await t.image.pullImage({ image: { image: name }, auth: {} });
    }),
    ...ILL_FORMED.map(([what, name]) =>
      row(
        'PullImage',
        `a name ${what} is InvalidArgument`,
        async (t) => await refused(pull(t, name), 'INVALID_ARGUMENT'),
      ),
    ),
    ...ILL_FORMED.slice(0, 3).map(([what, name]) =>
      row(
        'ImageStatus',
        `a name ${what} is InvalidArgument`,
        async (t) => await refused(status(t, name), 'INVALID_ARGUMENT'),
      ),
    ),
    ...ILL_FORMED.slice(0, 3).map(([what, name]) =>
      row('RemoveImage', `a name ${what} is InvalidArgument, and removes nothing (K)`, async (t) => {
        const before = (await idsListed(t)).length;
        await refused(remove(t, name), 'INVALID_ARGUMENT');
        same((await idsListed(t)).length, before);
      }),
    ),
    row('ImageStatus', 'absent: no error, no image', async (t) =>
      same(await status(t, t.stage.ref('conf/never-pulled:1')), undefined),
    ),
    row('ImageStatus', 'by tag, digest, id, id without sha256: and short id: one image', async (t) => {
      const { name, id } = await pulled(t, 'conf/again:1');
      const digest = (await found(t, name)).repoDigests[0] ?? '';
      const hex = id.replace(/^sha256:/u, '');
      for (const word of [name, digest, id, hex, hex.slice(0, 12)])
        same((await status(t, word))?.id, id, word);
    }),
    row('ImageStatus', 'tag and digest together: the digest decides', async (t) => {
      const { name, id } = await pulled(t, 'conf/again:1');
      const digest = ((await found(t, name)).repoDigests[0] ?? '').split('@')[1] ?? '';
      same((await status(t, `${name}@${digest}`))?.id, id);
    }),
    row('ImageStatus', 'short names are docker.io/library/NAME:latest: absent, no error', async (t) =>
      same(await status(t, 'no-such-short-name'), undefined),
    ),
    row('ImageStatus.info', 'only when verbose is asked for', async (t) => {
      const { name } = await pulled(t, 'conf/again:1');
      same(Object.keys((await t.image.imageStatus({ image: { image: name } })).info), []);
      JSON.parse(
        (await t.image.imageStatus({ image: { image: name }, verbose: true })).info['info'] ?? 'missing',
      );
    }),
    row('Image', 'repo_tags, repo_digests, size', async (t) => {
      const { name } = await pulled(t, 'conf/again:1');
      const { repoTags, repoDigests, size } = await found(t, name);
      same(repoTags, [name]);
      matches(repoDigests[0] ?? '', /\/conf\/again@sha256:[0-9a-f]{64}$/u);
      holds(size > 100_000n, String(size));
    }),
    row('Image.uid, username', 'a number', async (t) => {
      const { uid, username } = await found(t, (await pulled(t, 'conf/uid:1')).name);
      same([uid?.value, username], [1234n, '']);
    }),
    row('Image.uid, username', 'a name', async (t) => {
      const { uid, username } = await found(t, (await pulled(t, 'conf/full:1')).name);
      same([uid, username], [undefined, 'app']);
    }),
    row('Image.uid, username', 'no USER: 0', async (t) => {
      const { uid, username } = await found(t, (await pulled(t, 'conf/again:1')).name);
      same([uid?.value, username], [0n, '']);
    }),
    row('Image.pinned', 'an ordinary image is not', async (t) =>
      same((await found(t, (await pulled(t, 'conf/again:1')).name)).pinned, false),
    ),
    row('tags', 'two tags of one image are one image with both', async (t) => {
      const [a, b] = [await pulled(t, 'conf/twin:a'), await pulled(t, 'conf/twin:b')];
      same(a.id, b.id);
      same((await found(t, a.id)).repoTags.toSorted(), [a.name, b.name].toSorted());
      same((await idsListed(t)).filter((id) => id === a.id).length, 1);
    }),
    row('tags', 'the same image in another repository: one image, both names and digests', async (t) => {
      const [a, b] = [await pulled(t, 'conf/twin:a'), await pulled(t, 'conf/elsewhere:a')];
      same(a.id, b.id);
      const { repoTags, repoDigests } = await found(t, a.id);
      same([repoTags.length, repoDigests.length], [2, 2]);
    }),
    row('ListImages', 'filter by tag, digest and id (K)', async (t) => {
      const { name, id } = await pulled(t, 'conf/again:1');
      const digest = (await found(t, name)).repoDigests[0] ?? '';
      for (const word of [name, digest, id]) same(await idsListed(t, word), [id], word);
    }),
    row('ListImages', 'a filter that fits none: an empty list (K)', async (t) =>
      same(await idsListed(t, t.stage.ref('conf/never-pulled:1')), []),
    ),
    row('ListImages', 'an empty filter counts as no filter', async (t) => {
      const { id } = await pulled(t, 'conf/again:1');
      holds(
        (await t.image.listImages({ filter: {} })).images.some((one) => one.id === id),
        'not there',
      );
      holds(
        (await t.image.listImages({ filter: { image: {} } })).images.some((one) => one.id === id),
        'not there',
      );
    }),
    row('ListImages', 'says of an image what ImageStatus says', async (t) => {
      const { name } = await pulled(t, 'conf/again:1');
      same((await t.image.listImages({ filter: { image: { image: name } } })).images, [await found(t, name)]);
    }),
    row('StreamImages', 'says the same as the list', async (t) => {
      await pulled(t, 'conf/again:1');
      const streamed: Image[] = [];
      for await (const part of t.stage.imageStreams.streamImages({})) streamed.push(...part.images);
      same(streamed, (await t.image.listImages({})).images);
    }),
    row('RemoveImage', 'by tag: gone from status and list at once', async (t) => {
      const { name, id } = await pulled(t, 'conf/gone:1');
      await remove(t, name);
      same(
        [await status(t, name), await status(t, id), await idsListed(t, name)],
        [undefined, undefined, []],
      );
    }),
    row('RemoveImage', 'by id', async (t) => {
      const { name, id } = await pulled(t, 'conf/gone:1');
      await remove(t, id);
      same(await status(t, name), undefined);
    }),
    row('RemoveImage', 'by one tag removes all tags of the image, in every repository (K)', async (t) => {
      const names = [
        (await pulled(t, 'conf/twin:a')).name,
        (await pulled(t, 'conf/twin:b')).name,
        (await pulled(t, 'conf/elsewhere:a')).name,
      ];
      await remove(t, names[0] ?? '');
      for (const name of names) same(await status(t, name), undefined, name);
    }),
    row('RemoveImage', 'twice, and of an unknown one, is success', async (t) => {
      const { name } = await pulled(t, 'conf/gone:1');
      for (let times = 0; times < 2; times += 1) await remove(t, name);
      await remove(t, t.stage.ref('conf/never-pulled:1'));
    }),
    row('RemoveImage', 'five at once are all success', async (t) => {
      const { name } = await pulled(t, 'conf/gone:1');
      await Promise.all(Array.from({ length: 5 }, async () => await remove(t, name)));
      same(await status(t, name), undefined);
    }),
    row('RemoveImage', 'of an image whose container runs: refused, or the container goes on', async (t) => {
      const { name } = await pulled(t, 'conf/used:1');
      const id = await t.start({ image: { image: name } });
      await remove(t, name).catch(() => {});
      same(await t.exec(id, 'cat /which'), 'used');
    }),
    row('RemoveImage', 'at once with CreateContainer: a whole container or NotFound (F08)', async (t) => {
      const { name } = await pulled(t, 'conf/used:1');
      const [made] = await Promise.allSettled([t.start({ image: { image: name } }), remove(t, name)]);
      if (made.status === 'fulfilled') same(await t.exec(made.value, 'cat /which'), 'used');
      else await refused(Promise.reject(made.reason as Error), ['NOT_FOUND', 'FAILED_PRECONDITION']);
    }),
    row('CreateContainer', 'by tag, digest and id', async (t) => {
      const { name, id } = await pulled(t, 'conf/used:1');
      const digest = (await found(t, name)).repoDigests[0] ?? '';
      for (const word of [name, digest, id])
        same(await t.output('cat /which', { image: { image: word } }), 'used');
    }),
    row(
      'ImageFsInfo',
      'both lists, with a mountpoint that exists, bytes, inodes and a time (K)',
      async (t) => {
        await t.stage.busybox;
        const { imageFilesystems, containerFilesystems } = await t.image.imageFsInfo({});
        for (const usage of [imageFilesystems[0], containerFilesystems[0]]) {
          holds(usage !== undefined && existsSync(usage.fsId?.mountpoint ?? ''), 'no mountpoint');
          holds(
            (usage?.timestamp ?? 0n) > 0n && usage?.usedBytes !== undefined && usage.inodesUsed !== undefined,
            'a part is missing',
          );
        }
      },
    ),
    row('ImageFsInfo', 'counts what images hold, not only metadata (K)', async (t) => {
      const size = (await found(t, await t.stage.busybox)).size;
      const used = await eventually('as much as the image has', async () => {
        const value = (await t.image.imageFsInfo({})).imageFilesystems[0]?.usedBytes?.value ?? 0n;
        return value >= size / 2n ? value : undefined;
      });
      holds(used > 500_000n, String(used));
    }),
  ],
};
