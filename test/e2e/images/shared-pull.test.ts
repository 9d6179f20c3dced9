// Many callers and a registry with troubles: what they share comes once, who leaves takes nobody along, the last one
// ends it; what stalls is asked for elsewhere; a registries.conf that is written anew counts.
import type * as http from 'node:http';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { distributionLimits, ingestLimits } from '../../../src/oci/images/bounds.ts';
import { type CriClient, criClient } from '../../../scripts/support/cri-client.ts';
import { type Instance, makeInstance } from '../../support/instance.ts';
import { FakeRegistry, stall } from '../../support/registry/fake-registry.ts';
import { injecting, injects } from '../../support/faults/injects.ts';
import { imageOf, layerOf, type TestLayer } from '../../support/registry/images.ts';
import { insecure } from '../../support/registry/rig.ts';
import { describePods } from '../support/crictl.ts';
import { EVENT_MS } from '../../support/patience.ts';

const manyPulls = injects(
  'F65',
  'a hundred pulls of one image, twenty that share a layer, callers that leave',
);
const stalledMirror = injects('F66', 'a mirror that stalls within a layer, on a daemon');

const MIB = 1024 * 1024;
const CALLERS = 100;
const IMAGES = 20;
/** A test waits for it to pass; it is longer than a busy machine keeps the registry of this process from writing. */
const PROGRESS_TIMEOUT_MS = EVENT_MS / 24;
/** Nothing listens there. */
const NOWHERE = '127.0.0.1:1';

describePods('pulls that share', () => {
  let registry: FakeRegistry;
  let mirror: FakeRegistry;
  let instance: Instance;
  let client: CriClient;
  let base: TestLayer;
  let big: TestLayer;

  const moved = (from: string, to: string, through?: string): string =>
    `[[registry]]\nprefix = "${from}"\nlocation = "${to}"\ninsecure = true\n${through === undefined ? '' : `[[registry.mirror]]\nlocation = "${through}"\ninsecure = true\n`}`;
  const pull = async (image: string, signal?: AbortSignal): Promise<string> =>
    (await client.image.pullImage({ image: { image } }, signal === undefined ? {} : { signal })).imageRef;
  const asked = (at: FakeRegistry, { digest }: TestLayer): readonly (string | undefined)[] =>
    at.seen.filter(({ path }) => path.endsWith(`/blobs/${digest}`)).map(({ range }) => range);

  beforeAll(async () => {
    [registry, mirror] = [await FakeRegistry.start(), await FakeRegistry.start()];
    base = await layerOf([{ name: 'base', content: Buffer.alloc(MIB, 'base') }], 'none');
    big = await layerOf(
      [{ name: 'big', content: Buffer.alloc(ingestLimits.leastBytes + MIB, 'big') }],
      'none',
    );
    for (let at = 0; at < IMAGES; at += 1) {
      registry.push(
        `shared/${at}`,
        'v',
        imageOf([base, await layerOf([{ name: `own${at}`, content: String(at) }], 'gzip')]),
      );
    }
    for (const one of [registry, mirror]) one.push('big', 'v', imageOf([base, big]));
    instance = await makeInstance({
      name: 'share',
      network: 'host-only',
      registriesConf: insecure(registry.host),
      imageSettings: () => ['signature_policy = ""'],
    });
    await instance.start();
    client = criClient(instance.socket);
  });
  afterAll(async () => {
    client?.close();
    await instance?.remove();
    for (const one of [registry, mirror]) await one?.close();
  });
  beforeEach(async () => {
    for (const { id } of (await client.image.listImages({})).images)
      await client.image.removeImage({ image: { image: id } });
    for (const one of [registry, mirror]) one.seen.length = 0;
  });

  test('F65 a hundred calls for one image are one pull', async () => {
    const ids = await Promise.all(Array.from({ length: CALLERS }, () => pull(`${registry.host}/big:v`)));
    manyPulls.happened(ids.length);
    expect(new Set(ids).size).toBe(1);
    const paths = registry.seen.map(({ path }) => path);
    expect(paths.toSorted()).toEqual([...new Set(paths)].toSorted());
    expect([asked(registry, base), asked(registry, big)]).toEqual([[undefined], [undefined]]);
  });

  test('F65 images that share a layer fetch it once', async () => {
    const ids = await Promise.all(
      Array.from({ length: IMAGES }, (_, at) => pull(`${registry.host}/shared/${at}:v`)),
    );
    expect(new Set(ids).size).toBe(IMAGES);
    expect(asked(registry, base)).toEqual([undefined]);
  });

  test('F65 a client that leaves does not end the shared download, the last one does; the next pull fetches only the rest', async () => {
    const half = ingestLimits.batchBytes * 4;
    const served = Promise.withResolvers<http.ServerResponse>();
    registry.on(
      new RegExp(`/blobs/${big.digest}$`, 'u'),
      (_request, response) => {
        response.writeHead(200, { 'content-length': big.bytes.byteLength });
        response.write(big.bytes.subarray(0, half), () => served.resolve(response));
        let at = half;
        // a little now and then, so that it is no stall
        const timer = setInterval(
          () => response.write(big.bytes.subarray(at, (at += 2 * distributionLimits.progressBytes))),
          100,
        );
        response.once('close', () => clearInterval(timer));
      },
      1,
    );
    const callers = [new AbortController(), new AbortController()] as const;
    const [one, two] = callers.map(({ signal }) =>
      pull(`${registry.host}/big:v`, signal).then(
        () => 'pulled',
        () => 'left',
      ),
    );
    const response = await served.promise;
    const closed = new Promise<string>((resolve) => response.once('close', () => resolve('closed')));
    callers[0].abort();
    expect([await one, response.destroyed]).toEqual(['left', false]);
    callers[1].abort();
    expect([await two, await closed]).toEqual(['left', 'closed']);
    manyPulls.happened(callers.length);
    expect((await client.image.listImages({})).images).toEqual([]);
    await pull(`${registry.host}/big:v`);
    expect(asked(registry, big)).toEqual([undefined, expect.stringMatching(/^bytes=[1-9][0-9]*-$/u)]);
  });

  test('F60 F66 a stalling mirror is abandoned for the registry, which is asked for the rest', async () => {
    mirror.on(new RegExp(`/blobs/${big.digest}$`, 'u'), (...exchange) =>
      injecting(
        stalledMirror,
        stall(big.bytes, 3 * MIB, () => undefined),
      )(...exchange),
    );
    // of its own: other tests are not to run into this timeout where the registry's process stands still
    const impatient = await makeInstance({
      name: 'stall',
      network: 'host-only',
      registriesConf: insecure(registry.host) + moved('mirrored.example', registry.host, mirror.host),
      imageSettings: () => ['signature_policy = ""', `progress_timeout_ms = ${PROGRESS_TIMEOUT_MS}`],
    });
    onTestFinished(() => impatient.remove());
    await impatient.start();
    const other = criClient(impatient.socket);
    onTestFinished(() => other.close());
    await other.image.pullImage({ image: { image: 'mirrored.example/big:v' } });
    expect(asked(mirror, big).length).toBe(distributionLimits.mirrorAttempts);
    expect(asked(registry, big)).toEqual([expect.stringMatching(/^bytes=[1-9][0-9]*-$/u)]);
    expect(asked(registry, base)).toEqual([]);
  });

  test('a rewritten registries.conf is in force without a signal', async () => {
    await expect(pull(`${NOWHERE}/big:v`)).rejects.toThrow('RegistryUnavailable');
    await writeFile(
      join(instance.directory, 'registries.conf'),
      insecure(registry.host) + moved(NOWHERE, registry.host),
    );
    const names = async (): Promise<readonly string[]> => {
      await pull(`${NOWHERE}/big:v`).catch(() => '');
      return (await client.image.listImages({})).images.flatMap(({ repoTags }) => repoTags);
    };
    await expect.poll(names, { interval: 200 }).toEqual([`${NOWHERE}/big:v`]);
  });
});
