// Whoever publishes a manifest that names the config of another's image says nothing of that image.
import { beforeEach, describe, expect, it } from 'vitest';
import type { ResolvedImage } from '../../../../src/ports/images.ts';
import type { ImageRecord } from '../../../../src/ports/specs.ts';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { EasyWorld } from '../easy-ports.ts';
import { turns } from '../../../support/turns.ts';
import { containerSpec, digest, imageId, imageRecord, resolvedImage, sandboxSpec } from '../fixtures.ts';

const OURS = resolvedImage();
/** The same config, hence the same id, in a manifest of somebody else's: a checkpoint, of 2 TiB. */
const THEIRS = resolvedImage({
  repoTag: 'evil.example/x:1',
  repoDigest: `evil.example/x@${digest('6')}`,
  manifestDigest: digest('6'),
  checkpointOf: 'main',
  layers: [{ digest: digest('8'), diffId: digest('5'), mediaType: 'tar', sizeBytes: 2 * 1024 ** 4 }],
});
/** What the store has received of the one layer. */
const STORED = 7;

let world: EasyWorld;

beforeEach(async () => {
  world = await EasyWorld.serving();
  await world.troupe.removeImage(imageId(), world.call());
  world.answers['images.fetchLayer'] = STORED;
  world.asked.length = 0;
});

async function pull(what: ResolvedImage, namespace: string): Promise<unknown> {
  world.answers['images.resolve'] = what;
  const pulled = world.troupe
    .pullImage({ reference: what.repoTag, auth: undefined, namespace }, world.call())
    .catch((thrown: unknown) => thrown);
  await turns();
  return pulled;
}

const image = (): ImageRecord => world.troupe.findImage(imageId()) ?? expect.fail('the image is not present');
const isCheckpoint = (reference: string): boolean =>
  world.troupe.sourceOf(image(), reference)?.checkpointOf !== undefined;

describe('S86 two namespaces pull one image by two manifests', () => {
  it.each([
    ['ours first', [OURS, THEIRS]],
    ['theirs first', [THEIRS, OURS]],
  ] as const)('%s: a checkpoint is what the namespace’s own reference says it is', async (_order, pulls) => {
    for (const [at, one] of pulls.entries()) expect(await pull(one, `tenant-${at}`)).toBe(imageId());
    expect(
      [OURS, THEIRS].map(({ repoTag, repoDigest }) => [isCheckpoint(repoTag), isCheckpoint(repoDigest)]),
    ).toEqual([
      [false, false],
      [true, true],
    ]);
    // an id is of both manifests, and of neither
    expect([isCheckpoint(imageId()), isCheckpoint(imageId().slice(7))]).toEqual([false, false]);
  });

  it('the size is that of the received bytes, whatever a manifest claims', async () => {
    await pull(OURS, 'a');
    const before = image();
    await pull(THEIRS, 'b');
    expect([before.sizeBytes, image().sizeBytes]).toEqual([
      OURS.configBytes + STORED,
      OURS.configBytes + STORED,
    ]);
    expect(
      JSON.stringify(image(), (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    ).not.toContain(String(2 * 1024 ** 4));
  });

  it('a container keeps the digest of the reference that its pod names', async () => {
    await pull(THEIRS, 'b');
    await pull(OURS, 'a');
    const sandboxId = await world.troupe.runSandbox(sandboxSpec(), world.call());
    const spec = containerSpec({
      key: { sandboxId, name: 'app', attempt: 0 },
      imageRequested: imageId(),
      imageUserSpecified: OURS.repoTag,
    });
    const id = await world.troupe.createContainer(spec, world.call());
    expect(world.troupe.directory.container(id)?.image.ref).toBe(OURS.repoDigest);
  });

  it('a tag that moves to another manifest of the same image brings its facts along', async () => {
    await pull({ ...OURS, checkpointOf: 'main' }, 'a');
    await pull({ ...OURS, repoDigest: `docker.io/library/nginx@${digest('3')}` }, 'a');
    expect([isCheckpoint(OURS.repoTag), isCheckpoint(OURS.repoDigest)]).toEqual([false, true]);
    expect(image().sources?.map(({ repoTags }) => repoTags)).toEqual([[], [OURS.repoTag]]);
  });

  it('a tag that moves to another image leaves no fact behind', async () => {
    await pull(THEIRS, 'b');
    ledgerFold.apply(world.ledger, {
      type: 'image.present',
      image: imageRecord({ id: imageId('2'), repoTags: [THEIRS.repoTag], repoDigests: [] }),
    });
    expect(isCheckpoint(THEIRS.repoTag)).toBe(false);
    expect(image().sources).toEqual([{ repoDigest: THEIRS.repoDigest, repoTags: [], checkpointOf: 'main' }]);
  });
});

describe('S86 an interrupted pull', () => {
  /** Ours is left while its layer comes; what it fetched stays for its next try. */
  async function interrupted(): Promise<void> {
    world.answers['images.resolve'] = OURS;
    const release = world.hold('images.fetchLayer');
    const left = world.troupe
      .pullImage({ reference: OURS.repoTag, auth: undefined, namespace: 'a' }, world.call(10))
      .catch(() => undefined);
    await turns();
    await world.clock.advance(10);
    await left;
    await release();
    world.asked.length = 0;
  }
  const ours = (): boolean =>
    [...world.ledger.fetching.values()].some(({ source }) => source === OURS.repoDigest);

  it('is not ended by the failure of another manifest of the image', async () => {
    await interrupted();
    world.fail('images.fetchLayer');
    expect(await pull(THEIRS, 'b')).toBeInstanceOf(Error);
    expect([ours(), world.ledger.fetching.size, world.count('storage.removeLayer')]).toEqual([true, 1, 0]);
  });

  it('is not ended by a pull of the same manifest that another namespace’s policy refuses', async () => {
    await interrupted();
    world.fail('policy.admit');
    expect(await pull(OURS, 'b')).toBeInstanceOf(Error);
    expect([ours(), world.count('storage.removeLayer')]).toEqual([true, 0]);
  });
});

describe('S86 records of older versions', () => {
  const old = (repoDigests: readonly string[]): ImageRecord => ({
    ...imageRecord({ repoDigests }),
    config: { ...imageRecord().config, checkpointOf: 'main' } as never,
  });
  const folded = (record: ImageRecord): ImageRecord | undefined => {
    const ledger = ledgerFold.empty();
    ledgerFold.apply(ledger, { type: 'image.present', image: record });
    return ledger.images.get(imageId());
  };

  it('keep a checkpoint where only one manifest can have said so', () => {
    expect(folded(old([OURS.repoDigest]))?.sources).toEqual([
      { repoDigest: OURS.repoDigest, repoTags: [OURS.repoTag], checkpointOf: 'main' },
    ]);
    expect(folded(old([OURS.repoDigest, THEIRS.repoDigest]))?.sources).toEqual([
      { repoDigest: OURS.repoDigest, repoTags: [OURS.repoTag] },
      { repoDigest: THEIRS.repoDigest, repoTags: [] },
    ]);
    expect(folded(old([OURS.repoDigest]))?.config).not.toHaveProperty('checkpointOf');
  });

  it('of interrupted pulls are ended by the image, and by an end without a manifest', () => {
    const ledger = ledgerFold.empty();
    const begun = { type: 'image.fetching', id: imageId(), layers: [] } as const;
    ledgerFold.apply(ledger, begun);
    ledgerFold.apply(ledger, { ...begun, source: OURS.repoDigest });
    expect(ledger.fetching.size).toBe(2);
    ledgerFold.apply(ledger, { type: 'image.givenUp', id: imageId() });
    expect(ledger.fetching.size).toBe(0);
  });
});
