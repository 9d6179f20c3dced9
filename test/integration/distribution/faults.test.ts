/** Registries that stall, lie, break and redirect: rows F60–F67 of the fault matrix. In this process, over loopback. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { distributionLimits } from '../../../src/oci/images/bounds.ts';
import * as fake from '../../support/registry/fake-registry.ts';
import { digestOf } from '../../support/registry/digest.ts';
import type { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, indexOf, type TestImage, type TestLayer } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import type { Rig } from '../../support/registry/rig.ts';
import { injecting, injects } from '../../support/faults/injects.ts';
import { blobPath, firstLayer, serveImage } from './served-image.ts';

const brokenBody = injects('F60', 'a body that breaks off, stalls or trickles');
const lie = injects('F61', 'a registry sends other bytes, another digest or another type than was said');
const overload = injects('F63', '429, 503, 500 and 522 from a registry');
const cancelled = injects('F68', 'a pull is cancelled during its manifest, its config, a layer or a wait');

let registry: FakeRegistry;
let rig: Rig;
let layer: TestLayer;
let image: TestImage;
let reference: string;
const tick = (): void => rig.clock.pass(10_000);

beforeEach(async () => {
  ({ registry, rig, layer, image, reference } = await serveImage());
});

afterEach(async () => {
  rig.client.close();
  await registry.close();
  expect(rig.clock.timers.size).toBe(0);
});

async function pullLayer(options: { restart?: boolean } = {}): Promise<string> {
  const resolved = await rig.resolve(reference);
  return digestOf(await rig.fetch(resolved, firstLayer(resolved), options));
}

describe('F60 bodies that stop or trickle', () => {
  it.each(['close', 'reset'] as const)('%s in the middle is resumed by Range', async (how) => {
    registry.on(blobPath(layer), injecting(brokenBody, fake.breakOff(layer.bytes, 150_000, how)), 1);
    expect(await pullLayer()).toBe(layer.digest);
    const requests = registry.seen.filter(({ path }) => blobPath(layer).test(path));
    expect(requests.length).toBe(2);
  });

  it('a stall at 99 % is aborted and resumed', async () => {
    const stalling = fake.stall(layer.bytes, layer.bytes.byteLength - 10, tick);
    registry.on(blobPath(layer), injecting(brokenBody, stalling), 1);
    expect(await pullLayer()).toBe(layer.digest);
    expect(registry.seen.at(-1)?.range).toMatch(/^bytes=[1-9][0-9]*-$/u);
  });

  it('a trickle of one byte at a time counts as a stall', async () => {
    registry.on(blobPath(layer), injecting(brokenBody, fake.trickle(layer.bytes, tick)), 1);
    expect(await pullLayer()).toBe(layer.digest);
    expect(registry.count(blobPath(layer))).toBe(2);
  });

  it('the known bytes from a registry that ignores Range are skipped', async () => {
    registry.on(blobPath(layer), fake.breakOff(layer.bytes, 150_000, 'close'), 1);
    registry.on(blobPath(layer), fake.answer(layer.bytes));
    expect(await pullLayer()).toBe(layer.digest);
  });

  it('an answer with a different range is refused', async () => {
    registry.on(blobPath(layer), fake.breakOff(layer.bytes, 150_000, 'close'), 1);
    registry.on(blobPath(layer), (_request, response) => {
      response.writeHead(206, { 'content-range': `bytes 0-9/${layer.bytes.byteLength}` });
      response.end('0123456789');
    });
    const fault = await faultOf(pullLayer());
    expect(fault.message).toContain(layer.digest);
    expect(fault.message).toContain('another range');
  });

  it('a body that is always truncated ends after bounded attempts as RegistryUnavailable with layer and host', async () => {
    registry.on(blobPath(layer), injecting(brokenBody, fake.breakOff(layer.bytes, 0, 'close')));
    const fault = await faultOf(pullLayer());
    expect(fault).toMatchObject({ kind: 'outside', retryable: true });
    expect(fault.message.startsWith(`RegistryUnavailable: pull ${reference}: layer ${layer.digest}: `)).toBe(
      true,
    );
    expect(fault.message).toContain(registry.host);
    expect(registry.count(blobPath(layer))).toBe(distributionLimits.attempts);
  });

  it('a body shorter than in the manifest is refused at its head', async () => {
    registry.on(blobPath(layer), fake.answer(layer.bytes.subarray(0, 1000)));
    expect((await faultOf(pullLayer())).message).toContain(
      `has 1000 bytes, the manifest says ${layer.bytes.byteLength}`,
    );
  });

  it('a manifest that breaks off, or never comes, is requested again', async () => {
    registry.on(/manifests/u, fake.breakOff(image.manifest, 10, 'reset'), 1);
    registry.on(/manifests/u, fake.silence(tick), 1);
    registry.on(/manifests/u, fake.stall(image.manifest, 10, tick), 1);
    expect(await pullLayer()).toBe(layer.digest);
    expect(registry.count(/manifests/u)).toBe(4);
  });

  it('a registry that never answers is RegistryUnavailable', async () => {
    registry.on(/manifests/u, fake.silence(tick));
    const fault = await faultOf(rig.resolve(reference));
    expect(fault.message).toContain('RegistryUnavailable: ');
    expect(fault.message).toContain('waiting for response headers');
  });
});

describe('F61 S60 lies', () => {
  it('wrong bytes of the right length are refused with the layer and the host', async () => {
    const wrong = Uint8Array.from(layer.bytes);
    wrong[1000] = (wrong[1000] ?? 0) ^ 1;
    registry.on(blobPath(layer), injecting(lie, fake.answer(wrong)));
    const fault = await faultOf(pullLayer());
    expect(fault).toMatchObject({ kind: 'outside' });
    expect(fault.message).toContain(
      `layer ${layer.digest}: ${registry.host} sent content with the digest ${digestOf(wrong)}`,
    );
  });

  it('S60 a config with one byte changed is refused', async () => {
    const config = Buffer.from(image.config.toString().replace('linux', 'linuz'));
    registry.on(new RegExp(digestOf(image.config), 'u'), injecting(lie, fake.answer(config)));
    expect((await faultOf(rig.resolve(reference))).message).toContain('sent content with the digest');
  });

  it('S60 a manifest that does not match the requested digest is refused', async () => {
    const other = imageOf([layer], { config: { Cmd: ['/evil'] } });
    registry.on(
      /manifests/u,
      injecting(lie, fake.answer(other.manifest, { 'content-type': other.mediaType })),
    );
    const fault = await faultOf(rig.resolve(`${registry.host}/a@${digestOf(image.manifest)}`));
    expect(fault.message).toContain(`sent a document with the digest ${digestOf(other.manifest)}`);
  });

  it('a wrong digest in the header is refused', async () => {
    registry.on(
      /manifests/u,
      fake.answer(image.manifest, {
        'content-type': image.mediaType,
        'docker-content-digest': digestOf('other'),
      }),
    );
    expect((await faultOf(rig.resolve(reference))).message).toContain('its header states another');
  });

  it('HEAD is never used, so that nothing can change between HEAD and GET', async () => {
    await pullLayer();
    expect(new Set(registry.seen.map(({ method }) => method))).toEqual(new Set(['GET']));
  });

  it('bytes beyond the size in the manifest are cut off', async () => {
    registry.on(blobPath(layer), fake.endless());
    expect((await faultOf(pullLayer())).message).toContain(
      `sent more than the ${layer.bytes.byteLength} bytes`,
    );
  });

  it('an index whose size or type does not match the child is refused', async () => {
    const message = async (tag: string): Promise<string> =>
      (await faultOf(rig.resolve(`${registry.host}/a:${tag}`))).message;
    const entry = {
      bytes: image.manifest,
      mediaType: image.mediaType,
      platform: { os: 'linux', architecture: 'amd64' },
    };
    const index = indexOf([entry]);
    const size = Buffer.from(
      Buffer.from(index.bytes)
        .toString()
        .replace(/"size":\d+/u, '"size":1'),
    );
    registry.addManifest('a', size, index.mediaType, 'size');
    expect(await message('size')).toContain('the index says 1');
    const type = Buffer.from(
      Buffer.from(index.bytes).toString().replaceAll('image.manifest.v1', 'image.index.v1'),
    );
    registry.addManifest('a', type, index.mediaType, 'type');
    expect(await message('type')).toContain('the index says application/vnd.oci.image.index.v1+json');
  });

  it('S59 nested indexes are followed up to a bound', async () => {
    let inner: { bytes: Uint8Array; mediaType: string } = {
      bytes: image.manifest,
      mediaType: image.mediaType,
    };
    const tags: string[] = [];
    for (let depth = 1; depth <= 5; depth += 1) {
      inner = indexOf([inner]);
      registry.addManifest('a', inner.bytes, inner.mediaType, `depth-${depth}`);
      tags.push(`depth-${depth}`);
    }
    expect((await rig.resolve(`${registry.host}/a:depth-3`)).imageId).toBe(digestOf(image.config));
    expect((await faultOf(rig.resolve(`${registry.host}/a:depth-5`))).message).toContain(
      'indexes are nested more than 3 deep',
    );
    expect(tags.length).toBe(5);
  });

  it('F67 fewer diff-ids than layers are refused before a layer is fetched', async () => {
    registry.push(
      'a',
      'short',
      imageOf([layer, layer], { top: { rootfs: { type: 'layers', diff_ids: [layer.diffId] } } }),
    );
    expect((await faultOf(rig.resolve(`${registry.host}/a:short`))).message).toContain(
      'lists 1 layers, the manifest 2',
    );
  });
});

describe('F63 overload', () => {
  it.each([
    ['429 with seconds', 429, { 'retry-after': '7' }, [7000, 7700]],
    ['503 with a date', 503, { 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' }, [9000, 9900]],
    ['429 with an absurd wait', 429, { 'retry-after': '31536000' }, [60_000, 60_000]],
    ['500 without a word', 500, {}, [100, 200]],
    ['522, of a network in front of the registry', 522, {}, [100, 200]],
  ] as const)('%s is waited out', async (_name, status, headers, [low, high]) => {
    const refusing = injecting(overload, fake.refuse(status, 'TOOMANYREQUESTS', 'slow down', headers));
    registry.on(/manifests/u, refusing, 1);
    registry.on(blobPath(layer), refusing, 1);
    expect(await pullLayer()).toBe(layer.digest);
    expect(rig.clock.waits.length).toBe(2);
    for (const wait of rig.clock.waits) {
      expect(wait).toBeGreaterThanOrEqual(low);
      expect(wait).toBeLessThanOrEqual(high);
    }
  });

  it('endless overload ends after a bound as RegistryUnavailable with the registry’s words', async () => {
    registry.on(/manifests/u, injecting(overload, fake.refuse(429, 'TOOMANYREQUESTS', 'pull rate limit')));
    const fault = await faultOf(rig.resolve(reference));
    expect(fault).toMatchObject({ kind: 'outside', retryable: true });
    expect(fault.message).toMatch(
      /^RegistryUnavailable: .*answered 429 \(TOOMANYREQUESTS: pull rate limit\)$/u,
    );
    expect(registry.count(/manifests/u)).toBe(distributionLimits.attempts);
  });
});

describe('F68 cancellation', () => {
  it.each(['manifest', 'config', 'layer', 'wait'] as const)('cancels a fetch of the %s', async (where) => {
    const controller = new AbortController();
    const abort: fake.Handler = (_request, response) => {
      response.writeHead(200, { 'content-length': 100_000 });
      response.write('x', () => controller.abort());
    };
    const paths = {
      manifest: /manifests/u,
      config: new RegExp(digestOf(image.config), 'u'),
      layer: blobPath(layer),
      wait: /manifests/u,
    };
    if (where === 'wait') {
      registry.on(/manifests/u, (request, response, serve) => {
        fake.refuse(429, 'X', 'x', { 'retry-after': '60' })(request, response, serve);
        controller.abort();
      });
    } else registry.on(paths[where], abort);
    const work = async (): Promise<unknown> => {
      const resolved = await rig.resolve(reference, undefined, undefined, controller.signal);
      return rig.fetch(resolved, firstLayer(resolved), { signal: controller.signal });
    };
    expect(await faultOf(work())).toMatchObject({ kind: 'cancelled' });
    cancelled.happened();
    expect(rig.clock.timers.size).toBe(0);
  });

  it('cancels a fetch before it begins', async () => {
    const signal = AbortSignal.abort();
    expect(await faultOf(rig.resolve(reference, undefined, undefined, signal))).toMatchObject({
      kind: 'cancelled',
    });
    expect(registry.seen).toEqual([]);
  });
});
