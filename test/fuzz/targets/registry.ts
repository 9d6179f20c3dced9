/**
 * A registry that does everything wrong: pulls end, with bytes that have the right digests or with a Fault; credentials
 * reach nobody else and stand in no message (S16, S48, S49, S60, S79, F60–F64).
 */
import { createHash } from 'node:crypto';
import type { RegistryAuth } from '../../../src/ports/images.ts';
import { FaultError } from '../../../src/base/fault.ts';
import { RegistryClient } from '../../../src/oci/images/registry/client.ts';
import { parseRegistriesConf } from '../../../src/oci/images/registry/registries-conf.ts';
import { digestOf } from '../../support/registry/digest.ts';
import type { TestImage } from '../../support/registry/images.ts';
import { imageOf, indexOf, layerOfTar } from '../../support/registry/images.ts';
import { amd64, insecure, noAuth } from '../../support/registry/rig.ts';
import { TestClock, testRandom, testTimeouts } from '../../support/registry/test-clock.ts';
import { mutateBytes } from '../mutate.ts';
import { EVENT_MS } from '../../support/patience.ts';
import type { Stage, Target, Verdict } from '../target.ts';
import { expectRefusal, violated } from '../target.ts';
import type { Content, Contents } from './evil-registry.ts';
import { EvilRegistry } from './evil-registry.ts';
import { mutateJson } from './json-mutate.ts';
import type { Plan } from './registry-plan.ts';
import { randomPlan, readPlan } from './registry-plan.ts';

const PASSWORD = 'fuzz-password-a7f3';
const TOKEN = 'fuzz-token-91bc';
const USER = 'fuzz-user';
const BASIC = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
/** Requests of one pull; retries and redirects have bounds far below. */
const MOST_REQUESTS = 300;
/** ms of real time in which nothing happened: then time passes for the client. */
const IDLE_MS = 5;
/** ms of real time that a case may take, on a machine that does much else. */
const CASE_MS = EVENT_MS;

export const registryTarget: Target = {
  name: 'registry',
  // the registry is in the same process; what stays is pages of the allocator: the heap does not grow over 900 cases
  rssMiB: 400,
  needsRoot: false,
  seeds: () =>
    (
      [
        { name: 'good', plan: { image: 'index', auth: 'bearer', byDigest: false, rules: [] } },
        {
          name: 'redirected',
          plan: {
            image: 'oci',
            auth: 'basic',
            byDigest: true,
            rules: [
              {
                of: 'layer',
                times: 1000,
                fault: { status: 307, headers: [['location', '$OTHER/v2/fuzz/image/blobs/x']] },
              },
            ],
          },
        },
        {
          name: 'resumed',
          plan: {
            image: 'docker',
            auth: 'none',
            byDigest: false,
            rules: [{ of: 'layer', times: 3, fault: { after: 1000, ending: 'reset' } }],
          },
        },
        {
          name: 'overloaded',
          plan: {
            image: 'oci',
            auth: 'none',
            byDigest: false,
            rules: [{ of: 'any', times: 3, fault: { status: 429, headers: [['retry-after', '1']] } }],
          },
        },
      ] satisfies { name: string; plan: Plan }[]
    ).map(({ name, plan }) => ({ name, bytes: Buffer.from(JSON.stringify(plan)) })),
  make: (random, corpus) => {
    const draw = random.int(10);
    if (draw < 7) return Buffer.from(JSON.stringify(randomPlan(random)));
    return draw < 9 ? mutateJson(random.pick(corpus), random) : mutateBytes(random.pick(corpus), random);
  },
  open: async () =>
    new RegistryStage(await EvilRegistry.start('127.0.0.1'), await EvilRegistry.start('127.0.0.2')),
};

class RegistryStage implements Stage {
  readonly #registry: EvilRegistry;
  readonly #other: EvilRegistry;
  readonly #images = imagesOf();

  constructor(registry: EvilRegistry, other: EvilRegistry) {
    this.#registry = registry;
    this.#other = other;
    registry.other = other.host;
    other.other = registry.host;
    registry.token = TOKEN;
    other.token = 'token-of-another';
  }

  async close(): Promise<void> {
    await Promise.all([this.#registry.close(), this.#other.close()]);
  }

  async run(input: Buffer): Promise<Verdict> {
    const plan = readPlan(input);
    if (plan === undefined) return 'refused';
    const { contents, digest } = this.#images[plan.image];
    this.#registry.reset(plan, contents);
    this.#other.reset({ ...plan, auth: 'none', rules: [] }, contents);
    this.#registry.wanted =
      plan.auth === 'none' ? undefined : plan.auth === 'basic' ? BASIC : `Bearer ${TOKEN}`;
    const clock = new TestClock();
    const conf = parseRegistriesConf(insecure(this.#registry.host, this.#other.host), 'fuzz.conf');
    const client = new RegistryClient({
      clock,
      random: testRandom,
      registries: () => conf,
      timeouts: testTimeouts,
    });
    const ticking = setInterval(() => this.#tick(clock), IDLE_MS);
    try {
      return await this.#bounded(
        this.#pull(client, `${this.#registry.host}/fuzz/image${plan.byDigest ? `@${digest}` : ':t'}`),
      );
    } finally {
      clearInterval(ticking);
      client.close();
      this.#registry.hangUp();
      this.#other.hangUp();
      this.#checkAsked();
    }
  }

  #seen = 0;

  /** Nothing has been written or read since the last time: the client waits for time to pass. */
  #tick(clock: TestClock): void {
    const seen = this.#registry.activity + this.#other.activity;
    if (seen === this.#seen) clock.pass(150_000);
    this.#seen = seen;
  }

  async #bounded(pull: Promise<Verdict>): Promise<Verdict> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`the pull goes on after ${CASE_MS} ms`)), CASE_MS);
    });
    try {
      return await Promise.race([pull, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #pull(client: RegistryClient, reference: string): Promise<Verdict> {
    const auth: RegistryAuth = { ...noAuth, username: USER, password: PASSWORD };
    const { signal } = new AbortController();
    try {
      const resolved = await client.resolve(
        { reference, auth: { brought: auth, deposited: [] }, platform: amd64 },
        signal,
      );
      if (
        digestOf(resolved.configBytes) !== resolved.manifest.config.digest ||
        String(resolved.imageId) !== String(resolved.manifest.config.digest)
      )
        violated('the config is not what its digest says');
      for (const descriptor of resolved.manifest.layers) {
        let hash = createHash('sha256');
        let size = 0;
        const write = (bytes: Uint8Array): void => {
          hash.update(bytes);
          size += bytes.length;
        };
        const restart = (): void => {
          hash = createHash('sha256');
          size = 0;
        };
        await client.fetchBlob(resolved.handle, { descriptor, sink: { write, restart }, signal });
        if (`sha256:${hash.digest('hex')}` !== descriptor.digest || size !== descriptor.size)
          violated('a blob is not what its digest says');
      }
      return 'accepted';
    } catch (error) {
      const words = error instanceof FaultError ? JSON.stringify(error.fault) : '';
      for (const secret of [PASSWORD, TOKEN, BASIC.slice(6)])
        if (words.includes(secret)) violated(`a secret stands in a message: ${words}`);
      return expectRefusal(error, ['outside', 'denied', 'notFound', 'unsupported', 'timedOut', 'exhausted']);
    }
  }

  #checkAsked(): void {
    const strayed = this.#other.asked.find(({ authorization }) => authorization !== undefined);
    if (strayed !== undefined)
      violated(`credentials went to another host: ${strayed.authorization} for ${strayed.path}`);
    const requests = this.#registry.asked.length + this.#other.asked.length;
    if (requests > MOST_REQUESTS) violated(`${requests} requests for one pull`);
  }
}

interface Served {
  readonly contents: Contents;
  /** Of what the tag means. */
  readonly digest: string;
}

function imagesOf(): Record<Plan['image'], Served> {
  // no two bytes alike for long: it stays as large when compressed
  const noise = Buffer.from(
    Array.from({ length: 120_000 }, (_, at) => Math.imul(at ^ (at >> 5), 2_654_435_761) >>> 24),
  );
  const oci = imageOf([layerOfTar(Buffer.alloc(2048), 'gzip'), layerOfTar(noise, 'none')]);
  const docker = imageOf([layerOfTar(noise, 'gzip', 'docker')], { flavour: 'docker' });
  const index = indexOf([
    { bytes: oci.manifest, mediaType: oci.mediaType, platform: { os: 'linux', architecture: 'amd64' } },
  ]);
  const top: Content = { ...index, kind: 'manifest' };
  return {
    oci: served(oci),
    docker: served(docker),
    index: {
      contents: new Map([
        ...served(oci).contents,
        ['manifests/t', top],
        [`manifests/${digestOf(index.bytes)}`, top],
      ]),
      digest: digestOf(index.bytes),
    },
  };
}

function served(image: TestImage): Served {
  const manifest: Content = { bytes: image.manifest, mediaType: image.mediaType, kind: 'manifest' };
  const blob = (bytes: Uint8Array, kind: 'config' | 'layer'): [string, Content] => [
    `blobs/${digestOf(bytes)}`,
    { bytes, mediaType: 'application/octet-stream', kind },
  ];
  const digest = digestOf(image.manifest);
  return {
    contents: new Map([
      ['manifests/t', manifest],
      [`manifests/${digest}`, manifest],
      blob(image.config, 'config'),
      ...image.layers.map((layer) => blob(layer.bytes, 'layer')),
    ]),
    digest,
  };
}
