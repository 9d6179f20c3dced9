/** The policy driver over a registry, with files of a test's own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { RegistryAuth, ResolvedImage } from '../../../src/ports/images.ts';
import type { PolicyPort } from '../../../src/ports/policy.ts';
import type { ImageRecord } from '../../../src/ports/specs.ts';
import { Conditions } from '../../../src/base/conditions.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { RegistryClient } from '../../../src/oci/images/registry/client.ts';
import { insecureHosts } from '../../../src/oci/images/registry/endpoints.ts';
import { parseRegistriesConf } from '../../../src/oci/images/registry/registries-conf.ts';
import { Transport } from '../../../src/oci/images/registry/transport.ts';
import { formatReference, repositoryOf } from '../../../src/oci/images/model/reference.ts';
import { createPolicyDriver } from '../../../src/oci/images/signature/driver.ts';
import { Gpgv } from '../../../src/oci/images/signature/gpgv.ts';
import { KeptSignatures } from '../../../src/oci/images/signature/kept-signatures.ts';
import { PolicyFiles } from '../../../src/oci/images/signature/policy-files.ts';
import { refusalOf } from '../../support/fault-of.ts';
import { amd64 } from '../../support/registry/rig.ts';
import { TestClock, testRandom, testTimeouts } from '../../support/registry/test-clock.ts';
import { fxOf } from '../../support/fx.ts';

export const fx = fxOf();

export class PolicyRig {
  readonly directory = mkdtempSync(join(tmpdir(), 'troupe-policy-'));
  readonly client: RegistryClient;
  readonly transport: Transport;
  readonly #clock = realClock();
  readonly #conf: string;

  /** `insecure`: hosts that speak plain http. `more`: beginning of registries.conf. */
  constructor(insecure: readonly string[], more = '') {
    // its waits between attempts pass at once
    const net = new TestClock();
    this.#conf =
      more + insecure.map((host) => `[[registry]]\nlocation = "${host}"\ninsecure = true\n`).join('');
    this.client = new RegistryClient({
      clock: net,
      random: testRandom,
      registries: () => parseRegistriesConf(this.#conf, 'test'),
      timeouts: testTimeouts,
    });
    this.transport = new Transport({ clock: net, timeouts: testTimeouts });
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  write(name: string, content: string | Uint8Array | object): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(
      path,
      typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content),
    );
    return path;
  }

  /** The node's policy, for one scope of docker; everything else is rejected. */
  policy(scope: string, ...requirements: readonly object[]): void {
    this.write('policy.json', {
      default: [{ type: 'reject' }],
      transports: { docker: { [scope]: requirements } },
    });
  }

  driver(gpgv = '/usr/bin/gpgv'): PolicyPort {
    const clock = this.#clock;
    return createPolicyDriver({
      files: new PolicyFiles(() => ({ file: this.path('policy.json'), directory: this.path('policies') })),
      kept: new KeptSignatures({
        directory: this.path('kept'),
        conditions: new Conditions(silentLog),
        discard: () => Promise.reject(new Error('no trash')),
      }),
      gpgv: new Gpgv({
        directory: this.path('rings'),
        random: realRandom(),
        clock,
        findProgram: async () => gpgv,
        runTool,
      }),
      client: this.client,
      transport: this.transport,
      isInsecure: (host) => insecureHosts(parseRegistriesConf(this.#conf, 'test')).has(host),
      registriesD: () => this.path('registries.d'),
      platform: amd64,
      clock,
    });
  }

  /** As a pull has it before its layers. */
  async resolve(reference: string): Promise<ResolvedImage> {
    const {
      reference: found,
      manifestDigest,
      platformManifestDigest,
      imageId,
      manifest,
      config,
    } = await this.client.resolve({ reference, auth: undefined, platform: amd64 }, fx.signal);
    return {
      id: imageId,
      repoTag: found.digest === undefined ? formatReference(found) : '',
      repoDigest: `${repositoryOf(found)}@${manifestDigest}`,
      manifestDigest: platformManifestDigest,
      layers: manifest.layers.map((layer, at) => ({
        digest: layer.digest,
        diffId: config.diffIds[at] ?? layer.digest,
        mediaType: layer.mediaType,
        sizeBytes: layer.size,
      })),
      config,
      configBytes: 0,
    };
  }

  /** A pull up to the policy's word. */
  async admit(reference: string, namespace = '', auth?: RegistryAuth): Promise<string> {
    const image = await this.resolve(reference);
    const pull = auth === undefined ? undefined : { brought: auth, deposited: [] };
    return refusalOf(this.driver().admit({ namespace, auth: pull, image }, fx));
  }

  /** The decision for a stored image with these names. */
  async admitAgain(
    image: ResolvedImage,
    {
      reference = '',
      namespace = '',
      repoDigests = [image.repoDigest],
    }: {
      readonly reference?: string;
      readonly namespace?: string;
      readonly repoDigests?: readonly string[];
    } = {},
  ): Promise<string> {
    const record: ImageRecord = {
      ...image,
      repoTags: image.repoTag === '' ? [] : [image.repoTag],
      repoDigests,
      pulledAtNs: 0n,
      sizeBytes: 0,
    };
    return refusalOf(this.driver().admitAgain({ namespace, reference, image: record }, fx));
  }

  close(): void {
    this.client.close();
    this.transport.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
