/** Manifests, indexes and image configs: one document has one meaning or none (S15, S17, S47, S48, S61). */
import { parseImageConfig } from '../../../src/oci/images/model/image-config.ts';
import { parseManifest } from '../../../src/oci/images/model/manifest.ts';
import { schema1Config, signedPayload } from '../../../src/oci/images/model/schema1.ts';
import { imageOf, indexOf, layerOfTar } from '../../support/registry/images.ts';
import { mutateBytes } from '../mutate.ts';
import type { Stage, Target, Verdict } from '../target.ts';
import { expectRefusal, violated } from '../target.ts';
import { mutateJson } from './json-mutate.ts';

/** The first byte of an input picks what the registry states; the rest is the document. */
const STATED = [
  '',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/json; charset=utf-8',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'text/html',
];
/** A byte as this one means an image config. */
const CONFIG = STATED.length;

const DIGEST = /^sha256:[0-9a-f]{64}$/u;
const PROTOTYPES = [Object.prototype, Array.prototype, Map.prototype, String.prototype, Function.prototype];
const known = PROTOTYPES.map((one) => Reflect.ownKeys(one).length);

export const manifestTarget: Target = {
  name: 'manifest',
  rssMiB: 400,
  needsRoot: false,
  seeds,
  make: (random, corpus) => {
    const seed = random.pick(corpus);
    const first = Buffer.from([random.chance(0.7) ? (seed[0] ?? 0) : random.int(STATED.length + 1)]);
    const changed = random.chance(0.75) ? mutateJson(seed.subarray(1), random) : seed.subarray(1);
    return Buffer.concat([
      first,
      random.chance(0.35) ? mutateBytes(changed, random, 5 * 1024 * 1024) : changed,
    ]);
  },
  open: async () => ({ run, close: async () => undefined }) satisfies Stage,
};

function seeds(): { name: string; bytes: Buffer }[] {
  const layers = [layerOfTar(new Uint8Array(1024), 'gzip'), layerOfTar(new Uint8Array(2048), 'zstd')];
  const oci = imageOf(layers, {
    manifest: { annotations: { a: 'b' } },
    config: {
      User: '1:2',
      Env: ['A=b'],
      Volumes: { '/v': {} },
      Labels: { l: 'm' },
      StopSignal: 'SIGTERM',
      WorkingDir: '/w',
      ExposedPorts: { '80/tcp': {} },
    },
  });
  const docker = imageOf([layerOfTar(new Uint8Array(1024), 'gzip', 'docker')], { flavour: 'docker' });
  const platform = { os: 'linux', architecture: 'arm', variant: 'v7', 'os.features': ['x'] };
  const index = indexOf([
    { bytes: oci.manifest, mediaType: oci.mediaType, platform },
    { bytes: docker.manifest, mediaType: docker.mediaType },
  ]);
  const schema1 = {
    schemaVersion: 1,
    name: 'a/b',
    tag: 't',
    architecture: 'amd64',
    fsLayers: [{ blobSum: layers[0]?.digest }],
    history: [
      {
        v1Compatibility: JSON.stringify({
          id: 'a'.repeat(64),
          architecture: 'amd64',
          os: 'linux',
          config: { Cmd: ['x'] },
        }),
      },
    ],
  };
  const titled = {
    mediaType: 'a/b',
    digest: layers[0]?.digest,
    size: 3,
    annotations: { 'org.opencontainers.image.title': 'dir/a.bin' },
  };
  const artifact = {
    schemaVersion: 2,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: layers[0]?.digest, size: 2 },
    layers: [titled],
  };
  const of = (first: number, document: Uint8Array): Buffer => Buffer.concat([Buffer.from([first]), document]);
  return [
    { name: 'oci', bytes: of(1, oci.manifest) },
    { name: 'oci-silent', bytes: of(0, oci.manifest) },
    { name: 'docker', bytes: of(2, docker.manifest) },
    { name: 'index', bytes: of(3, index.bytes) },
    { name: 'schema1', bytes: of(6, Buffer.from(JSON.stringify(schema1))) },
    { name: 'artifact', bytes: of(0, Buffer.from(JSON.stringify(artifact))) },
    { name: 'config', bytes: of(CONFIG, oci.config) },
  ];
}

async function run(input: Buffer): Promise<Verdict> {
  const kind = (input[0] ?? 0) % (STATED.length + 1);
  const document = input.subarray(1);
  try {
    if (kind === CONFIG) checkConfig(document);
    else checkManifest(document, STATED[kind] ?? '');
    return 'accepted';
  } catch (error) {
    return expectRefusal(error, ['outside', 'unsupported']);
  } finally {
    for (const [at, one] of PROTOTYPES.entries())
      if (Reflect.ownKeys(one).length !== known[at]) violated('a prototype has changed');
  }
}

/** As the usual parser of JSON reads it; ours must take nothing that this one does not. */
function usual(document: Buffer): Record<string, unknown> {
  try {
    return JSON.parse(document.toString('utf8')) as Record<string, unknown>;
  } catch (error) {
    return violated(`what is no JSON is taken: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** null is what absent lists are to the builders, which are written in Go, and to the peers' readers. */
function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function checkManifest(document: Buffer, stated: string): void {
  const content = Buffer.from(signedPayload(document, 'fuzz'));
  const parsed = parseManifest(content, stated, 'fuzz');
  const plain = usual(content);
  if (!Object.isFrozen(parsed)) violated('the result can be changed');
  if (parsed.kind === 'manifest') {
    const layers = plain['layers'];
    if (!Array.isArray(layers) || layers.length !== parsed.layers.length)
      violated('layers are lost or made up');
    if (isThere(plain['manifests'])) violated('an index is taken as a manifest');
    for (const { digest, size } of [parsed.config, ...parsed.layers]) {
      if (!DIGEST.test(digest) || !Number.isSafeInteger(size) || size < 0)
        violated(`a descriptor of ${digest} with ${size} bytes`);
    }
    if (parsed.layers.some((layer, at) => (layers[at] as { digest?: unknown }).digest !== layer.digest))
      violated('a layer has another digest than the document says');
  } else if (parsed.kind === 'index') {
    if (isThere(plain['layers']) || isThere(plain['config'])) violated('a manifest is taken as an index');
    if (parsed.entries.some((entry) => !DIGEST.test(entry.digest))) violated('an entry without a digest');
  } else if (parsed.kind === 'schema1') {
    if (isThere(plain['layers']) || isThere(plain['config']))
      violated('a manifest of schema 2 is taken as one of schema 1');
    // its own config is refused, or it is of these layers
    const made = parseImageConfig(schema1Config(parsed, parsed.blobs, 'fuzz'), 'fuzz');
    if (made.diffIds.join() !== parsed.blobs.join()) violated('layers are lost or made up');
  } else {
    const paths = parsed.files.map(({ path }) => path);
    if (new Set(paths).size < paths.length) violated('two files of one path');
    const leaves = (path: string): boolean =>
      path.startsWith('/') ||
      path.split('/').some((part) => ['', '.', '..'].includes(part) || part.startsWith('.wh.'));
    if (paths.some(leaves)) violated('a file outside of the mount');
  }
}

function checkConfig(document: Buffer): void {
  const parsed = parseImageConfig(document, 'fuzz');
  const plain = usual(document);
  const diffIds = (plain['rootfs'] as { diff_ids?: unknown } | undefined)?.diff_ids;
  if (!Array.isArray(diffIds) || diffIds.join() !== parsed.diffIds.join())
    violated('diff-ids are lost or made up');
  if (parsed.diffIds.some((digest) => !DIGEST.test(digest))) violated('an invalid diff-id');
  if (parsed.env.some((entry) => entry.indexOf('=') < 1 || entry.includes('\0')))
    violated('an Env entry without a name');
  if (parsed.volumes.some((path) => !path.startsWith('/') || path.split('/').includes('..')))
    violated('a volume outside of the root');
  if (parsed.workingDir !== '' && !parsed.workingDir.startsWith('/'))
    violated('a working directory that is relative');
}
