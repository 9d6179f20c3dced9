/** The policy's decision on images of a registry: where signatures are found, what is kept, whose policy counts. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readdirSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { refusalOf } from '../../support/fault-of.ts';
import { digestOf } from '../../support/registry/digest.ts';
import { FakeRegistry, refuse } from '../../support/registry/fake-registry.ts';
import { imageOf, indexOf, layerOf } from '../../support/registry/images.ts';
import { base64, cosignPayload, keyPairs, signedBy } from '../../support/signature/sigstore.ts';
import { fx, PolicyRig } from './rig.ts';

const key = keyPairs.p256();
const untrusted = keyPairs.p256();
const accept = { type: 'insecureAcceptAnything' };
const byKey = (...pairs: readonly { readonly pem: string }[]): object => ({
  type: 'sigstoreSigned',
  keyDatas: pairs.map(({ pem }) => base64(pem)),
  signedIdentity: { type: 'matchRepository' },
});

let registry: FakeRegistry;
let rig: PolicyRig;
let digest: string;
let name: string;
beforeEach(async () => {
  registry = await FakeRegistry.start();
  rig = new PolicyRig([registry.host]);
  digest = registry.push('team/app', '1', imageOf([await layerOf([{ name: 'hello', content: 'hello' }])]));
  name = `${registry.host}/team/app:1`;
  rig.write(
    'registries.d/x.yaml',
    `docker:\n  "${registry.host}":\n    use-sigstore-attachments: true\n    lookaside: "file://${rig.path('lookaside')}"\n`,
  );
});
afterEach(async () => {
  rig?.close();
  await registry?.close();
});

/** Puts a signature manifest beside the image, as cosign does. */
function attach(
  target: string,
  ...signatures: readonly { readonly payload: Uint8Array; readonly key: typeof key }[]
): string {
  const layers = signatures.map(({ payload, key: { privateKey } }) => ({
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    digest: registry.addBlob(payload),
    size: payload.byteLength,
    annotations: { 'dev.cosignproject.cosign/signature': base64(signedBy(payload, privateKey)) },
  }));
  const config = Buffer.from('{}');
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: registry.addBlob(config),
      size: 2,
    },
    layers,
  };
  return registry.addManifest(
    'team/app',
    Buffer.from(JSON.stringify(manifest)),
    manifest.mediaType,
    `${target.replace(':', '-')}.sig`,
  );
}
const payload = (target = digest): Uint8Array => cosignPayload(target, `${registry.host}/team/app`);

describe('signatures in the repository', () => {
  it('one valid signature accepts the image without a request for layers', async () => {
    rig.policy(registry.host, byKey(key));
    expect(await rig.admit(name)).toMatch(
      /^denied: SignatureValidationFailed: verify .*team\/app:1: a sigstore signature is required, but none was found$/u,
    );
    attach(digest, { payload: payload(), key: untrusted });
    expect(await rig.admit(name)).toMatch(/not made with a key that the policy trusts/u);
    attach(digest, { payload: payload(), key: untrusted }, { payload: payload(), key });
    expect(await rig.admit(name)).toBe('accepted');
    expect(await rig.admit(`${registry.host}/team/app@${digest}`)).toBe('accepted');
    expect(registry.count(new RegExp((await rig.resolve(name)).layers[0]?.digest ?? 'none', 'u'))).toBe(0);
  });

  it('are not requested unless registries.d says so', async () => {
    rig.policy(registry.host, byKey(key));
    attach(digest, { payload: payload(), key });
    rmSync(rig.path('registries.d'), { recursive: true });
    expect(await rig.admit(name)).toMatch(/but none was found/u);
    expect(registry.count(/\.sig$/u)).toBe(0);
  });

  it('the signature of an earlier image does not count after its tag has moved', async () => {
    rig.policy(registry.host, byKey(key));
    attach(digest, { payload: payload(), key });
    const moved = registry.push(
      'team/app',
      '1',
      imageOf([await layerOf([{ name: 'evil', content: 'evil' }])]),
    );
    expect(await rig.admit(name)).toMatch(/but none was found/u);
    attach(moved, { payload: payload(), key });
    expect(await rig.admit(name)).toMatch(new RegExp(`it is for the digest ${digest}`, 'u'));
  });

  it('a signature of the requested index, or of the platform’s manifest alone, counts; one of another platform does not', async () => {
    rig.policy(registry.host, byKey(key));
    const [own, other] = [
      imageOf([await layerOf([{ name: 'own', content: 'own' }])]),
      imageOf([await layerOf([{ name: 'other', content: 'other' }])]),
    ];
    for (const image of [own, other]) registry.push('team/app', undefined, image);
    const index = indexOf([
      { bytes: own.manifest, mediaType: own.mediaType, platform: { os: 'linux', architecture: 'amd64' } },
      { bytes: other.manifest, mediaType: other.mediaType, platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    const top = registry.addManifest('team/app', index.bytes, index.mediaType, '2');
    const two = `${registry.host}/team/app:2`;
    attach(digestOf(other.manifest), { payload: payload(digestOf(other.manifest)), key });
    expect(await rig.admit(two)).toMatch(/but none was found/u);
    attach(top, { payload: payload(top), key });
    expect(await rig.admit(two)).toBe('accepted');
    attach(top, { payload: payload(top), key: untrusted });
    expect(await rig.admit(two)).toMatch(/not made with/u);
    attach(digestOf(own.manifest), { payload: payload(digestOf(own.manifest)), key });
    expect(await rig.admit(two)).toBe('accepted');
  });

  it.each([
    [
      'can not be reached',
      (): void => registry.on(/\.sig$/u, (request) => request.socket.destroy()),
      /^outside: RegistryUnavailable: /u,
    ],
    [
      'answers 503',
      (): void => registry.on(/\.sig$/u, refuse(503, 'UNAVAILABLE', 'busy')),
      /^outside: RegistryUnavailable: /u,
    ],
    [
      'refuses',
      (): void => registry.on(/\.sig$/u, refuse(403, 'DENIED', 'no')),
      /^denied: verify .*answered 403/u,
    ],
    [
      'sends no JSON',
      (): void => registry.on(/\.sig$/u, (_request, response) => void response.end('x')),
      /^outside: verify .*not acceptable JSON/u,
    ],
  ])(
    'a registry that %s at the request for the signature does not accept the image',
    async (_what, break_, reason) => {
      rig.policy(registry.host, byKey(key));
      attach(digest, { payload: payload(), key });
      break_();
      expect(await rig.admit(name)).toMatch(reason);
    },
  );

  it('a payload that does not match its digest is refused', async () => {
    rig.policy(registry.host, byKey(key));
    attach(digest, { payload: payload(), key });
    const other = payload(`sha256:${'e'.repeat(64)}`);
    expect(other.byteLength).toBe(payload().byteLength);
    registry.on(
      new RegExp(`/blobs/${digestOf(payload())}`, 'u'),
      (_request, response) => void response.end(other),
    );
    expect(await rig.admit(name)).toMatch(/^outside: .*signature sha256:/u);
  });
});

describe('a lookaside store on the web', () => {
  let web: Server;
  let asked: string[];
  let status: number;
  beforeEach(async () => {
    asked = [];
    status = 404;
    web = createServer((request, response) => {
      asked.push(`${request.url ?? ''} ${request.headers.authorization ?? ''}`.trim());
      response.statusCode = request.url?.endsWith('/signature-1') === true && status === 404 ? 200 : status;
      response.end('no signature');
    });
    await new Promise<void>((resolve) => void web.listen(0, '127.0.0.1', resolve));
    rig.write(
      'registries.d/x.yaml',
      `docker:\n  "${registry.host}": {lookaside: "http://127.0.0.1:${(web.address() as AddressInfo).port}/sigs/"}\n`,
    );
    rig.policy(registry.host, {
      type: 'signedBy',
      keyType: 'GPGKeys',
      keyData: Buffer.from([0x98, 0]).toString('base64'),
    });
  });
  afterEach(async () => {
    web.closeAllConnections();
    await new Promise((resolve) => void web.close(resolve));
  });

  it('is asked for signature-1, -2 and so on, without credentials, until one is missing', async () => {
    const auth = {
      username: 'u',
      password: 'p',
      auth: '',
      identityToken: '',
      registryToken: '',
      serverAddress: '',
    };
    expect(await rig.admit(name, '', auth)).toMatch(/^denied: SignatureValidationFailed/u);
    expect(asked).toEqual(
      [1, 2].map((index) => `/sigs/team/app@${digest.replace(':', '=')}/signature-${index}`),
    );
  });

  it('with an invalid answer does not count as having no signature', async () => {
    status = 500;
    expect(await rig.admit(name)).toMatch(/^outside: RegistryUnavailable: .*answered 500/u);
  });
});

describe('whose policy counts', () => {
  it('without a policy every image is accepted; an invalid policy accepts none, with the reason', async () => {
    expect(await rig.admit(name)).toBe('accepted');
    rig.write('policy.json', '{"default": [');
    expect(await rig.admit(name)).toMatch(
      /^denied: SignatureValidationFailed: .*policy\.json: not acceptable JSON/u,
    );
    rig.write('policy.json', { default: [accept] });
    expect(await rig.admit(name)).toBe('accepted');
    rig.policy(registry.host, { type: 'sigstoreSigned', keyPath: '/no/such/key' });
    attach(digest, { payload: payload(), key });
    expect(await rig.admit(name)).toMatch(
      /^denied: SignatureValidationFailed: .*\/no\/such\/key.*not found/u,
    );
  });

  it('F95 an invalid file of registries.d counts as absent: no signature becomes valid, and images that need none are accepted', async () => {
    rig.write('registries.d/y.yaml', 'docker: [');
    rig.write('policy.json', { default: [accept] });
    expect(await rig.admit(name)).toBe('accepted');
    rig.policy(registry.host, { type: 'sigstoreSigned', keyPath: '/no/such/key' });
    expect(await rig.admit(name)).toMatch(
      /^denied: SignatureValidationFailed: .*\/no\/such\/key.*not found/u,
    );
  });

  it('a namespace’s own policy replaces the node’s, for it alone', async () => {
    rig.write('policy.json', { default: [accept] });
    rig.write('policies/strict.json', { default: [{ type: 'reject' }] });
    expect(await Promise.all(['', 'other', 'strict'].map((namespace) => rig.admit(name, namespace)))).toEqual(
      ['accepted', 'accepted', expect.stringMatching(/the policy rejects the image/u)],
    );
    rig.write('policies/strict.json', '{}');
    expect(await rig.admit(name, 'strict')).toMatch(/strict\.json: default is missing/u);
    expect(await rig.admit(name, '../policy')).toMatch(/^denied: .*not a valid namespace name/u);
    const driver = rig.driver();
    expect([driver.scope('strict'), driver.scope('other')]).toEqual(['strict', 'other']);
  });
});

describe('a stored image', () => {
  const refused = /^denied: SignatureValidationFailed/u;

  it('is judged by the current policy with the kept signatures, without a registry', async () => {
    rig.policy(registry.host, byKey(key));
    attach(digest, { payload: payload(), key });
    const image = await rig.resolve(name);
    expect(await rig.admit(name)).toBe('accepted');
    registry.on(/./u, refuse(500, 'GONE', 'nobody is asked'));
    const asked = registry.seen.length;
    expect([await rig.admitAgain(image, { reference: name }), await rig.admitAgain(image)]).toEqual([
      'accepted',
      'accepted',
    ]);
    rig.policy(registry.host, { type: 'reject' });
    expect(await rig.admitAgain(image, { reference: name })).toMatch(refused);
    expect(registry.seen.length).toBe(asked);
  });

  it('without kept signatures is looked up at the registry by its digest; then they are kept', async () => {
    attach(digest, { payload: payload(), key });
    const image = await rig.resolve(name);
    rig.policy(registry.host, byKey(key));
    expect(await rig.admitAgain(image, { reference: name })).toBe('accepted');
    const asked = registry.seen.length;
    expect(await rig.admitAgain(image, { reference: name })).toBe('accepted');
    expect(registry.seen.length).toBe(asked);
    for (const file of readdirSync(rig.path('kept'))) rig.write(`kept/${file}`, 'damaged');
    expect(await rig.admitAgain(image, { reference: name })).toBe('accepted');
    expect(registry.seen.length).toBeGreaterThan(asked);
  });

  it('is judged without trust in what is kept', async () => {
    attach(digest, { payload: payload(), key });
    const image = await rig.resolve(name);
    rig.policy(registry.host, byKey(key));
    expect(await rig.admit(name)).toBe('accepted');
    const [file = ''] = readdirSync(rig.path('kept'));
    const forged = cosignPayload(`sha256:${'f'.repeat(64)}`, `${registry.host}/team/app`);
    rig.write(`kept/${file}`, {
      digests: [digestOf(forged)],
      signatures: [
        {
          kind: 'sigstore',
          payload: base64(forged),
          signature: base64(signedBy(forged, untrusted.privateKey)),
          certificate: '',
          chain: '',
          bundle: '',
        },
      ],
    });
    attach(digest, { payload: payload(), key: untrusted });
    expect(await rig.admitAgain(image, { reference: name })).toMatch(refused);
  });

  it('is judged under a policy other than that of its pull: by its namespace, or by another name', async () => {
    const image = await rig.resolve(name);
    rig.write('policy.json', { default: [accept] });
    rig.write('policies/strict.json', {
      default: [accept],
      transports: { docker: { [registry.host]: [byKey(key)] } },
    });
    expect(await rig.admitAgain(image, { reference: name, namespace: 'strict' })).toMatch(refused);
    expect(await rig.admitAgain(image, { namespace: 'strict' })).toMatch(refused);
    expect(await rig.admitAgain(image, { reference: name })).toBe('accepted');
    // the pod says that it is something else: that has to be true where a signature is wanted
    rig.write('policies/strict.json', {
      default: [byKey(key)],
      transports: { docker: { [registry.host]: [accept] } },
    });
    expect(await rig.admitAgain(image, { reference: 'other.example/app:1', namespace: 'strict' })).toMatch(
      /the image was not pulled from other\.example\/app/u,
    );
  });

  it('named by its id follows the policies of its names', async () => {
    const image = { ...(await rig.resolve(name)), repoTag: '' };
    rig.write('policy.json', {
      default: [accept],
      transports: { docker: { [registry.host]: [{ type: 'reject' }] } },
    });
    for (const reference of [image.id, image.id.slice('sha256:'.length)])
      expect(await rig.admitAgain(image, { reference })).not.toBe('accepted');
    rig.write('policy.json', {
      default: [{ type: 'reject' }],
      transports: { docker: { [registry.host]: [accept] } },
    });
    for (const reference of [image.id, image.id.slice('sha256:'.length)])
      expect(await rig.admitAgain(image, { reference })).toBe('accepted');
  });

  it('without any name follows the default policy', async () => {
    const image = { ...(await rig.resolve(name)), repoTag: '' };
    rig.write('policy.json', {
      default: [accept],
      transports: { docker: { [registry.host]: [{ type: 'reject' }] } },
    });
    expect(await rig.admitAgain(image, { repoDigests: [] })).toBe('accepted');
    rig.write('policy.json', { default: [byKey(key)] });
    expect(await rig.admitAgain(image, { repoDigests: [] })).toMatch(/the image has no name/u);
  });

  it('is not accepted by signatures of another image under the same index digest', async () => {
    const image = await rig.resolve(name);
    rig.policy(registry.host, byKey(key));
    attach(digest, { payload: payload(), key });
    const other = { ...image, id: `sha256:${'9'.repeat(64)}` as typeof image.id };
    expect(await rig.admitAgain(other, { reference: name })).toMatch(/is another image on this platform/u);
  });

  it('S86 another namespace’s pull of an unsigned manifest of it takes nothing away', async () => {
    attach(digest, { payload: payload(), key });
    const image = await rig.resolve(name);
    rig.policy(registry.host, byKey(key));
    const theirs = `${registry.host}/team/app@sha256:${'6'.repeat(64)}`;
    expect(await rig.admitAgain(image, { reference: name, repoDigests: [theirs, image.repoDigest] })).toBe(
      'accepted',
    );
    rmSync(rig.path('kept'), { recursive: true });
    expect(await rig.admitAgain(image, { reference: name, repoDigests: [image.repoDigest, theirs] })).toBe(
      'accepted',
    );
  });

  it('is judged within the bound of the call', async () => {
    rig.policy(registry.host, byKey(key));
    const image = await rig.resolve(name);
    const gone = new AbortController();
    registry.on(/\.sig$/u, () => gone.abort());
    expect(
      await refusalOf(
        rig.driver().admit({ namespace: '', auth: undefined, image }, { ...fx, signal: gone.signal }),
      ),
    ).toMatch(/^cancelled: /u);
  });
});
