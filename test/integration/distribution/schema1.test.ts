/** Docker's schema 1 from a registry as old as it: unsigned and signed, and layers that are not what they should be. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { schema1Types } from '../../../src/oci/images/model/schema1.ts';
import { digestOf } from '../../support/registry/digest.ts';
import { answer, FakeRegistry } from '../../support/registry/fake-registry.ts';
import { layerOf, type TestLayer } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { insecure, rigOf, type Rig } from '../../support/registry/rig.ts';

const EMPTY = 'throwaway';

describe('schema 1', () => {
  let registry: FakeRegistry;
  let rig: Rig;
  let layers: readonly TestLayer[];
  beforeEach(async () => {
    registry = await FakeRegistry.start();
    rig = rigOf(insecure(registry.host));
    layers = [
      await layerOf([{ name: 'a', content: 'A' }]),
      await layerOf([{ name: 'b', content: 'B'.repeat(100_000) }], 'none'),
    ];
  });
  afterEach(async () => {
    rig.client.close();
    await registry.close();
  });

  /** Of these blobs, topmost last; `throwaway` for a step without files. */
  function manifestOf(blobs: readonly string[]): string {
    const id = (at: number): string => String(at + 1).repeat(64);
    const steps = blobs.map((blob, at) => ({
      id: id(at),
      ...(at === 0 ? {} : { parent: id(at - 1) }),
      created: '2014-01-01T00:00:00Z',
      os: 'linux',
      architecture: 'amd64',
      config: { Cmd: ['/bin/sh'] },
      ...(blob === EMPTY ? { throwaway: true } : {}),
    }));
    return JSON.stringify(
      {
        schemaVersion: 1,
        name: 'old',
        tag: 'v',
        architecture: 'amd64',
        fsLayers: blobs.map((blob) => ({ blobSum: blob === EMPTY ? digestOf('empty') : blob })).toReversed(),
        history: steps.map((step) => ({ v1Compatibility: JSON.stringify(step) })).toReversed(),
      },
      null,
      3,
    );
  }

  function serve(document: string, type: string, served: readonly TestLayer[] = layers): void {
    registry.on(/\/manifests\//u, answer(Buffer.from(document), { 'content-type': type }));
    for (const layer of served)
      registry.on(
        new RegExp(`/blobs/${layer.digest}`, 'u'),
        answer(layer.bytes, { 'content-type': 'application/octet-stream' }),
      );
  }

  const text = (): string => manifestOf([layers[0]?.digest ?? '', EMPTY, layers[1]?.digest ?? '']);

  it.each([schema1Types.plain, schema1Types.signed, 'application/json', ''])(
    'unsigned, as %j: the digest is that of its bytes, layers and diff-ids are found',
    async (type) => {
      serve(text(), type);
      const resolved = await rig.resolve(`${registry.host}/old:v`);
      expect(resolved.manifestDigest).toBe(digestOf(text()));
      expect(resolved.config).toMatchObject({
        cmd: ['/bin/sh'],
        diffIds: layers.map(({ diffId }) => diffId),
      });
      expect(resolved.manifest.layers.map(({ size, compression }) => [size, compression])).toEqual(
        layers.map(({ bytes }, at) => [bytes.length, at === 0 ? 'gzip' : 'none']),
      );
      expect(resolved.imageId).toBe(digestOf(resolved.configBytes));
      for (const [at, layer] of resolved.manifest.layers.entries())
        expect(digestOf(await rig.fetch(resolved, layer))).toBe(layers[at]?.digest);
    },
  );

  it('S17 signed: the digest is that of the payload; bytes around it change nothing', async () => {
    const payload = text();
    const tail = Buffer.from('\n}').toString('base64url');
    const protectedPart = Buffer.from(
      JSON.stringify({ formatLength: payload.length - 2, formatTail: tail }),
    ).toString('base64url');
    const signature = { header: { alg: 'ES256' }, signature: 'AAAA', protected: protectedPart };
    // a second list of layers beside the signature: a reader of the whole document would see it
    const around = JSON.stringify({ signatures: [signature] }).slice(1, -1);
    serve(`${payload.slice(0, -2)},${around}\n}`, schema1Types.signed);
    const resolved = await rig.resolve(`${registry.host}/old@${digestOf(payload)}`);
    expect(resolved.manifestDigest).toBe(digestOf(payload));
    expect(resolved.config.diffIds.length).toBe(2);
  });

  it('a blob in two steps is read once', async () => {
    const [one] = layers;
    if (one === undefined) throw new Error('no layer');
    serve(manifestOf([one.digest, one.digest]), schema1Types.plain);
    const resolved = await rig.resolve(`${registry.host}/old:v`);
    expect(resolved.config.diffIds).toEqual([one.diffId, one.diffId]);
    expect(registry.seen.filter(({ path }) => path.includes('/blobs/')).length).toBe(1);
  });

  it.each<[string, (layer: TestLayer) => Buffer, RegExp]>([
    ['S60 other content', (layer) => Buffer.alloc(layer.bytes.length, 1), /sent content with the digest/u],
    [
      'more than there is',
      (layer) => Buffer.concat([layer.bytes, Buffer.from('more')]),
      /sent content with the digest/u,
    ],
  ])('a layer with %s is refused', async (_what, spoil, words) => {
    const [one] = layers;
    if (one === undefined) throw new Error('no layer');
    serve(manifestOf([one.digest]), schema1Types.plain, [{ ...one, bytes: spoil(one) }]);
    const fault = await faultOf(rig.resolve(`${registry.host}/old:v`));
    expect(fault.kind).toBe('outside');
    expect(fault.message).toMatch(words);
    expect(fault.message).toContain(`layer ${one.digest}`);
  });

  it.each<[string, (layer: TestLayer) => Buffer]>([
    ['cut short inside its gzip', (layer) => Buffer.from(layer.bytes.subarray(0, 40))],
    [
      'rubbish behind the magic of gzip',
      () => Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 0xff, 0xff, 0xff]),
    ],
  ])('a layer that is %s is refused', async (_what, make) => {
    const [one] = layers;
    if (one === undefined) throw new Error('no layer');
    const bytes = make(one);
    serve(manifestOf([digestOf(bytes)]), schema1Types.plain, [{ ...one, bytes, digest: digestOf(bytes) }]);
    const fault = await faultOf(rig.resolve(`${registry.host}/old:v`));
    expect(fault).toMatchObject({ kind: 'outside' });
    expect(fault.message).toContain(`layer ${digestOf(bytes)}: decompress: `);
  });
});
