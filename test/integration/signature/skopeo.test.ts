/**
 * Images that skopeo, and the library of the peers, have signed in Debian's docker-registry; and what that library says
 * of them.
 */
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRegistry, type DockerRegistry } from '../../support/docker-registry/start.ts';
import { imageOf, layerOf } from '../../support/registry/images.ts';
import { writeOciLayout } from '../../support/registry/oci-layout.ts';
import { GpgHome, missingGpg } from '../../support/signature/gpg.ts';
import { keyPairs } from '../../support/signature/sigstore.ts';
import { generateKey, judgeImage, signImage, type SigningKey } from '../../support/tools/image-policy.ts';
import { ContainersTools, noContainersTools } from '../../support/tools/skopeo.ts';
import { PolicyRig } from './rig.ts';
import { unless } from '../../support/skips/unless.ts';

const missing = missingGpg.length > 0 ? `${missingGpg.join(', ')} not installed` : noContainersTools();
if (missing !== undefined) console.warn(`skipped: images that skopeo has signed: ${missing}`);

unless(describe, missing)('images that skopeo has signed', () => {
  let home: GpgHome;
  let registry: DockerRegistry;
  let rig: PolicyRig;
  let signer: string;
  let untrusted: string;
  let cosign: SigningKey;
  let skopeo: ContainersTools;

  /** `skopeo copy` of one of two images to a name, with these options. */
  const copy = (image: 'one' | 'two', to: string, ...options: readonly string[]): Promise<void> =>
    skopeo.copy(`oci:${rig.path('layout')}/${image}:x`, `docker://${to}`, ...options);
  const name = (repository: string): string => `${registry.address}/${repository}:1`;
  const signedBy = (fingerprint: string, more: object = {}): object => ({
    type: 'signedBy',
    keyType: 'GPGKeys',
    keyPath: rig.write(`${fingerprint}.gpg`, home.publicKey(fingerprint, 'binary')),
    ...more,
  });
  const byCosign = (pem = cosign.public, more: object = {}): object => ({
    type: 'sigstoreSigned',
    keyData: Buffer.from(pem).toString('base64'),
    ...more,
  });

  beforeAll(async () => {
    home = new GpgHome();
    // the peers' library without GnuPG's knows no others
    signer = home.key('signer', { algorithm: 'rsa2048' });
    untrusted = home.key('untrusted', { algorithm: 'rsa2048' });
    registry = await startRegistry({ root: join(home.directory, 'registry') });
    rig = new PolicyRig([registry.address]);
    rig.write(
      'registries.d/x.yaml',
      `docker:\n  "${registry.address}":\n    use-sigstore-attachments: true\n    lookaside: "file://${rig.path('lookaside')}"\n    lookaside-staging: "file://${rig.path('lookaside')}"\n`,
    );
    for (const image of ['one', 'two'] as const) {
      mkdirSync(rig.path(`layout/${image}`), { recursive: true });
      writeOciLayout(
        rig.path(`layout/${image}`),
        'x',
        imageOf([await layerOf([{ name: image, content: image }])]),
      );
    }
    const own = join(home.directory, 'tools');
    skopeo = new ContainersTools(own);
    // where it searches below its home
    mkdirSync(join(own, '.config/containers'), { recursive: true });
    symlinkSync(rig.path('registries.d'), join(own, '.config/containers/registries.d'));
    symlinkSync(home.directory, join(own, '.gnupg'));
    cosign = await generateKey('secret');
    rig.write('cosign.key', cosign.private);
  });
  afterAll(async () => {
    await registry?.stop();
    rig?.close();
    home?.close();
  });

  it('by GPG: accepted by tag and digest; refused for another key, name, tag and when it is not signed', async () => {
    const app = name('team/app');
    await copy('one', app, '--sign-by', signer);
    rig.policy(registry.address, signedBy(signer));
    expect(await rig.admit(app)).toBe('accepted');
    const { repoDigest } = await rig.resolve(app);
    expect(await rig.admit(repoDigest)).toBe('accepted');
    rig.policy(registry.address, signedBy(untrusted));
    expect(await rig.admit(app)).toMatch(/^denied: SignatureValidationFailed: .*not in the policy/u);
    rig.policy(registry.address, signedBy(signer), signedBy(untrusted));
    expect(await rig.admit(app)).toMatch(/not in the policy/u);
    rig.policy(
      registry.address,
      signedBy(signer, {
        signedIdentity: { type: 'exactReference', dockerReference: `${registry.address}/team/app:2` },
      }),
    );
    expect(await rig.admit(app)).toMatch(/it is for the identity/u);
    rig.policy(registry.address, signedBy(signer));
    await copy('two', name('team/unsigned'));
    expect(await rig.admit(name('team/unsigned'))).toMatch(
      /a simple signature is required, but none was found/u,
    );
  });

  it('by GPG: a tag moved to another image, and a signature copied to another image, are refused', async () => {
    const app = name('team/moved');
    await copy('one', app, '--sign-by', signer);
    rig.policy(registry.address, signedBy(signer));
    const good = await rig.resolve(app);
    expect(await rig.admit(app)).toBe('accepted');
    await copy('two', app);
    expect(await rig.admit(app)).toMatch(/but none was found/u);
    const moved = await rig.resolve(app);
    const store = (digest: string): string => `lookaside/team/moved@${digest.replace(':', '=')}/signature-1`;
    const signature = readFileSync(rig.path(store(good.manifestDigest)));
    rig.write(store(moved.manifestDigest), signature);
    expect(await rig.admit(app)).toMatch(new RegExp(`it is for the digest ${good.manifestDigest}`, 'u'));
    rig.write(
      store(moved.manifestDigest),
      signature.map((byte, at) => (at === signature.length - 20 ? byte ^ 1 : byte)),
    );
    expect(await rig.admit(app)).toMatch(/^denied: SignatureValidationFailed/u);
  });

  it('by GPG: signed for a vendor, accepted from a mirror by its remapped name', async () => {
    const app = name('mirror/app');
    await copy('one', app, '--sign-by', signer, '--sign-identity', 'vendor.example/app:1');
    rig.policy(registry.address, signedBy(signer));
    expect(await rig.admit(app)).toMatch(/it is for the identity "vendor\.example\/app:1"/u);
    rig.policy(
      registry.address,
      signedBy(signer, {
        signedIdentity: {
          type: 'remapIdentity',
          prefix: `${registry.address}/mirror`,
          signedPrefix: 'vendor.example',
        },
      }),
    );
    expect(await rig.admit(app)).toBe('accepted');
  });

  it('as sigstore attachment: accepted, refused for another key, and judged again by kept signatures', async () => {
    const app = name('team/cosigned');
    await copy('one', app);
    await signImage({
      registriesD: rig.path('registries.d'),
      keyFile: rig.path('cosign.key'),
      passphrase: 'secret',
      image: app,
    });
    rig.policy(registry.address, byCosign());
    expect(await rig.admit(app)).toBe('accepted');
    const image = await rig.resolve(app);
    rig.policy(registry.address, byCosign(keyPairs.p256().pem));
    expect(await rig.admit(app)).toMatch(/not made with a key that the policy trusts/u);
    expect(await rig.admitAgain(image, { reference: app })).toMatch(/^denied: SignatureValidationFailed/u);
    rig.policy(registry.address, byCosign());
    expect(await rig.admitAgain(image, { reference: app })).toBe('accepted');
    rig.policy(registry.address, byCosign(), signedBy(signer));
    expect(await rig.admit(app)).toMatch(/a simple signature is required/u);
  });

  it('the peers’ library decides the same for the same policies and images', async () => {
    const names = ['team/app', 'team/cosigned', 'team/unsigned', 'team/moved', 'mirror/app'].map(name);
    const other = keyPairs.p256().pem;
    const identities = [
      { type: 'matchExact' },
      { type: 'matchRepository' },
      { type: 'exactReference', dockerReference: name('team/app') },
      { type: 'exactRepository', dockerRepository: `${registry.address}/team/cosigned` },
      { type: 'remapIdentity', prefix: `${registry.address}/mirror`, signedPrefix: 'vendor.example' },
    ];
    const policies: readonly (readonly object[])[] = [
      [{ type: 'insecureAcceptAnything' }],
      [{ type: 'reject' }],
      [signedBy(signer), { type: 'reject' }],
      [signedBy(signer)],
      [signedBy(untrusted)],
      [byCosign()],
      [byCosign(other)],
      [byCosign(), signedBy(signer)],
      ...identities.flatMap((signedIdentity) => [
        [signedBy(signer, { signedIdentity })],
        [byCosign(cosign.public, { signedIdentity })],
      ]),
      // none of these is a policy
      [],
      [{ type: 'signedBy' }],
      [{ type: 'sigstoreSigned', keyPath: '/a', keyData: 'YQ==' }],
      [byCosign('no key')],
      [{ ...byCosign(), more: 1 }],
    ];
    const verdicts = new Map<string, number>();
    for (const requirements of policies) {
      rig.policy(registry.address, ...requirements);
      for (const image of names) {
        const ours = await rig.admit(image);
        const theirs = await judgeImage({
          registriesD: rig.path('registries.d'),
          policy: rig.path('policy.json'),
          image,
        });
        const [verdict, expected] = [ours, theirs].map((word) =>
          word === 'accepted' ? 'accepted' : 'refused',
        );
        expect(
          verdict,
          `${image} under ${JSON.stringify(requirements)}: ours ${ours}, theirs ${theirs}`,
        ).toBe(expected);
        verdicts.set(
          ours === 'accepted' ? ours : 'refused',
          (verdicts.get(ours === 'accepted' ? ours : 'refused') ?? 0) + 1,
        );
      }
    }
    expect([...verdicts.keys()].toSorted()).toEqual(['accepted', 'refused']);
  });
});
