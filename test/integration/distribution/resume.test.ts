/** What a download that broke off has left: the next one goes on with it, over restarts, mirrors and errors. */
import { mkdir, mkdtemp, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hexOf, parseDigest, type Digest } from '../../../src/base/ids.ts';
import { distributionLimits, ingestLimits } from '../../../src/oci/images/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { BlobSink } from '../../../src/oci/images/registry/blob.ts';
import { Ingests } from '../../../src/oci/images/registry/ingest.ts';
import { fetchKept } from '../../../src/oci/images/registry/kept-blob.ts';
import type { Descriptor } from '../../../src/oci/images/model/manifest.ts';
import * as fake from '../../support/registry/fake-registry.ts';
import { digestOf } from '../../support/registry/digest.ts';
import { FakeRegistry, type Handler } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf, type TestLayer } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { insecure, rigOf, type Rig } from '../../support/registry/rig.ts';

/** A whole number of batches, so that all of it is in the file whenever the process dies. */
const HALF = 2 * ingestLimits.batchBytes;

let directory: string;
let registry: FakeRegistry;
let rig: Rig;
let layer: TestLayer;
let path: RegExp;

beforeEach(async () => {
  directory = join(await mkdtemp(join(tmpdir(), 'troupe-ingest-')), 'ingest');
  registry = await FakeRegistry.start();
  rig = rigOf(insecure(registry.host));
  layer = await layerOf([{ name: 'x', content: 'content '.repeat(HALF / 4) }], 'none');
  path = new RegExp(`/blobs/${layer.digest}$`, 'u');
  registry.push('a', 'v', imageOf([layer]));
});

afterEach(async () => {
  rig.client.close();
  await registry.close();
  await rm(join(directory, '..'), { recursive: true });
  expect(rig.clock.timers.size).toBe(0);
});

/** One daemon's: a new one knows only what the files say. */
const ingests = (more: { readonly mostBytes?: number } = {}): Ingests =>
  new Ingests({ directory, log: silentLog, leastBytes: 1024, ...more });
const digest = (): Digest => parseDigest(layer.digest) ?? expect.fail('no digest');
const file = (): string => join(directory, hexOf(digest()));
const ranges = (): readonly (string | undefined)[] =>
  registry.seen.filter((seen) => path.test(seen.path)).map(({ range }) => range);

interface Fetched {
  readonly digest: string;
  /** Bytes that came from the file, and over the network. */
  readonly kept: number;
  readonly came: number;
  readonly restarts: number;
}

/** The layer as a pull brings it. */
async function fetchLayer(
  from = ingests(),
  at: Rig = rig,
  reference = `${registry.host}/a:v`,
  signal = new AbortController().signal,
): Promise<Fetched> {
  const resolved = await at.resolve(reference);
  const descriptor: Descriptor = resolved.manifest.layers[0] ?? expect.fail('no layer');
  let parts: Uint8Array[] = [];
  const count = { kept: 0, came: 0, restarts: 0 };
  const sinkThatCounts = (what: 'kept' | 'came'): BlobSink => ({
    write: (piece) => {
      parts.push(Uint8Array.from(piece));
      count[what] += piece.byteLength;
    },
    restart: () => {
      parts = [];
      count.restarts += 1;
    },
  });
  await fetchKept(
    from,
    (how) => at.client.fetchBlob(resolved.handle, how),
    { descriptor, signal },
    sinkThatCounts('kept'),
    sinkThatCounts('came'),
  );
  return { digest: digestOf(Buffer.concat(parts)), ...count };
}

/** Breaks off after half of it, however often it is tried, as a daemon that was killed there has left it. */
async function leaveHalf(): Promise<void> {
  registry.on(path, fake.breakOff(layer.bytes, HALF, 'close'), 1);
  registry.on(path, fake.refuse(503, 'UNAVAILABLE', 'later'), distributionLimits.attempts - 1);
  await faultOf(fetchLayer());
  expect((await stat(file())).size).toBe(HALF);
  registry.seen.length = 0;
}

const rest = (): number => layer.bytes.byteLength - HALF;

describe('F60 F07 a download resumes where the one before broke off', () => {
  it('the next daemon requests only the rest, and verifies all of it', async () => {
    await leaveHalf();
    expect(await fetchLayer()).toEqual({ digest: layer.digest, kept: HALF, came: rest(), restarts: 0 });
    expect(ranges()).toEqual([`bytes=${HALF}-`]);
  });

  it('a complete file needs no request', async () => {
    await fetchLayer();
    registry.seen.length = 0;
    expect(await fetchLayer()).toEqual({
      digest: layer.digest,
      kept: layer.bytes.byteLength,
      came: 0,
      restarts: 0,
    });
    expect(ranges()).toEqual([]);
  });

  it('an abort keeps the received bytes', async () => {
    const caller = new AbortController();
    registry.on(
      path,
      fake.stall(layer.bytes, HALF, () => undefined),
      1,
    );
    const before = ingests();
    const pulled = fetchLayer(before, rig, undefined, caller.signal);
    // the file is behind by less than one batch
    await expect
      .poll(
        () =>
          stat(file()).then(
            ({ size }) => size,
            () => 0,
          ),
        { interval: 10 },
      )
      .toBeGreaterThanOrEqual(HALF - ingestLimits.batchBytes);
    caller.abort();
    expect((await faultOf(pulled)).kind).toBe('cancelled');
    expect((await fetchLayer(before)).digest).toBe(layer.digest);
    expect(ranges().at(-1)).toMatch(/^bytes=[1-9][0-9]*-$/u);
  });

  it('F62 an expired token is renewed once, and the rest is fetched', async () => {
    const challenge = { 'www-authenticate': `Bearer realm="${registry.url}/token",service="r"` };
    registry.on(/\/token/u, fake.answer('{"token":"fresh"}'));
    registry.on(path, fake.breakOff(layer.bytes, HALF, 'close'), 1);
    registry.on(path, fake.refuse(401, 'UNAUTHORIZED', 'expired', challenge), 1);
    expect(await fetchLayer()).toMatchObject({ digest: layer.digest, restarts: 0 });
    expect(ranges()).toEqual([undefined, `bytes=${HALF}-`, `bytes=${HALF}-`]);
    expect([registry.count(/\/token/u), registry.seen.at(-1)?.authorization]).toEqual([1, 'Bearer fresh']);
  });

  it('F64 a redirect carries the range, but no credentials', async () => {
    const other = await FakeRegistry.start();
    try {
      other.push('a', 'v', imageOf([layer]));
      registry.on(path, fake.redirect(`${other.url}/v2/a/blobs/${layer.digest}`));
      other.on(path, fake.breakOff(layer.bytes, HALF, 'close'), 1);
      const at = rigOf(insecure(registry.host, other.host));
      expect(await fetchLayer(ingests(), at)).toMatchObject({ digest: layer.digest, restarts: 0 });
      at.client.close();
      expect(other.seen.map(({ range }) => range)).toEqual([undefined, `bytes=${HALF}-`]);
      expect(other.authorizations).toEqual([]);
    } finally {
      await other.close();
    }
  });

  it('F66 a download moves from a mirror to the registry and back to the mirror for the rest', async () => {
    const mirror = await FakeRegistry.start();
    mirror.push('a', 'v', imageOf([layer]));
    const mirrored = rigOf(
      `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n[[registry.mirror]]\nlocation = "${mirror.host}"\ninsecure = true\n`,
    );
    try {
      mirror.on(path, fake.breakOff(layer.bytes, HALF, 'reset'), 1);
      mirror.on(path, fake.refuse(503, 'UNAVAILABLE', 'later'), distributionLimits.mirrorAttempts - 1);
      registry.on(path, fake.refuse(503, 'UNAVAILABLE', 'later'), distributionLimits.attempts);
      await faultOf(fetchLayer(ingests(), mirrored));
      expect(ranges().every((range) => /^bytes=[1-9]/u.test(range ?? ''))).toBe(true);
      const again = await fetchLayer(ingests(), mirrored);
      expect(again).toMatchObject({ digest: layer.digest, restarts: 0 });
      expect(again.kept + again.came).toBe(layer.bytes.byteLength);
      expect(again.kept).toBeGreaterThan(0);
    } finally {
      mirrored.client.close();
      await mirror.close();
      expect(mirrored.clock.timers.size).toBe(0);
    }
  });
});

describe('F28 F61 existing bytes are verified', () => {
  it('a wrong beginning, as after a power loss, is found by the digest, and all of it is fetched from the same registry', async () => {
    await leaveHalf();
    const wrong = await readFile(file());
    wrong.fill(0, HALF - 4096);
    await writeFile(file(), wrong);
    expect(await fetchLayer()).toEqual({
      digest: layer.digest,
      kept: HALF,
      came: rest() + layer.bytes.byteLength,
      restarts: 1,
    });
    expect(ranges()).toEqual([`bytes=${HALF}-`, undefined]);
    expect(digestOf(await readFile(file()))).toBe(layer.digest);
  });

  it('a whole file with wrong content, and one longer than the blob, are fetched again', async () => {
    await fetchLayer();
    await writeFile(file(), Buffer.alloc(layer.bytes.byteLength));
    expect(await fetchLayer()).toMatchObject({ digest: layer.digest, restarts: 1 });
    await truncate(file(), layer.bytes.byteLength + 1);
    expect(await fetchLayer()).toEqual({
      digest: layer.digest,
      kept: 0,
      came: layer.bytes.byteLength,
      restarts: 0,
    });
  });

  it('a registry that keeps lying is abandoned after its second try', async () => {
    await leaveHalf();
    const wrong = Buffer.from(layer.bytes);
    wrong[wrong.length - 1] = 0x55;
    registry.on(path, fake.answer(wrong));
    expect((await faultOf(fetchLayer())).message).toContain('sent content with the digest');
    expect(ranges().length).toBe(2);
    expect((await stat(file())).size).toBe(0);
  });
});

describe('registries without ranges', () => {
  const ignoresRange: Handler = (request, response, serve) => {
    delete request.headers.range;
    serve();
    expect(response.statusCode).toBe(200);
  };

  const refusesRange =
    (status: number): Handler =>
    (request, response, serve) =>
      request.headers.range === undefined
        ? serve()
        : fake.refuse(status, 'RANGE_INVALID', 'no')(request, response, serve);

  it.each<readonly [string, Handler]>([
    ['one without ranges', ignoresRange],
    ['416', refusesRange(416)],
    ['400, as object stores say it', refusesRange(400)],
    ['501', refusesRange(501)],
    [
      'another range',
      (request, response, serve) => {
        if (request.headers.range === undefined) return serve();
        response.writeHead(206, { 'content-range': `bytes 0-9/${layer.bytes.byteLength}` });
        response.end('0123456789');
      },
    ],
    [
      'a blob of another length',
      (request, response, serve) => {
        if (request.headers.range === undefined) return serve();
        response.writeHead(206, { 'content-range': `bytes ${HALF}-${HALF + 9}/${HALF + 10}` });
        response.end('0123456789');
      },
    ],
  ])('%s: the whole blob is sent, and the existing bytes are skipped', async (_what, handler) => {
    await leaveHalf();
    registry.on(path, handler);
    expect(await fetchLayer()).toEqual({ digest: layer.digest, kept: HALF, came: rest(), restarts: 0 });
  });

  it('a changed ETag makes all of it be fetched again', async () => {
    let part = 0;
    registry.on(path, (request, response, serve) => {
      part += 1;
      if (part === 1) {
        response.setHeader('etag', '"one"');
        return fake.breakOff(layer.bytes, HALF, 'close')(request, response, serve);
      }
      response.setHeader('etag', '"two"');
      return serve();
    });
    expect(await fetchLayer()).toMatchObject({ digest: layer.digest, restarts: 1 });
    expect(ranges()).toEqual([undefined, `bytes=${HALF}-`, undefined]);
  });
});

describe('F22 I15 the files are bounded', () => {
  it('a small layer, and one larger than the bound of all files, leave no file', async () => {
    await fetchLayer(new Ingests({ directory, log: silentLog }));
    await fetchLayer(ingests({ mostBytes: layer.bytes.byteLength - 1 }));
    expect(await readdir(directory)).toEqual([]);
    await fetchLayer(ingests({ mostBytes: layer.bytes.byteLength }));
    expect(await readdir(directory)).toEqual([hexOf(digest())]);
  });

  it('unused files are deleted, unknown ones too; files being written stay', async () => {
    const here = ingests();
    await fetchLayer(here);
    await writeFile(join(directory, 'unknown'), '');
    await here.dropAllBut(new Set([digest()]));
    expect(await readdir(directory)).toEqual([hexOf(digest())]);
    const busy = await here.open({ digest: digest(), size: layer.bytes.byteLength, source: '' });
    expect(await here.open({ digest: digest(), size: layer.bytes.byteLength, source: '' })).toBeUndefined();
    await here.dropAllBut(new Set());
    expect(await readdir(directory)).toEqual([hexOf(digest())]);
    await busy?.close();
    await here.dropAllBut(new Set());
    expect(await readdir(directory)).toEqual([]);
  });

  it('F89 a directory in the place of a file is passed on for deletion, whatever its name', async () => {
    const discarded: string[] = [];
    const names = [hexOf(digest()), 'unknown'];
    for (const name of names) await mkdir(join(directory, name), { recursive: true });
    const here = new Ingests({
      directory,
      log: silentLog,
      discard: (gone) => Promise.resolve(void discarded.push(gone)),
    });
    await here.dropAllBut(new Set());
    expect(discarded.toSorted()).toEqual(names.map((name) => join(directory, name)).toSorted());
  });

  it('a disk error ends the keeping of the file, not the download', async () => {
    await writeFile(directory, 'no directory');
    expect((await fetchLayer()).digest).toBe(layer.digest);
  });
});
