/**
 * Damaged documents, the same ones each time: every one is read or refused by a Fault; nothing else is thrown (S61).
 */
import { describe, expect, it } from 'vitest';
import { fail, FaultError } from '../../../../../src/base/fault.ts';
import { parseTokenReply } from '../../../../../src/oci/images/registry/auth.ts';
import { parseChallenges } from '../../../../../src/oci/images/registry/challenge.ts';
import { parseRegistriesConf } from '../../../../../src/oci/images/registry/registries-conf.ts';
import { parseImageConfig } from '../../../../../src/oci/images/model/image-config.ts';
import { parseManifest } from '../../../../../src/oci/images/model/manifest.ts';
import { schema1Config, signedPayload } from '../../../../../src/oci/images/model/schema1.ts';
import { formatReference, parseReference } from '../../../../../src/oci/images/model/reference.ts';

const ROUNDS = 3000;
const DIGEST = `sha256:${'a'.repeat(64)}`;

const SEEDS = {
  manifest: JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: DIGEST, size: 2 },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: DIGEST, size: 3 }],
    annotations: { a: 'b' },
  }),
  artifact: JSON.stringify({
    schemaVersion: 2,
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: DIGEST, size: 2 },
    layers: [
      {
        mediaType: 'a/b',
        digest: DIGEST,
        size: 3,
        annotations: { 'org.opencontainers.image.title': 'dir/a.bin' },
      },
    ],
  }),
  schema1: signed(
    JSON.stringify({
      schemaVersion: 1,
      architecture: 'amd64',
      fsLayers: [{ blobSum: DIGEST }, { blobSum: DIGEST }],
      history: [
        {
          v1Compatibility: JSON.stringify({
            id: 'b'.repeat(64),
            parent: 'a'.repeat(64),
            os: 'linux',
            config: { Cmd: ['x'] },
          }),
        },
        {
          v1Compatibility: JSON.stringify({
            id: 'a'.repeat(64),
            created: '2015-01-01T00:00:00Z',
            container_config: { Cmd: ['y'] },
          }),
        },
      ],
    }),
  ),
  config: JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    config: {
      User: '1:2',
      Env: ['A=b'],
      Cmd: ['c'],
      Volumes: { '/v': {} },
      Labels: { l: 'm' },
      StopSignal: 'SIGTERM',
    },
    rootfs: { type: 'layers', diff_ids: [DIGEST] },
  }),
  reference: `r.example:5000/team/app_x:v1@${DIGEST}`,
  challenge: 'Bearer realm="https://a.example/t",service="s",scope="repository:a:pull", Basic realm="x"',
  token: '{"token":"abc","expires_in":60}',
  conf: '[[registry]]\nprefix = "*.a.example"\nlocation = "b.example/x"\nmirror = [{ location = "m.example:5000", insecure = true }]\n',
};

/** With a signature in the form that Docker's tools give it. */
function signed(payload: string): string {
  const claim = JSON.stringify({
    formatLength: payload.length - 1,
    formatTail: Buffer.from('}').toString('base64url'),
  });
  const signature = {
    header: { alg: 'ES256' },
    signature: 'AAAA',
    protected: Buffer.from(claim).toString('base64url'),
  };
  return `${payload.slice(0, -1)},"signatures":[${JSON.stringify(signature)}]}`;
}

/**
 * As a pull does: what is read of a signed manifest is its payload, and its config must be one that we read ourselves.
 */
function readSchema1(bytes: Uint8Array): void {
  const manifest = parseManifest(signedPayload(bytes, 'm'), '', 'm');
  if (manifest.kind === 'schema1') parseImageConfig(schema1Config(manifest, manifest.blobs, 'm'), 'm');
}

/** Park and Miller's generator: enough to damage texts, and the same everywhere. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

function damage(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const out = [...bytes];
  for (let count = 1 + random(4); count > 0 && out.length > 0; count -= 1) {
    const at = random(out.length);
    const how = random(4);
    if (how === 0) out[at] = random(256);
    else if (how === 1) out.splice(at, 1 + random(8));
    else if (how === 2) out.splice(at, 0, ...out.slice(random(out.length), random(out.length)));
    else out[at] = (out[at] ?? 0) ^ (1 << random(8));
  }
  return new Uint8Array(out);
}

/** How many were read and how many refused. */
function fuzz(seed: string, parse: (bytes: Uint8Array) => unknown): { read: number; refused: number } {
  const random = generator(20_260_101);
  const count = { read: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    try {
      parse(damage(Buffer.from(seed), random));
      count.read += 1;
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      count.refused += 1;
    }
  }
  return count;
}

/** Throws nothing of its own; what it did not understand counts as refused. */
function understood(conf: string): void {
  const [problem] = parseRegistriesConf(conf, 'r.conf').problems.values();
  if (problem !== undefined) fail('invalidRequest', problem);
}

describe('S61 S15 damaged input', () => {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

  it.each<[string, string, (bytes: Uint8Array) => unknown]>([
    ['manifests', SEEDS.manifest, (bytes) => parseManifest(bytes, '', 'm')],
    ['artifacts', SEEDS.artifact, (bytes) => parseManifest(bytes, '', 'm')],
    ['manifests of schema 1, signed', SEEDS.schema1, readSchema1],
    ['configs', SEEDS.config, (bytes) => parseImageConfig(bytes, 'c')],
    ['registries.conf', SEEDS.conf, (bytes) => understood(text(bytes))],
    ['references', SEEDS.reference, (bytes) => parseReference(text(bytes))],
  ])('%s', (_name, seed, parse) => {
    const { read, refused } = fuzz(seed, parse);
    expect(read + refused).toBe(ROUNDS);
    expect(refused).toBeGreaterThan(ROUNDS / 10);
  });

  it('challenges and token replies never throw', () => {
    expect(fuzz(SEEDS.challenge, (bytes) => parseChallenges([text(bytes)])).read).toBe(ROUNDS);
    expect(fuzz(SEEDS.token, (bytes) => parseTokenReply(bytes)).read).toBe(ROUNDS);
  });

  it('a parsed reference has one normal form', () => {
    fuzz(SEEDS.reference, (bytes) => {
      const normal = formatReference(parseReference(text(bytes)));
      expect(formatReference(parseReference(normal))).toBe(normal);
    });
  });
});
