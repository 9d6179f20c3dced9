// A pull whose daemon is killed twenty times: each instance goes on with what the one before has left, byte for byte.
import { createHash, randomBytes } from 'node:crypto';
import type * as http from 'node:http';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ingestLimits } from '../../../src/oci/images/bounds.ts';
import { ingestedDigest } from '../../../src/oci/images/registry/ingest.ts';
import { criClient } from '../../../scripts/support/cri-client.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf, type TestLayer } from '../../support/registry/images.ts';
import { insecure } from '../../support/registry/rig.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { randomStream } from '../../sim/random.ts';
import { describePods } from '../support/crictl.ts';

const MIB = 1024 * 1024;
const SEED = 20261120;
/**
 * Deaths after so many bytes of layers, and deaths just after the last byte of a layer, while it is verified and given
 * its name.
 */
const DEATHS = { byBytes: 15, byEnd: 5 };
/** So many that layers under way have been written in part: see `ingestLimits.batchBytes`. */
const MOST_BYTES = 4 * MIB;
const PIECE_BYTES = 32 * 1024;
/** Between two pieces: without a pause megabytes stand in sockets, and a death loses all of them. */
const PIECE_MS = 2;
const SIZES = [
  [0.2, 'gzip'],
  [5, 'gzip'],
  [6, 'none'],
  [8, 'zstd'],
  [12, 'none'],
  [16, 'gzip'],
  [10, 'none'],
  [14, 'none'],
  [9, 'none'],
  [11, 'none'],
  [13, 'none'],
  [7, 'none'],
] as const;

/** Sends layers piece by piece until the daemon is to die. */
class Course {
  readonly registry: FakeRegistry;
  readonly #blobs: ReadonlyMap<string, TestLayer>;
  /** What was asked for in this life: digest and first byte, in order. */
  asked: (readonly [digest: string, from: number])[] = [];
  sent = 0;
  #left = Infinity;
  #onEnd = false;
  #die: () => void = () => undefined;

  constructor(registry: FakeRegistry, layers: readonly TestLayer[]) {
    this.registry = registry;
    this.#blobs = new Map(layers.map((layer) => [layer.digest, layer]));
    for (const { digest } of layers) {
      registry.on(new RegExp(`/blobs/${digest}$`, 'u'), (request, response) =>
        this.#send(digest, request, response),
      );
    }
  }

  /** A new life: it is to end after so many bytes of layers, or at the end of a layer, or never. */
  live(point: number | 'end' | 'never'): Promise<void> {
    this.asked = [];
    this.#left = typeof point === 'number' ? point : Infinity;
    this.#onEnd = point === 'end';
    return new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  #send(digest: string, request: http.IncomingMessage, response: http.ServerResponse): void {
    const bytes = this.#blobs.get(digest)?.bytes ?? expect.fail('a blob that is no layer');
    const from = Number(/^bytes=([0-9]+)-$/u.exec(request.headers.range ?? '')?.[1] ?? '0');
    this.asked.push([digest, from]);
    const range =
      from === 0 ? {} : { 'content-range': `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}` };
    response.writeHead(from === 0 ? 200 : 206, { 'content-length': bytes.byteLength - from, ...range });
    const next = (at: number): void => {
      if (response.destroyed) return;
      if (at === bytes.byteLength) {
        response.end();
        if (this.#onEnd) this.#die();
        return;
      }
      if (this.#left <= 0) return this.#die();
      const piece = bytes.subarray(at, Math.min(at + PIECE_BYTES, bytes.byteLength));
      this.#left -= piece.byteLength;
      this.sent += piece.byteLength;
      response.write(piece, () => setTimeout(next, PIECE_MS, at + piece.byteLength));
    };
    next(from);
  }
}

describePods('a daemon that is killed while it pulls', () => {
  let registry: FakeRegistry;
  let instance: Instance;
  let layers: TestLayer[];
  const contents = new Map<string, string>();

  beforeAll(async () => {
    registry = await FakeRegistry.start();
    layers = [];
    for (const [at, [size, compression]] of SIZES.entries()) {
      const content = randomBytes(size * MIB);
      const layer = await layerOf([{ name: `file${at}`, content }], compression);
      contents.set(layer.diffId, createHash('sha256').update(content).digest('hex'));
      layers.push(layer);
    }
    registry.push('big', 'v', imageOf(layers));
    instance = await makeInstance({
      name: 'kill',
      network: 'host-only',
      registriesConf: insecure(registry.host),
    });
  });
  afterAll(async () => {
    await instance?.remove();
    await registry?.close();
  });

  const names = (directory: string): Promise<string[]> =>
    readdir(join(instance.root, directory)).catch(() => []);
  const hexOf = (digest: string): string => digest.slice('sha256:'.length);

  /** What a death has left: digests of blobs whose layers are whole, and how much there is of the others. */
  async function left(): Promise<{
    readonly whole: ReadonlySet<string>;
    readonly partial: ReadonlyMap<string, number>;
  }> {
    const there = new Set(await names('layers'));
    const whole = new Set(
      layers.filter(({ diffId }) => there.has(hexOf(diffId))).map(({ digest }) => digest),
    );
    const partial = new Map<string, number>();
    for (const name of await names('ingest')) {
      const digest = ingestedDigest(name) ?? expect.fail(`${name} is no file of a blob`);
      partial.set(digest, (await stat(join(instance.root, 'ingest', name))).size);
    }
    return { whole, partial };
  }

  /** Nothing is asked for that was there. Returns how many layers went on. */
  function judge(course: Course, before: Awaited<ReturnType<typeof left>>, life: number): number {
    for (const [digest, from] of course.asked) {
      const at = `life ${life}, ${digest} of ${JSON.stringify(course.asked)}`;
      expect(before.whole, at).not.toContain(digest);
      expect(from, at).toBe(before.partial.get(digest) ?? 0);
      expect(from, at).toBeLessThan(layers.find((layer) => layer.digest === digest)?.bytes.byteLength ?? 0);
    }
    return course.asked.filter(([, from]) => from > 0).length;
  }

  async function pull(): Promise<string> {
    const client = criClient(instance.socket);
    try {
      return (await client.image.pullImage({ image: { image: `${registry.host}/big:v` } })).imageRef;
    } finally {
      client.close();
    }
  }

  test('F07 I15 a pull over twenty kills asks each time for the missing bytes only, verifies all of them and leaves nothing', async () => {
    const random = randomStream(SEED, 'kill');
    const course = new Course(registry, layers);
    const points = [
      ...Array.from({ length: DEATHS.byBytes }, () => random.int(MOST_BYTES)),
      ...Array.from({ length: DEATHS.byEnd }, () => 'end' as const),
    ];
    let resumed = 0;
    for (const [life, point] of points.entries()) {
      const before = await left();
      const death = course.live(point);
      await instance.start();
      const pulled = pull().then(
        () => 'pulled',
        () => 'died',
      );
      await Promise.race([death, pulled]);
      await instance.kill();
      expect(await pulled, `life ${life}`).toBe('died');
      resumed += judge(course, before, life);
    }
    const before = await left();
    void course.live('never');
    await instance.start();
    const id = await pull();
    resumed += judge(course, before, points.length);
    expect(resumed).toBeGreaterThan(0);
    const total = layers.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
    process.stdout.write(
      `killed pull: ${points.length} deaths, ${resumed} downloads resumed, ` +
        `${(course.sent / MIB).toFixed(1)} MiB sent of ${(total / MIB).toFixed(1)} MiB\n`,
    );

    expect(await names('ingest')).toEqual([]);
    expect((await names('layers')).toSorted()).toEqual(layers.map(({ diffId }) => hexOf(diffId)).toSorted());
    for (const [at, { diffId }] of layers.entries()) {
      const file = await readFile(join(instance.root, 'layers', hexOf(diffId), 'diff', `file${at}`));
      expect(createHash('sha256').update(file).digest('hex')).toBe(contents.get(diffId));
    }
    const checked = await run([join(checkout, 'bin/troupe'), 'check', '--state', instance.state]);
    expect([checked.code, checked.stderr, checked.stdout]).toEqual([
      0,
      '',
      expect.stringMatching(/^clean: .* 1 image /u),
    ]);
    const client = criClient(instance.socket);
    await client.image.removeImage({ image: { image: id } });
    client.close();
    expect(await names('layers')).toEqual([]);
    // what one death can cost: for each layer under way the batch that was not written yet, and what stood in sockets
    expect(course.sent).toBeLessThan(total + points.length * 3 * (ingestLimits.batchBytes + 4 * MIB));
  });
});
