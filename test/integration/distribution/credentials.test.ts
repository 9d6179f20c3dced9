/** Who gets to see credentials and tokens, and which hosts are spoken to at all. In this process, over loopback. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { distributionLimits } from '../../../src/oci/images/bounds.ts';
import { injecting, injects } from '../../support/faults/injects.ts';
import * as fake from '../../support/registry/fake-registry.ts';
import { digestOf } from '../../support/registry/digest.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf, type TestImage, type TestLayer } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { everyNameIs, insecure, rigOf, type Rig } from '../../support/registry/rig.ts';
import { guard, tokenService } from '../../support/registry/tokens.ts';

const PASSWORD = 'correct horse';
const auth = { username: 'user', password: PASSWORD };
const BASIC = `Basic ${Buffer.from(`user:${PASSWORD}`).toString('base64')}`;
const lookup = everyNameIs('127.0.0.1');

let registry: FakeRegistry;
let evil: FakeRegistry;
let layer: TestLayer;
let image: TestImage;
let rigs: Rig[];

beforeEach(async () => {
  registry = await FakeRegistry.start();
  evil = await FakeRegistry.start();
  layer = await layerOf([{ name: 'x', content: 'x'.repeat(1000) }]);
  image = imageOf([layer]);
  registry.push('a', 'v', image);
  rigs = [];
});

afterEach(async () => {
  for (const rig of rigs) {
    rig.client.close();
    expect(rig.clock.timers.size).toBe(0);
  }
  await registry.close();
  await evil.close();
});

function rig(conf: string): Rig {
  const made = rigOf(conf, { lookup });
  rigs.push(made);
  return made;
}

const bearer = (realm: string, more = ''): string => `Bearer realm="${realm}",service="s"${more}`;
const isToken = (authorization: string): boolean => authorization.startsWith('Bearer token-');

async function pull(made: Rig, reference: string, credentials: object | undefined = auth): Promise<string> {
  const resolved = await made.resolve(reference, credentials);
  const descriptor = resolved.manifest.layers[0];
  if (descriptor === undefined) throw new Error('no layer');
  return digestOf(await made.fetch(resolved, descriptor));
}

const badToken = injects(
  'F62',
  'a token that expires between blobs, a token service that fails or disconnects',
);

describe('F62 authentication', () => {
  it('basic: no password is sent before the registry asks for it', async () => {
    guard(registry, 'Basic realm="r"', (authorization) => authorization === BASIC);
    expect(await pull(rig(insecure(registry.host)), `${registry.host}/a:v`)).toBe(layer.digest);
    expect(registry.seen[0]?.authorization).toBeUndefined();
    expect(registry.seen.length).toBe(4);
  });

  it('bearer: the token service gets the password, the registry the token', async () => {
    const service = tokenService(registry);
    guard(registry, bearer(`${registry.url}/token?keep=1`, ',scope="repository:a:pull"'), isToken);
    expect(await pull(rig(insecure(registry.host)), `${registry.host}/a:v`)).toBe(layer.digest);
    expect(service.given()).toBe(1);
    const token = registry.seen.find(({ path }) => path.startsWith('/token'));
    expect(token?.path).toBe('/token?keep=1&service=s&scope=repository%3Aa%3Apull');
    expect(token?.authorization).toBe(BASIC);
    for (const { path, authorization } of registry.seen)
      if (path.startsWith('/v2/')) expect(authorization).not.toBe(BASIC);
  });

  it('bearer works without credentials, and without a scope in the challenge', async () => {
    tokenService(registry);
    guard(registry, bearer(`${registry.url}/token`), isToken);
    expect(await pull(rig(insecure(registry.host)), `${registry.host}/a:v`, {})).toBe(layer.digest);
    const token = registry.seen.find(({ path }) => path.startsWith('/token'));
    expect(token?.path).toBe('/token?service=s&scope=repository%3Aa%3Apull');
    expect(token?.authorization).toBeUndefined();
  });

  it('each scope of a challenge is requested separately', async () => {
    tokenService(registry);
    guard(
      registry,
      bearer(`${registry.url}/token?scope=other`, ',scope="repository:a:pull repository:b:pull"'),
      isToken,
    );
    expect(await pull(rig(insecure(registry.host)), `${registry.host}/a:v`)).toBe(layer.digest);
    const token = registry.seen.find(({ path }) => path.startsWith('/token'));
    expect(token?.path).toBe('/token?service=s&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull');
  });

  it('an identity token beside the name of a file of Docker’s is exchanged', async () => {
    tokenService(registry);
    guard(registry, bearer(`${registry.url}/token`), isToken);
    const entry = {
      auth: Buffer.from('00000000-0000-0000-0000-000000000000:').toString('base64'),
      identityToken: 'refresh',
    };
    expect(await pull(rig(insecure(registry.host)), `${registry.host}/a:v`, entry)).toBe(layer.digest);
    expect(registry.seen.find(({ method }) => method === 'POST')?.body).toContain('refresh_token=refresh');
  });

  it('an identity token is exchanged, a registry token is used as it is', async () => {
    tokenService(registry);
    guard(
      registry,
      bearer(`${registry.url}/token`),
      (authorization) => isToken(authorization) || authorization === 'Bearer ready',
    );
    const made = rig(insecure(registry.host));
    expect(await pull(made, `${registry.host}/a:v`, { identityToken: 'refresh' })).toBe(layer.digest);
    const posted = registry.seen.find(({ method }) => method === 'POST');
    expect(Object.fromEntries(new URLSearchParams(posted?.body))).toEqual({
      grant_type: 'refresh_token',
      service: 's',
      scope: 'repository:a:pull',
      client_id: 'troupe',
      refresh_token: 'refresh',
    });
    const before = registry.seen.length;
    expect(await pull(made, `${registry.host}/a:v`, { registryToken: 'ready' })).toBe(layer.digest);
    expect(registry.seen.slice(before).every(({ authorization }) => authorization === 'Bearer ready')).toBe(
      true,
    );
  });

  it('a token that expires between blobs is fetched anew once, for all blobs at a time', async () => {
    const layers = await Promise.all(['1', '2', '3', '4'].map((name) => layerOf([{ name, content: name }])));
    registry.push('many', 'v', imageOf(layers));
    const service = tokenService(registry);
    let valid = 'Bearer token-1';
    guard(registry, bearer(`${registry.url}/token`), (authorization) => authorization === valid);
    const made = rig(insecure(registry.host));
    const resolved = await made.resolve(`${registry.host}/many:v`, auth);
    valid = 'Bearer token-2';
    const digests = await Promise.all(
      resolved.manifest.layers.map(async (one) => digestOf(await made.fetch(resolved, one))),
    );
    expect(digests).toEqual(layers.map(({ digest }) => digest));
    expect(service.given()).toBe(2);
    badToken.happened();
  });

  it('a refused password ends after one token request', async () => {
    registry.on(/^\/token/u, fake.refuse(401, 'UNAUTHORIZED', 'wrong password'));
    guard(registry, bearer(`${registry.url}/token`), () => false);
    const fault = await faultOf(pull(rig(insecure(registry.host)), `${registry.host}/a:v`));
    expect(fault).toMatchObject({ kind: 'denied' });
    expect(fault.message).toContain('wrong password');
    expect(registry.count(/^\/token/u)).toBe(1);
  });

  it('a token that the registry rejects ends the pull after one retry', async () => {
    const service = tokenService(registry);
    guard(registry, bearer(`${registry.url}/token`), () => false);
    expect(await faultOf(pull(rig(insecure(registry.host)), `${registry.host}/a:v`))).toMatchObject({
      kind: 'denied',
    });
    expect(service.given()).toBe(1);
  });

  it('an overloaded or disconnecting token service is retried, up to a bound', async () => {
    registry.on(/^\/token/u, injecting(badToken, fake.refuse(500, 'X', 'x')), 1);
    registry.on(/^\/token/u, injecting(badToken, fake.breakOff(Buffer.alloc(100), 10, 'reset')), 1);
    tokenService(registry);
    guard(registry, bearer(`${registry.url}/token`), isToken);
    expect(await pull(rig(insecure(registry.host)), `${registry.host}/a:v`)).toBe(layer.digest);
    expect(registry.count(/^\/token/u)).toBe(3);
  });

  it('a token service that only fails: RegistryUnavailable', async () => {
    registry.on(/^\/token/u, fake.refuse(500, 'X', 'x'));
    guard(registry, bearer(`${registry.url}/token`), isToken);
    const fault = await faultOf(pull(rig(insecure(registry.host)), `${registry.host}/a:v`));
    expect(fault.message).toMatch(/^RegistryUnavailable: .*token from/u);
    expect(registry.count(/^\/token/u)).toBe(distributionLimits.attempts);
  });

  it('a registry that requires credentials denies a pull without them', async () => {
    guard(registry, 'Basic realm="r"', () => false);
    const fault = await faultOf(pull(rig(insecure(registry.host)), `${registry.host}/a:v`, {}));
    expect(fault).toMatchObject({ kind: 'denied' });
    expect(fault.message).toContain('authentication required');
  });

  it('a realm on another host gets no password from a registry that was not verified', async () => {
    tokenService(evil);
    guard(registry, bearer(`${evil.url}/token`), isToken);
    expect(await pull(rig(insecure(registry.host, evil.host)), `${registry.host}/a:v`)).toBe(layer.digest);
    expect(evil.count(/^\/token/u)).toBe(1);
    expect(evil.authorizations).toEqual([]);
  });

  it('a pull refused for lack of withheld credentials says so', async () => {
    tokenService(evil);
    registry.on(
      /manifests/u,
      fake.refuse(401, 'X', 'x', { 'www-authenticate': bearer(`${evil.url}/token`) }),
      1,
    );
    registry.on(/manifests/u, fake.refuse(403, 'DENIED', 'anonymous'));
    const fault = await faultOf(pull(rig(insecure(registry.host, evil.host)), `${registry.host}/a:v`));
    expect(fault).toMatchObject({ kind: 'denied' });
    expect(fault.message).toContain(
      `(DENIED: anonymous); the credentials for ${registry.host} were not sent to its token service ${evil.host}, since ${evil.host} is not verified by TLS`,
    );
  });
});

describe('S79 credentials go to their own host only', () => {
  it.each(['evil-r.example', 'r.example.evil', 'sub.r.example'])('not to %s', async (name) => {
    guard(evil, 'Basic realm="r"', () => false);
    const host = `${name}:${evil.port}`;
    const fault = await faultOf(
      pull(rig(insecure(host)), `${host}/a:v`, { ...auth, serverAddress: `r.example:${evil.port}` }),
    );
    expect(fault).toMatchObject({ kind: 'denied' });
    expect(evil.authorizations).toEqual([]);
  });

  it('not to another port', async () => {
    guard(evil, 'Basic realm="r"', () => false);
    const host = `r.example:${evil.port}`;
    await faultOf(
      pull(rig(insecure(host)), `${host}/a:v`, { ...auth, serverAddress: `r.example:${registry.port}` }),
    );
    expect(evil.authorizations).toEqual([]);
  });

  it('not to a mirror; the registry behind it gets them', async () => {
    guard(evil, 'Basic realm="r"', () => false);
    guard(registry, 'Basic realm="r"', (authorization) => authorization === BASIC);
    const host = `r.example:${registry.port}`;
    const conf = `[[registry]]\nlocation = "${host}"\ninsecure = true\nmirror = [{ location = "m.example:${evil.port}", insecure = true }]`;
    expect(await pull(rig(conf), `${host}/a:v`)).toBe(layer.digest);
    expect(evil.seen.length).toBeGreaterThan(0);
    expect(evil.authorizations).toEqual([]);
  });

  it('F64 not through a redirect, nor on the way back', async () => {
    const host = `r.example:${registry.port}`;
    const other = `evil-r.example:${evil.port}`;
    registry.on(/manifests/u, fake.refuse(401, 'X', 'x', { 'www-authenticate': 'Basic realm="r"' }), 1);
    registry.on(/manifests/u, fake.redirect(`http://${other}/hop`), 1);
    evil.on(/hop/u, fake.redirect(`http://${host}/v2/a/manifests/v`));
    expect((await rig(insecure(host, other)).resolve(`${host}/a:v`, auth)).config.os).toBe('linux');
    const manifests = registry.seen.filter(({ path }) => path.includes('manifests'));
    expect(manifests.map(({ authorization }) => authorization)).toEqual([undefined, BASIC, undefined]);
    expect(evil.seen.length).toBe(1);
    expect(evil.authorizations).toEqual([]);
  });

  it.each(['Basic', 'Bearer'])('S16 a redirect target that asks for %s gets nothing', async (scheme) => {
    guard(evil, scheme === 'Basic' ? 'Basic realm="r"' : bearer(`${evil.url}/token`), () => false);
    tokenService(evil);
    registry.on(/blobs/u, fake.redirect(`${evil.url}/v2/x`));
    guard(registry, 'Basic realm="r"', (authorization) => authorization === BASIC);
    const fault = await faultOf(pull(rig(insecure(registry.host, evil.host)), `${registry.host}/a:v`));
    expect(fault.message).toContain(`${evil.host} answered 401`);
    expect(evil.authorizations).toEqual([]);
    expect(evil.count(/token/u)).toBe(0);
  });

  it('are in no message, however a registry repeats them', async () => {
    const encoded = BASIC.slice('Basic '.length);
    guard(registry, bearer(`${registry.url}/token`), () => false);
    registry.on(
      /^\/token/u,
      fake.refuse(403, encoded, `${PASSWORD} ${encodeURIComponent(PASSWORD)} ${BASIC}`),
    );
    const fault = await faultOf(pull(rig(insecure(registry.host)), `${registry.host}/a:v`));
    const text = JSON.stringify(fault);
    expect(text).toContain('***');
    for (const secret of [PASSWORD, encoded, encodeURIComponent(PASSWORD)])
      expect(text).not.toContain(secret);
  });

  it('nor in a cut message that repeats a key file longer than the quoted part', async () => {
    const key = `{\n  "private_key": "${'k'.repeat(2 * distributionLimits.errorChars)}"\n}\n`;
    const json = Buffer.from(`_json_key:${key}`).toString('base64');
    guard(registry, 'Basic realm="r"', () => false);
    expect(
      await faultOf(
        pull(rig(insecure(registry.host)), `${registry.host}/a:v`, { username: '_json_key', password: key }),
      ),
    ).toMatchObject({ kind: 'denied' });
    expect(registry.authorizations).toContain(`Basic ${json}`);
    const echo = await FakeRegistry.start();
    echo.on(/manifests/u, fake.refuse(401, 'X', 'x', { 'www-authenticate': 'Basic realm="r"' }), 1);
    echo.on(/manifests/u, fake.refuse(403, 'DENIED', `you sent ${key} as ${json}`));
    const fault = await faultOf(
      pull(rig(insecure(echo.host)), `${echo.host}/a:v`, { username: '_json_key', password: key }),
    );
    await echo.close();
    expect(fault.message).toContain('you sent *** as ***');
    expect(fault.message).not.toContain('kkk');
  });

  it('nor are tokens in the printed form of a handle', async () => {
    tokenService(registry);
    guard(registry, bearer(`${registry.url}/token`), isToken);
    const made = rig(insecure(registry.host));
    const resolved = await made.resolve(`${registry.host}/a:v`, auth);
    const { inspect } = await import('node:util');
    const printed = `${JSON.stringify(resolved.handle)} ${inspect(resolved.handle, { depth: 9, showHidden: true })}`;
    expect(printed).not.toContain('token-1');
    expect(printed).not.toContain(PASSWORD);
  });

  it('nor are tokens in a message that repeats them', async () => {
    registry.on(
      /manifests/u,
      fake.refuse(401, 'X', 'x', { 'www-authenticate': bearer(`${registry.url}/token`) }),
      1,
    );
    registry.on(/^\/token/u, fake.answer('{"token":"opaque-secret"}'));
    registry.on(/manifests/u, fake.refuse(403, 'DENIED', 'you sent opaque-secret'));
    const fault = await faultOf(rig(insecure(registry.host)).resolve(`${registry.host}/a:v`));
    expect(fault.message).toContain('you sent ***');
  });
});

describe('S80 S49 realms', () => {
  it.each([
    ['file:///etc/shadow', 'has the unsupported scheme file:'],
    ['unix:///run/x.sock', 'has the unsupported scheme unix:'],
    ['nonsense', 'is not a URL'],
    ['', 'is not a URL'],
    ['http://169.254.169.254/token', 'not configured as insecure'],
    ['https://169.254.169.254/token', 'a loopback, link-local or metadata address'],
    ['https://u:p@r.example/token', 'credentials in it'],
  ])('%j is not requested', async (realm, words) => {
    guard(registry, bearer(realm), () => false);
    const fault = await faultOf(pull(rig(insecure(registry.host)), `${registry.host}/a:v`));
    expect(fault.message).toContain(words);
    expect(fault.message).not.toContain(PASSWORD);
  });

  it('a name that resolves to loopback is not requested', async () => {
    registry.on(/manifests/u, fake.redirect('https://innocent.example/x'));
    const fault = await faultOf(rig(insecure(registry.host)).resolve(`${registry.host}/a:v`));
    expect(fault.message).toContain(
      'innocent.example: 127.0.0.1 is a loopback, link-local or metadata address',
    );
  });
});

describe('S48 replies without end', () => {
  it('a manifest', async () => {
    registry.on(/manifests/u, fake.endless(200, { 'content-type': image.mediaType }));
    const fault = await faultOf(rig(insecure(registry.host)).resolve(`${registry.host}/a:v`));
    expect(fault.message).toContain('the answer has more than 4194304 bytes');
  });

  it('a manifest with a stated size of 4 GiB', async () => {
    registry.on(/manifests/u, (_request, response) => {
      response.writeHead(200, { 'content-length': 2 ** 32 });
      response.write('{');
    });
    const fault = await faultOf(rig(insecure(registry.host)).resolve(`${registry.host}/a:v`));
    expect(fault.message).toContain('the answer has more than 4194304 bytes');
  });

  it('a token', async () => {
    registry.on(/^\/token/u, fake.endless());
    guard(registry, bearer(`${registry.url}/token`), () => false);
    const fault = await faultOf(rig(insecure(registry.host)).resolve(`${registry.host}/a:v`));
    expect(fault.message).toContain('the answer has more than 1048576 bytes');
  });

  it('an error', async () => {
    registry.on(/manifests/u, fake.endless(404));
    const fault = await faultOf(rig(insecure(registry.host)).resolve(`${registry.host}/a:v`));
    expect(fault).toMatchObject({ kind: 'notFound' });
    expect(fault.message).toContain('answered 404');
  });

  it('a head', async () => {
    registry.on(/manifests/u, (_request, response) => {
      response.socket?.write(`HTTP/1.1 200 OK\r\n${`X: ${'x'.repeat(1000)}\r\n`.repeat(1000)}`);
    });
    expect((await faultOf(rig(insecure(registry.host)).resolve(`${registry.host}/a:v`))).message).toContain(
      'RegistryUnavailable: ',
    );
  });
});
