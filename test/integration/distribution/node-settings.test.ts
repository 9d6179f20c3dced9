/** What the node itself keeps for registries: credentials in files and from helpers, certificates, proxies. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { HostCertificates } from '../../../src/oci/images/registry/host-certificates.ts';
import { NodeCredentials } from '../../../src/oci/images/registry/node-credentials.ts';
import type { ClientOptions } from '../../../src/oci/images/registry/client.ts';
import { selfSigned } from '../../support/registry/certificates.ts';
import { FakeRegistry, refuse } from '../../support/registry/fake-registry.ts';
import { fail } from '../../../src/base/fault.ts';
import { imageOf, layerOf, type TestImage } from '../../support/registry/images.ts';
import { faultOf } from '../../support/fault-of.ts';
import { everyNameIs, insecure, rigOf, trusting, type Rig } from '../../support/registry/rig.ts';
import { guard, tokenService } from '../../support/registry/tokens.ts';

const basic = (user: string): string => `Basic ${Buffer.from(`${user}:secret`).toString('base64')}`;
const entry = (user: string): { readonly auth: string } => ({
  auth: Buffer.from(`${user}:secret`).toString('base64'),
});

let directory: string;
let image: TestImage;
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'troupe-node-settings-'));
  image = imageOf([await layerOf([{ name: 'x', content: 'x' }])]);
  ends.push(() => rm(directory, { recursive: true }));
});
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function registryAt(tls?: Parameters<typeof FakeRegistry.start>[0]): Promise<FakeRegistry> {
  const registry = await FakeRegistry.start(tls);
  registry.push('team/a', 'v', image);
  ends.push(() => registry.close());
  return registry;
}

function rig(conf: string, options: Partial<ClientOptions>): Rig {
  const made = rigOf(conf, options);
  ends.push(() => made.client.close());
  return made;
}

describe('credentials that the node keeps', () => {
  const files = (): string[] => ['one.json', 'two.json'].map((name) => join(directory, name));

  async function withKept(registry: FakeRegistry): Promise<Rig> {
    const kept = new NodeCredentials({
      files,
      findHelper: async (program) => join(directory, program),
      runTool,
      clock: realClock(),
    });
    return rig(insecure(registry.host), { nodeCredentials: (endpoint, signal) => kept.of(endpoint, signal) });
  }

  it('the first file with an entry is used, and a change is in force at the next pull', async () => {
    const registry = await registryAt();
    guard(registry, 'Basic realm="r"', (authorization) => authorization === basic('right'));
    const made = await withKept(registry);
    expect((await faultOf(made.resolve(`${registry.host}/team/a:v`))).kind).toBe('denied');
    await writeFile(
      join(directory, 'one.json'),
      JSON.stringify({ auths: { 'other.example': entry('other') } }),
    );
    await writeFile(
      join(directory, 'two.json'),
      JSON.stringify({
        auths: { [registry.host]: entry('wrong'), [`${registry.host}/team`]: entry('right') },
      }),
    );
    expect((await made.resolve(`${registry.host}/team/a:v`)).config.os).toBe('linux');
  });

  it('credentials of the request come before the files', async () => {
    const registry = await registryAt();
    guard(registry, 'Basic realm="r"', (authorization) => authorization === basic('asked'));
    await writeFile(
      join(directory, 'one.json'),
      JSON.stringify({ auths: { [registry.host]: entry('kept') } }),
    );
    const made = await withKept(registry);
    expect(
      (await made.resolve(`${registry.host}/team/a:v`, { username: 'asked', password: 'secret' })).config.os,
    ).toBe('linux');
  });

  it('a mirror gets the node’s credentials for it, also when the request has others for the registry', async () => {
    const [mirror, registry] = [await registryAt(), await registryAt()];
    guard(mirror, 'Basic realm="r"', (authorization) => authorization === basic('mirror'));
    guard(registry, 'Basic realm="r"', (authorization) => authorization === basic('asked'));
    await writeFile(
      join(directory, 'one.json'),
      JSON.stringify({ auths: { [mirror.host]: entry('mirror'), [registry.host]: entry('kept') } }),
    );
    const kept = new NodeCredentials({
      files,
      findHelper: async (program) => join(directory, program),
      runTool,
      clock: realClock(),
    });
    const conf = `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\nmirror = [{ location = "${mirror.host}", insecure = true }]\n`;
    const made = rig(conf, { nodeCredentials: (endpoint, signal) => kept.of(endpoint, signal) });
    expect(
      (await made.resolve(`${registry.host}/team/a:v`, { username: 'asked', password: 'secret' })).config.os,
    ).toBe('linux');
    expect(registry.seen).toEqual([]);
    // S79: the request's own never reach the mirror, and the node's for the registry do not take their place
    registry.push('team/a', 'registry-only', image);
    expect(
      (await made.resolve(`${registry.host}/team/a:registry-only`, { username: 'asked', password: 'secret' }))
        .config.os,
    ).toBe('linux');
    expect(new Set(mirror.authorizations)).toEqual(new Set([basic('mirror')]));
    expect(new Set(registry.authorizations)).toEqual(new Set([basic('asked')]));
  });

  it('a helper gets the host on its input; without an answer the pull is anonymous; a failure is reported', async () => {
    const registry = await registryAt();
    guard(registry, 'Basic realm="r"', (authorization) => authorization === basic('helped'));
    await writeFile(
      join(directory, 'one.json'),
      JSON.stringify({ credHelpers: { [registry.host]: 'test' } }),
    );
    const helper = async (body: string): Promise<void> => {
      await writeFile(join(directory, 'docker-credential-test'), `#!/bin/sh\n${body}\n`);
      await chmod(join(directory, 'docker-credential-test'), 0o755);
    };
    const made = await withKept(registry);
    await helper(
      `read server; [ "$1 $server" = "get ${registry.host}" ] && echo '{"ServerURL":"x","Username":"helped","Secret":"secret"}'`,
    );
    expect((await made.resolve(`${registry.host}/team/a:v`)).config.os).toBe('linux');
    await helper('echo "credentials not found in native keychain"; exit 1');
    expect((await faultOf(made.resolve(`${registry.host}/team/a:v`))).kind).toBe('denied');
    await writeFile(
      join(directory, 'one.json'),
      JSON.stringify({
        auths: { [registry.host]: entry('helped') },
        credHelpers: { [registry.host]: 'test' },
      }),
    );
    expect((await made.resolve(`${registry.host}/team/a:v`)).config.os).toBe('linux');
    await helper('echo no keychain >&2; exit 3');
    const fault = await faultOf(made.resolve(`${registry.host}/team/a:v`));
    expect(fault.message).toContain(
      `credentials for ${registry.host} from docker-credential-test: exit code 3: no keychain`,
    );
    await helper(`echo '{"Username":"a:b","Secret":"secret"}'`);
    expect(await faultOf(made.resolve(`${registry.host}/team/a:v`))).toMatchObject({
      kind: 'outside',
      message: expect.stringMatching(/from docker-credential-test: its username has a colon/u) as string,
    });
  });

  it('a helper that fails rules out its own endpoint alone, and is reported if no other one serves', async () => {
    const [mirror, registry] = [await registryAt(), await registryAt()];
    const text = `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\nmirror = [{ location = "${mirror.host}", insecure = true }]\n`;
    let broken: readonly string[] = [];
    const made = rig(text, {
      nodeCredentials: async ({ host }) =>
        broken.includes(host) ? fail('outside', `the helper of ${host} failed`) : undefined,
    });
    const name = `${registry.host}/team/a:v`;
    for (const [bad, good] of [
      [mirror, registry],
      [registry, mirror],
    ] as const) {
      broken = [bad.host];
      const before = bad.seen.length;
      const resolved = await made.resolve(name);
      const [layer] = resolved.manifest.layers;
      if (layer === undefined) throw new Error('no layer');
      expect((await made.fetch(resolved, layer)).byteLength).toBe(layer.size);
      good.on(/blobs/u, refuse(404, 'BLOB_UNKNOWN', 'x'));
      const fault = await faultOf(made.fetch(resolved, layer));
      expect(fault.message).toMatch(/BLOB_UNKNOWN.*; before that: the helper of .* failed$/u);
      const absent = await faultOf(made.resolve(`${registry.host}/team/a:absent`));
      expect(absent).toMatchObject({ kind: 'notFound' });
      expect(absent.message).toContain(`; before that: the helper of ${bad.host} failed`);
      expect(bad.seen.length).toBe(before);
    }
    broken = [mirror.host, registry.host];
    expect(await faultOf(made.resolve(name))).toMatchObject({
      kind: 'outside',
      message: `the helper of ${registry.host} failed; before that: the helper of ${mirror.host} failed`,
    });
  });

  it('an entry of a file that cannot be used is a problem of the file, and no fault of the request', async () => {
    const registry = await registryAt();
    await writeFile(
      join(directory, 'one.json'),
      JSON.stringify({ auths: { [registry.host]: { auth: '!!secret!!' } } }),
    );
    const kept = new NodeCredentials({
      files,
      findHelper: async (program) => join(directory, program),
      runTool,
      clock: realClock(),
    });
    const file = join(directory, 'one.json');
    expect(await kept.problems()).toEqual(
      new Map([[file, `read ${file}: auths of ${registry.host}: auth is not base64 of username:password`]]),
    );
    expect((await (await withKept(registry)).resolve(`${registry.host}/team/a:v`)).config.os).toBe('linux');
  });
});

describe('certificates of a registry', () => {
  it('S81 an authority beside the host makes it trusted, from the next connection on; for another host it does not', async () => {
    const tls = selfSigned(['DNS:r.example', 'DNS:s.example']);
    const registry = await registryAt(tls);
    const certificates = new HostCertificates(() => [join(directory, 'missing'), directory]);
    const made = rig('', { lookup: everyNameIs('127.0.0.1'), certificates: (host) => certificates.of(host) });
    const name = (host: string): string => `${host}:${registry.port}`;
    expect((await faultOf(made.resolve(`${name('r.example')}/team/a:v`))).message).toContain(
      'self-signed certificate',
    );
    await mkdir(join(directory, name('r.example')));
    await writeFile(join(directory, name('r.example'), 'ca.crt'), tls.cert);
    expect((await made.resolve(`${name('r.example')}/team/a:v`)).config.os).toBe('linux');
    expect((await faultOf(made.resolve(`${name('s.example')}/team/a:v`))).message).toContain(
      'self-signed certificate',
    );
  });

  it('S81 an authority is for the token service that its registry names, too, and for that of no other registry', async () => {
    const tls = selfSigned(['IP:127.0.0.1', 'DNS:localhost', 'DNS:r.example']);
    const service = await FakeRegistry.start(tls);
    ends.push(() => service.close());
    tokenService(service);
    const [first, second] = [await registryAt(tls), await registryAt(tls)];
    for (const registry of [first, second])
      guard(registry, `Bearer realm="https://localhost:${service.port}/token",service="s"`, (value) =>
        value.startsWith('Bearer token-'),
      );
    const own = join(directory, first.host);
    await mkdir(own);
    await writeFile(join(own, 'ca.crt'), tls.cert);
    const certificates = new HostCertificates(() => [directory]);
    const other = trusting(tls.cert);
    const made = rig('', {
      certificates: (host) => (host === second.host ? other.certificates(host) : certificates.of(host)),
      authorities: (registry) => certificates.authoritiesOf(registry),
    });
    const name = (registry: FakeRegistry): string => `${registry.host}/team/a:v`;
    expect((await made.resolve(name(first))).config.os).toBe('linux');
    // the connection that the first one has verified is still open
    expect((await faultOf(made.resolve(name(second)))).message).toContain('self-signed certificate');
    // a directory of its own comes first
    await mkdir(join(directory, `localhost:${service.port}`));
    await writeFile(join(directory, `localhost:${service.port}`, 'ca.crt'), selfSigned(['DNS:x']).cert);
    expect((await faultOf(made.resolve(name(first)))).message).toContain('self-signed certificate');
  });

  it('a client certificate without its key, and an invalid one, are reported by their files', async () => {
    const certificates = new HostCertificates(() => [directory]);
    await mkdir(join(directory, 'r.example'));
    await writeFile(join(directory, 'r.example/client.cert'), 'x');
    await expect(certificates.of('r.example')).rejects.toThrow(
      /client\.cert: the key file client\.key was not found/u,
    );
    await writeFile(join(directory, 'r.example/client.key'), 'x');
    await expect(certificates.of('r.example')).rejects.toThrow(
      new RegExp(`read ${directory}/r\\.example: `, 'u'),
    );
  });
});

describe('proxies', () => {
  /** Answers absolute requests and CONNECT as if every name were this machine's, and remembers what was asked of it. */
  async function proxy(): Promise<{ readonly url: string; readonly asked: string[] }> {
    const asked: string[] = [];
    const sockets = new Set<Socket>();
    const server = createServer((incoming, response) => {
      asked.push(`${incoming.method ?? ''} ${incoming.url ?? ''}`);
      const { headers } = incoming;
      incoming.pipe(
        request(
          incoming.url ?? '',
          { method: incoming.method ?? 'GET', headers, lookup: everyNameIs('127.0.0.1') },
          (answer) => {
            response.writeHead(answer.statusCode ?? 0, answer.headers);
            answer.pipe(response);
          },
        ),
      );
    });
    server.on('connect', (incoming, socket: Socket) => {
      asked.push(`CONNECT ${incoming.url ?? ''}`);
      const there = connect(Number(incoming.url?.split(':')[1]), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        there.pipe(socket).pipe(there);
      });
      for (const one of [there, socket]) {
        sockets.add(one);
        one.on('error', () => one.destroy());
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(() => {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
  }

  it('a verified registry is reached through a tunnel, and TLS is with the registry', async () => {
    const tls = selfSigned(['DNS:r.example']);
    const registry = await registryAt(tls);
    const { url, asked } = await proxy();
    const host = `r.example:${registry.port}`;
    // no lookup: only the proxy knows the name
    const made = rig('', { ...trusting(tls.cert), proxy: () => ({ HTTPS_PROXY: url }) });
    expect((await made.resolve(`${host}/team/a:v`)).config.os).toBe('linux');
    expect(new Set(asked)).toEqual(new Set([`CONNECT ${host}`]));
  });

  it('a plain registry is reached by absolute requests; one in no_proxy directly', async () => {
    const registry = await registryAt();
    const host = `r.example:${registry.port}`;
    const { url, asked } = await proxy();
    const through = rig(insecure(host), { proxy: () => ({ HTTP_PROXY: url }) });
    expect((await through.resolve(`${host}/team/a:v`)).config.os).toBe('linux');
    expect(asked).toContain(`GET http://${host}/v2/team/a/manifests/v`);
    asked.length = 0;
    const around = rig(insecure(host), {
      lookup: everyNameIs('127.0.0.1'),
      proxy: () => ({ HTTP_PROXY: url, NO_PROXY: 'example' }),
    });
    expect((await around.resolve(`${host}/team/a:v`)).config.os).toBe('linux');
    expect(asked).toEqual([]);
  });

  it('a registry of this machine is reached without the proxy; others beside it through the proxy', async () => {
    const registry = await registryAt();
    const { url, asked } = await proxy();
    const named = `r.example:${registry.port}`;
    const made = rig(insecure(registry.host, named), {
      proxy: () => ({ HTTP_PROXY: url, HTTPS_PROXY: url }),
    });
    await made.resolve(`${registry.host}/team/a:v`);
    expect(asked).toEqual([]);
    await made.resolve(`${named}/team/a:v`);
    expect(asked).toContain(`GET http://${named}/v2/team/a/manifests/v`);
    asked.length = 0;
    await made.resolve(`${registry.host}/team/a:v`);
    expect(asked).toEqual([]);
  });

  it('a proxy that is set, changed and unset counts from the next request on', async () => {
    const registry = await registryAt();
    const host = `r.example:${registry.port}`;
    const [one, two] = [await proxy(), await proxy()];
    let HTTP_PROXY = '';
    const made = rig(insecure(host), {
      lookup: everyNameIs('127.0.0.1'),
      proxy: () => (HTTP_PROXY === '' ? undefined : { HTTP_PROXY }),
    });
    const counts: (readonly [number, number])[] = [];
    for (const url of ['', one.url, two.url, '']) {
      HTTP_PROXY = url;
      one.asked.length = two.asked.length = 0;
      await made.resolve(`${host}/team/a:v`);
      counts.push([one.asked.length, two.asked.length]);
    }
    const [first = 0] = counts[1] ?? [];
    expect(first).toBeGreaterThan(0);
    expect(counts).toEqual([
      [0, 0],
      [first, 0],
      [0, first],
      [0, 0],
    ]);
  });
});
