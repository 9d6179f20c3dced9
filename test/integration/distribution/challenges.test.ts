/** How a registry says that it wants credentials, and what the client makes of it. In this process, over loopback. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeRegistry, refuse } from '../../support/registry/fake-registry.ts';
import { digestOf } from '../../support/registry/digest.ts';
import { imageOf, layerOf, type TestLayer } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { insecure, rigOf, type Rig } from '../../support/registry/rig.ts';
import { guard, tokenService } from '../../support/registry/tokens.ts';

const auth = { username: 'user', password: 'secret' };
const BASIC = `Basic ${Buffer.from('user:secret').toString('base64')}`;
const isToken = (authorization: string): boolean => authorization.startsWith('Bearer token-');

describe('the challenge of a registry', () => {
  let registry: FakeRegistry;
  let layer: TestLayer;
  let made: Rig;
  beforeEach(async () => {
    registry = await FakeRegistry.start();
    layer = await layerOf([{ name: 'x', content: 'x' }]);
    registry.push('a', 'v', imageOf([layer]));
    made = rigOf(insecure(registry.host));
  });
  afterEach(async () => {
    made.client.close();
    await registry.close();
  });

  async function pull(name: string): Promise<string> {
    const resolved = await made.resolve(`${registry.host}/${name}`, auth);
    const [descriptor] = resolved.manifest.layers;
    if (descriptor === undefined) throw new Error('no layer');
    return digestOf(await made.fetch(resolved, descriptor));
  }

  it.each([
    ['answers 404', 404],
    ['answers 403', 403],
    ['answers 401 without a challenge', 401],
  ])('a registry that hides what is private, and %s, is asked how it authenticates', async (_how, status) => {
    tokenService(registry);
    registry.on(/^\/v2\/./u, (request, response, serve) => {
      if (isToken(request.headers.authorization ?? '')) serve();
      else refuse(status, 'NAME_UNKNOWN', 'hidden')(request, response, serve);
    });
    guard(registry, `Bearer realm="${registry.url}/token",service="s"`, isToken);
    expect(await pull('a:v')).toBe(layer.digest);
    const token = registry.seen.filter(({ path }) => path.startsWith('/token'));
    expect(token.map(({ authorization }) => authorization)).toEqual([BASIC]);
  });

  it('what is missing at a registry that is open is missing, whatever credentials there are', async () => {
    expect((await faultOf(pull('none:v'))).kind).toBe('notFound');
    expect(registry.authorizations).toEqual([]);
  });

  it('an empty scope or service in the challenge counts as none', async () => {
    tokenService(registry);
    guard(registry, `Bearer realm="${registry.url}/token",service="",scope=""`, isToken);
    expect(await pull('a:v')).toBe(layer.digest);
    const token = registry.seen.find(({ path }) => path.startsWith('/token'));
    expect(token?.path).toBe('/token?scope=repository%3Aa%3Apull');
  });

  it('each request names its program, since some firewalls of registries refuse those that do not', async () => {
    const agents = new Set<unknown>();
    registry.on(/^/u, (request, _response, serve) => {
      agents.add(request.headers['user-agent']);
      serve();
    });
    await pull('a:v');
    expect(agents).toEqual(new Set(['troupe']));
  });
});
