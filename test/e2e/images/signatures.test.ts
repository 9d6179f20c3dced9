// Signature policies as a kubelet meets them: at PullImage by the pod's namespace, and again at CreateContainer.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { busyboxEntries } from '../../../scripts/support/busybox-image.ts';
import { imageOf, layerOf, type Blob, type Image } from '../../../scripts/support/image.ts';
import { platformOfMachine } from '../../../src/oci/images/model/platform.ts';
import { GpgHome, missingGpg, simplePayload } from '../../support/signature/gpg.ts';
import { base64, cosignPayload, keyPairs, signedBy, type KeyPair } from '../../support/signature/sigstore.ts';
import { noBusybox, staticBusybox } from '../../support/tools/debian.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const missing = process.getuid?.() === 0 ? noBusybox() : 'needs root';
if (missing !== undefined) console.log(`skipped: signature policies: ${missing}`);
if (missingGpg.length > 0) console.log(`skipped: signedBy: ${missingGpg.join(', ')} not installed`);

/** gRPC's Unknown, the only code whose text the kubelet parses. */
const UNKNOWN = 2;
const key = keyPairs.p256();
const untrusted = keyPairs.p256();
const accept = { type: 'insecureAcceptAnything' };
const signed = {
  type: 'sigstoreSigned',
  keyData: base64(key.pem),
  signedIdentity: { type: 'exactRepository', dockerRepository: 'vendor.example/box' },
};

function blobOf(mediaType: string, bytes: Buffer): Blob {
  return { mediaType, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, bytes };
}

/** A signature manifest beside an image, as cosign pushes it. */
function signatureOf(image: Image, by: KeyPair): Image {
  const payload = blobOf(
    'application/vnd.dev.cosign.simplesigning.v1+json',
    Buffer.from(cosignPayload(image.manifest.digest, 'vendor.example/box')),
  );
  const config = blobOf('application/vnd.oci.image.config.v1+json', Buffer.from('{}'));
  const describe_ = ({ mediaType, digest, bytes }: Blob): object => ({
    mediaType,
    digest,
    size: bytes.length,
  });
  const layers = [
    {
      ...describe_(payload),
      annotations: { 'dev.cosignproject.cosign/signature': base64(signedBy(payload.bytes, by.privateKey)) },
    },
  ];
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = blobOf(
    type,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, config: describe_(config), layers })),
  );
  return { manifest, config, layers: [{ blob: payload, diffId: payload.digest }] };
}

/**
 * An index whose first entry says nothing of a platform, and whose second is for processors newer than the oldest of
 * the kind.
 */
function indexOf(unsaid: Image, newer: Image): Image {
  const type = 'application/vnd.oci.image.index.v1+json';
  const entry = ({ manifest: { mediaType, digest, bytes } }: Image, more: object): object => ({
    mediaType,
    digest,
    size: bytes.length,
    ...more,
  });
  const manifests = [
    entry(unsaid, {}),
    entry(newer, { platform: { os: 'linux', architecture: 'amd64', variant: 'v2' } }),
  ];
  return {
    ...newer,
    manifest: blobOf(type, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests }))),
  };
}

const runsNewer = platformOfMachine(process.arch, readFileSync('/proc/cpuinfo', 'latin1')).upTo !== undefined;
if (!runsNewer)
  console.log(
    'skipped: the policy and the pull take the same entry of an index: this machine runs no newer variant than its oldest',
  );

function imagesOf(): Map<string, Image> {
  const entries = busyboxEntries(staticBusybox());
  const made = (name: string): Image =>
    imageOf({ Cmd: untilTermed(0), Labels: { name } }, [
      layerOf([...entries, { type: 'file', path: `etc/${name}`, mode: 0o644, content: name }]),
    ]);
  const [good, bare, forged, newer] = [made('good'), made('bare'), made('forged'), made('newer')];
  const tagOf = ({ manifest }: Image): string => `${manifest.digest.replace(':', '-')}.sig`;
  return new Map([
    ['box/good:1', good],
    [`box/good:${tagOf(good)}`, signatureOf(good, key)],
    ['box/bare:1', bare],
    ['box/forged:1', forged],
    [`box/forged:${tagOf(forged)}`, signatureOf(forged, untrusted)],
    ['box/many:1', indexOf(bare, newer)],
    ['box/many:bare', bare],
    ['box/many:newer', newer],
    [`box/many:${tagOf(newer)}`, signatureOf(newer, key)],
  ]);
}

unless(describe, missing)('signature policies', () => {
  let world: World;
  let images: Map<string, Image>;
  let pods = 0;
  const place = (name: string): string => join(world.instance.directory, name);
  const write = (name: string, policy: object | string): Promise<void> =>
    writeFile(place(name), typeof policy === 'string' ? policy : JSON.stringify(policy));
  const name = (repository: string): string => `${world.registry}/box/${repository}:1`;

  beforeAll(async () => {
    images = imagesOf();
    world = await makeWorld({
      name: 'sign',
      images,
      imageSettings: (directory) => [
        `signature_policy = "${join(directory, 'policy.json')}"`,
        `signature_policy_dir = "${join(directory, 'policies')}"`,
        `registries_d = "${join(directory, 'registries.d')}"`,
      ],
    });
    for (const directory of ['policies', 'registries.d']) await mkdir(place(directory));
    await write(
      'registries.d/x.yaml',
      `docker:\n  "${world.registry}":\n    use-sigstore-attachments: true\n`,
    );
  });
  afterAll(async () => {
    await world?.close();
  });
  beforeEach(async () => {
    await rm(place('policy.json'), { force: true });
    await rm(place('policies/strict.json'), { force: true });
    for (const { id } of (await world.client.image.listImages({})).images)
      await world.client.image.removeImage({ image: { image: id } });
  });

  const pull = async (repository: string, namespace = 'default'): Promise<string> =>
    (
      await world.client.image.pullImage({
        image: { image: name(repository) },
        sandboxConfig: { metadata: { name: 'p', namespace, uid: 'u', attempt: 0 } },
      })
    ).imageRef;
  const here = async (): Promise<number> => (await world.client.image.listImages({})).images.length;
  const layers = (): Promise<string[]> => readdir(join(world.instance.root, 'layers')).catch(() => []);
  const refused = (reason: RegExp) =>
    expect.objectContaining({
      code: UNKNOWN,
      details: expect.stringMatching(
        new RegExp(`^SignatureValidationFailed: .*${reason.source}`, 'u'),
      ) as string,
    });

  /**
   * A pod of the namespace with a container of the image; how CreateContainer and StartContainer ended.
   */
  async function run(
    imageRef: string,
    { namespace = 'default', userSpecifiedImage = '', volume = '' } = {},
  ): Promise<unknown> {
    const { runtime } = world.client;
    pods += 1;
    const config = sandboxConfig({
      name: `p${pods}`,
      logDirectory: join(world.logs, `p${pods}`),
      hostNetwork: true,
    });
    config.metadata = { ...config.metadata, namespace };
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    const request = containerConfig({
      name: 'app',
      image: imageRef,
      command: untilTermed(0),
      hostNetwork: true,
    });
    request.image = { image: imageRef, userSpecifiedImage };
    if (volume !== '')
      request.mounts = [{ containerPath: '/volume', image: { image: volume }, readonly: true }];
    try {
      const { containerId } = await runtime.createContainer({
        podSandboxId,
        sandboxConfig: config,
        config: request,
      });
      await runtime.startContainer({ containerId });
      return 'running';
    } catch (error) {
      return error;
    } finally {
      await runtime.removePodSandbox({ podSandboxId });
    }
  }

  it('without a policy every image is pulled', async () => {
    expect(await pull('bare')).toMatch(/^sha256:/u);
  });

  it('an image without a signature, or signed by another key, is refused with the kubelet’s word; nothing of it stays', async () => {
    await write('policy.json', {
      default: [accept],
      transports: { docker: { [`${world.registry}/box`]: [signed] } },
    });
    const before = await layers();
    await expect(pull('bare')).rejects.toEqual(refused(/PullImage .*box\/bare:1: .*but none was found/u));
    await expect(pull('forged')).rejects.toEqual(refused(/not made with a key that the policy trusts/u));
    expect([await here(), await layers()]).toEqual([0, before]);
    const good = await pull('good');
    expect(await here()).toBe(1);
    expect(await run(good, { userSpecifiedImage: name('good') })).toBe('running');
  });

  unless(it, lacking(...missingGpg))(
    'signedBy accepts an image by its OpenPGP signature in a lookaside store, and no other image',
    async () => {
      const home = new GpgHome();
      try {
        const signer = home.key('signer');
        const digest = images.get('box/good:1')?.manifest.digest ?? '';
        const store = `lookaside/box/good@${digest.replace(':', '=')}`;
        await mkdir(place(store), { recursive: true });
        await writeFile(
          place(`${store}/signature-1`),
          home.sign(simplePayload(digest, name('good')), signer),
        );
        await write('registries.d/y.yaml', `default-docker: {lookaside: "file://${place('lookaside')}"}\n`);
        const signedBy_ = {
          type: 'signedBy',
          keyType: 'GPGKeys',
          keyData: home.publicKey(signer).toString('base64'),
        };
        await write('policy.json', { default: [signedBy_] });
        const good = await pull('good');
        await expect(pull('bare')).rejects.toEqual(
          refused(/a simple signature is required, but none was found/u),
        );
        expect(await run(good, { userSpecifiedImage: name('good') })).toBe('running');
        home.revoke(signer);
        await write('policy.json', {
          default: [{ ...signedBy_, keyData: home.publicKey(signer).toString('base64') }],
        });
        expect(await run(good, { userSpecifiedImage: name('good') })).toEqual(
          refused(/the key was revoked/u),
        );
        expect(await readdir(join(world.instance.state, 'key-rings'))).toEqual([]);
      } finally {
        home.close();
      }
    },
  );

  it('an invalid policy accepts nothing, with the reason; once fixed it is in force at once', async () => {
    await write('policy.json', '{"default": [{"type": "insecureAcceptAnything"}], "tranports": {}}');
    await expect(pull('good')).rejects.toEqual(refused(/policy\.json: "tranports" is not a known field/u));
    await write('policy.json', { default: [accept] });
    expect(await pull('good')).toMatch(/^sha256:/u);
  });

  it('concurrent pulls of one image under two namespaces’ policies are separate, and pods of one do not run what only the other accepted', async () => {
    await write('policies/strict.json', { default: [signed] });
    const [loose, strict] = await Promise.allSettled([pull('bare'), pull('bare', 'strict')]);
    expect([loose.status, strict.status]).toEqual(['fulfilled', 'rejected']);
    const bare = loose.status === 'fulfilled' ? loose.value : '';
    const asked = { userSpecifiedImage: name('bare') };
    expect(await run(bare, asked)).toBe('running');
    expect(await run(bare, { ...asked, namespace: 'strict' })).toEqual(
      refused(/CreateContainer app .*but none was found/u),
    );
    expect(await run(bare, { namespace: 'strict' })).toEqual(refused(/but none was found/u));
    const good = await pull('good', 'strict');
    expect(await run(good, { namespace: 'strict', userSpecifiedImage: name('good') })).toBe('running');
    // an image that is mounted is no way round
    expect(await run(good, { namespace: 'strict', userSpecifiedImage: name('good'), volume: bare })).toEqual(
      refused(/but none was found/u),
    );
  });

  unless(it, runsNewer ? '' : 'this machine runs no newer variant of a platform than its oldest')(
    'a policy changed after the pull judges the index entry that the pull took',
    async () => {
      const many = await pull('many');
      await write('policy.json', { default: [signed] });
      expect(await run(many, { userSpecifiedImage: name('many') })).toBe('running');
    },
  );

  it('a policy changed after the pull is in force for the next container, also after a restart', async () => {
    const [good, bare] = [await pull('good'), await pull('bare')];
    await write('policy.json', { default: [signed] });
    expect(await run(bare, { userSpecifiedImage: name('bare') })).toEqual(refused(/but none was found/u));
    expect(await run(good, { userSpecifiedImage: name('good') })).toBe('running');
    await world.instance.terminate();
    await world.instance.start();
    expect(await run(good, { userSpecifiedImage: name('good') })).toBe('running');
    await write('policy.json', { default: [{ type: 'reject' }] });
    expect(await run(good, { userSpecifiedImage: name('good') })).toEqual(
      refused(/the policy rejects the image/u),
    );
  });
});
