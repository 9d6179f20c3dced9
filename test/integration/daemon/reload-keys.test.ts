// Each key that a reload changes, in a running daemon: SIGHUP, and its effect on what begins afterwards.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { schema } from '../../../src/daemon/config/config-schema.ts';
import type { ConfigKeys } from '../../../src/daemon/config/sections/config-rule.ts';
import { ContainerConfigSchema, PodSandboxConfigSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { parseReference } from '../../../src/oci/images/model/reference.ts';
import { namespacedFile } from '../../../src/oci/images/registry/namespaced-credentials.ts';
import { containerConfig, sandboxConfig } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { selfSigned } from '../../support/registry/certificates.ts';
import { run } from '../../support/run.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';
import { checkout } from '../../support/tools/cache.ts';
import { closeWorld, hostOnlyWorld, processesIn, removePod } from './pod.ts';

const REFUSED = 'reload configuration: failed';
const TAKEN = 'configuration reloaded';
/** Those of transfers that are slow, or several: tests of the layer store and the registry client; others as said. */
const ELSEWHERE = [
  'images.progress_timeout_ms',
  'images.parallel_downloads',
  'images.parallel_downloads_per_registry',
  // integration/daemon/handlers.test.ts, auto-handler.test.ts
  'runtime.monitor',
  'runtime.default_handler',
  'runtime.handlers',
  // integration/daemon/reload-metrics.test.ts, unit/daemon/wiring/spans.test.ts
  'introspection.http_address',
  'introspection.metrics',
  'metrics.address',
  'metrics.tls_cert',
  'metrics.tls_key',
  'metrics.tls_client_ca',
  'tracing.endpoint',
  'tracing.protocol',
  'tracing.sampling',
  'tracing.headers_file',
  'tracing.ca',
];

unless(describe, notRoot())('a key that a reload changes', () => {
  let world: World;
  let dropIn: string;
  /** Keys that the tests have changed. */
  const seen = new Set<string>(ELSEWHERE);

  beforeAll(async () => {
    world = await hostOnlyWorld('hupk');
    const directory = join(world.instance.directory, 'troupe.toml.d');
    mkdirSync(directory);
    dropIn = join(directory, '10-test.toml');
  });
  afterEach(async () => {
    if (!existsSync(dropIn)) return;
    rmSync(dropIn);
    await hangUp(TAKEN);
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  const logged = async (line: string): Promise<number> => (await world.instance.log()).split(line).length - 1;
  const inDirectory = (name: string): string => join(world.instance.directory, name);

  /** SIGHUP, until the outcome is in the log. */
  async function hangUp(outcome: string): Promise<void> {
    const before = await logged(outcome);
    process.kill(world.instance.pid(), 'SIGHUP');
    await expect.poll(() => logged(outcome)).toBeGreaterThan(before);
  }

  /** Reloads with these values, of keys with their tables. */
  async function reloaded(values: Readonly<Record<string, unknown>>, outcome = TAKEN): Promise<void> {
    const lines = Object.entries(values).map(([key, value]) => `${key} = ${tomlOf(value)}\n`);
    writeFileSync(dropIn, lines.join(''));
    await hangUp(outcome);
    if (outcome === TAKEN) for (const key of Object.keys(values)) seen.add(key);
  }

  const tomlOf = (value: unknown): string =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? `{ ${Object.entries(value)
          .map(([key, one]) => `${key} = ${tomlOf(one)}`)
          .join(', ')} }`
      : JSON.stringify(value);

  async function condition(type: string): Promise<string> {
    const { status } = await world.client.runtime.status({});
    return status?.conditions.find((one) => one.type === type)?.message ?? '';
  }

  /** A started container of a pod of its own, which is removed with the test. */
  async function started(name: string, change: (config: ReturnType<typeof container>) => void = () => {}) {
    const pod = create(
      PodSandboxConfigSchema,
      sandboxConfig({ name, logDirectory: `${world.logs}/${name}`, hostNetwork: true }),
    );
    const { podSandboxId: sandboxId } = await world.client.runtime.runPodSandbox({ config: pod });
    onTestFinished(() => removePod(world, sandboxId));
    const config = container(await world.pull());
    change(config);
    const { containerId } = await world.client.runtime.createContainer({
      podSandboxId: sandboxId,
      config,
      sandboxConfig: pod,
    });
    await world.client.runtime.startContainer({ containerId });
    const output = async (...cmd: readonly string[]): Promise<string> => {
      const { stdout } = await world.client.runtime.execSync({ containerId, cmd: [...cmd], timeout: 60n });
      return Buffer.from(stdout).toString();
    };
    return { containerId, output };
  }

  const container = (image: string) =>
    create(
      ContainerConfigSchema,
      containerConfig({ name: 'main', image, command: ['sleep', '3600'], hostNetwork: true }),
    );

  it('log.level, log.format: the next lines', async () => {
    await reloaded({ 'log.format': 'text', 'log.level': 'trace' });
    await world.client.runtime.version({});
    const lastLine = async (): Promise<string> =>
      (await world.instance.log()).trimEnd().split('\n').at(-1) ?? '';
    await expect.poll(lastLine).toMatch(/^\d\d:\d\d:\d\d\.\d{3} trace .*Version/u);
    await reloaded({ 'log.format': 'json', 'log.level': 'info' });
    expect(await lastLine()).toMatch(/^\{"level":"info"/u);
  });

  it('runtime.rlimits, runtime.log_size_max, runtime.device_ownership…: the next container', async () => {
    const device = { containerPath: '/dev/mine', hostPath: '/dev/null', permissions: 'rwm' };
    const asUser = (config: ReturnType<typeof container>): void => {
      config.devices.push({ $typeName: 'runtime.v1.Device', ...device });
      const security = config.linux?.securityContext;
      if (security !== undefined) {
        security.runAsUser = { $typeName: 'runtime.v1.Int64Value', value: 1234n };
        security.runAsGroup = { $typeName: 'runtime.v1.Int64Value', value: 5678n };
      }
    };
    const facts = async (name: string) => {
      const { containerId, output } = await started(name, asUser);
      const commands = processesIn(containerId).map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
      const monitors = readdirSync('/proc')
        .filter((pid) => /^\d+$/u.test(pid))
        .map((pid) => (existsSync(`/proc/${pid}/cmdline`) ? cmdlineOf(pid) : ''))
        .filter((line) => line.includes(`\0${containerId}\0`) && line.includes('conmon'));
      expect(commands.length).toBeGreaterThan(0);
      expect(monitors).toHaveLength(1);
      return {
        // the hard one: an exec of runc 1.1 may get it as its soft one, too (Go raises that limit for itself)
        nofile: /^Max open files +\d+ +(\d+)/mu.exec(await output('cat', '/proc/self/limits'))?.[1],
        logSize: /--log-size-max\0(\d+)/u.exec(monitors[0] ?? '')?.[1],
        owner: (await output('ls', '-ln', '/dev/mine')).split(/ +/u).slice(2, 4).join(':'),
      };
    };
    const before = await facts('before');
    expect(before).toMatchObject({ logSize: undefined, owner: '0:0' });
    await reloaded({
      'runtime.rlimits': { nofile: { soft: 321, hard: 654 } },
      'runtime.log_size_max': 9000,
      'runtime.device_ownership_from_security_context': true,
    });
    const after = await facts('after');
    expect(after).toEqual({ nofile: '654', logSize: '9000', owner: '1234:5678' });
  });

  it('storage.overlay_volatile: the root of the next container', async () => {
    const isVolatile = async (name: string): Promise<boolean> => {
      const { containerId } = await started(name);
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
      const root = mounts.find((line) => line.includes(`/${containerId}/rootfs `)) ?? 'not mounted';
      expect(root).toContain(' - overlay ');
      return /[,=]volatile(?:,|$)/u.test(root);
    };
    expect(await isVolatile('nosync')).toBe(true);
    await reloaded({ 'storage.overlay_volatile': false });
    expect(await isVolatile('sync')).toBe(false);
  });

  it('runtime.cdi_dirs, runtime.hooks_dirs: the next container', async () => {
    const [cdi, hooks] = [inDirectory('cdi.d'), inDirectory('hooks.d')];
    for (const directory of [cdi, hooks]) mkdirSync(directory);
    writeFileSync(
      join(cdi, 'v.json'),
      '{"cdiVersion":"0.6.0","kind":"v.example/c","devices":[{"name":"d","containerEdits":{"env":["FROM_CDI=b"]}}]}',
    );
    const withDevice = (config: ReturnType<typeof container>): void => {
      config.CDIDevices.push({ $typeName: 'runtime.v1.CDIDevice', name: 'v.example/c=d' });
    };
    await expect(started('nocdi', withDevice)).rejects.toThrow('use CDI device v.example/c=d');
    await reloaded({ 'runtime.cdi_dirs': [cdi] });
    expect(await (await started('cdi', withDevice)).output('env')).toContain('FROM_CDI=b');
    writeFileSync(join(hooks, '10-bad.json'), '{');
    await reloaded({ 'runtime.hooks_dirs': [hooks] });
    await expect(started('hooks')).rejects.toThrow(`${hooks}/10-bad.json`);
  });

  it('network.fallback: whether troupe’s own network is used without a CNI configuration', async () => {
    expect(await condition('NetworkReady')).toBe('');
    await reloaded({ 'network.fallback': 'none' });
    await expect.poll(() => condition('NetworkReady')).toMatch(/^no CNI configuration in /u);
    rmSync(dropIn);
    await hangUp(TAKEN);
    await expect.poll(() => condition('NetworkReady')).toBe('');
  });

  it('network.config_dir, network.plugin_dirs, network.name: the network of the next pods', async () => {
    expect(await condition('NetworkReady')).toBe('');
    const directory = inDirectory('other-net.d');
    mkdirSync(directory);
    writeFileSync(
      join(directory, '10-other.conflist'),
      JSON.stringify({ cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'none-such' }] }),
    );
    await reloaded({ 'network.config_dir': directory, 'network.plugin_dirs': ['/nowhere'] });
    await expect.poll(() => condition('NetworkReady')).toBe('network other: no plugin none-such in /nowhere');
    await reloaded({ 'network.config_dir': directory, 'network.name': 'third' });
    await expect.poll(() => condition('NetworkReady')).toBe(`no network third in ${directory}`);
    // again as in the file
    rmSync(dropIn);
    await hangUp(TAKEN);
    await expect.poll(() => condition('NetworkReady')).toBe('');
  });

  it('streaming.tls_cert, tls_key, tls_client_ca, allowed_hosts: the next connection', async () => {
    const { containerId } = await started('streams');
    const url = async (): Promise<string> =>
      (await world.client.runtime.exec({ containerId, cmd: ['true'], stdout: true })).url;
    const statusWith = async (host: string): Promise<number> => {
      const { port } = new URL(await url());
      return new Promise((resolve, reject) => {
        get({ host: '127.0.0.1', port, path: '/', headers: { host } }, (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        }).on('error', reject);
      });
    };
    const plain = new URL(await url());
    expect([plain.protocol, await statusWith('node.example')]).toEqual(['http:', 403]);
    await reloaded({ 'streaming.allowed_hosts': ['node.example'] });
    expect(await statusWith('node.example')).toBe(404);
    const [cert, key, ca] = ['cert.pem', 'key.pem', 'ca.pem'].map((name) => inDirectory(name));
    await reloaded({ 'streaming.tls_cert': cert, 'streaming.tls_key': key }, REFUSED);
    expect(await condition('ConfigurationReloaded')).toContain(cert);
    expect([await url(), await statusWith('node.example')]).toEqual([expect.stringMatching(/^http:/u), 404]);
    const pems = selfSigned(['IP:127.0.0.1']);
    for (const [path = '', text] of [
      [cert, pems.cert],
      [key, pems.key],
      [ca, pems.cert],
    ])
      writeFileSync(path, text ?? '');
    await reloaded({
      'streaming.tls_cert': cert,
      'streaming.tls_key': key,
      'streaming.tls_client_ca': ca,
    });
    const secure = new URL(await url());
    expect([secure.protocol, secure.port]).toEqual(['https:', plain.port]);
    await expect(fetch(secure.origin)).rejects.toThrow('fetch failed');
  });

  it('images.pinned: ListImages and ImageStatus at once', async () => {
    await world.pull();
    const pinned = async (): Promise<readonly (boolean | undefined)[]> => {
      const { images } = await world.client.image.listImages({});
      const { image } = await world.client.image.imageStatus({ image: { image: world.imageName } });
      return [...images.map((one) => one.pinned), image?.pinned];
    };
    expect(await pinned()).toEqual([false, false]);
    await reloaded({ 'images.pinned': ['*busybox*'] });
    expect(await pinned()).toEqual([true, true]);
  });

  it('images.signature_policy, signature_policy_dir: the next pull', async () => {
    const reject = '{"default":[{"type":"reject"}]}';
    const [file, directory] = [inDirectory('policy.json'), inDirectory('policies')];
    mkdirSync(directory);
    writeFileSync(file, reject);
    writeFileSync(join(directory, 'strict.json'), reject);
    const pull = (namespace: string): Promise<unknown> =>
      world.client.image.pullImage({
        image: { image: world.imageName },
        sandboxConfig: { metadata: { name: 'a', namespace, uid: 'u', attempt: 0 } },
      });
    await pull('strict');
    await reloaded({ 'images.signature_policy_dir': directory });
    await expect(pull('strict')).rejects.toThrow('SignatureValidationFailed');
    await pull('default');
    await reloaded({ 'images.signature_policy': file });
    await expect(pull('default')).rejects.toThrow('SignatureValidationFailed');
  });

  it('images.registries_conf, registries_conf_dir: the next pull', async () => {
    const [file, directory] = [inDirectory('none.conf'), inDirectory('registries.d')];
    writeFileSync(file, '');
    mkdirSync(directory);
    await reloaded({ 'images.registries_conf': file, 'images.registries_conf_dir': directory });
    await expect(world.pull()).rejects.toThrow();
    writeFileSync(
      join(directory, '10.conf'),
      `[[registry]]\nlocation = "${world.registry}"\ninsecure = true\n`,
    );
    await hangUp(TAKEN);
    await world.pull();
  });

  it('images.http_proxy, https_proxy, no_proxy: the next connection', async () => {
    let asked = 0;
    const proxy = createServer((socket) => {
      asked += 1;
      socket.on('error', () => undefined);
      // without reading, the end of the connection is never seen
      socket.resume();
      socket.end('HTTP/1.1 418 A proxy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => new Promise((resolve) => proxy.close(() => resolve())));
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    // the same registry by an address that is no loopback address, since those are never asked through a proxy
    const host = world.registry.replace('127.0.0.1', '0.0.0.0');
    const file = inDirectory('unspecified.conf');
    writeFileSync(file, `[[registry]]\nlocation = "${host}"\ninsecure = true\n`);
    const conf = { 'images.registries_conf': file };
    const pull = (): Promise<unknown> =>
      world.client.image.pullImage({ image: { image: world.imageName.replace(world.registry, host) } });
    await reloaded({ ...conf, 'images.http_proxy': url, 'images.https_proxy': url });
    await expect(pull()).rejects.toThrow('418');
    expect(asked).toBeGreaterThan(0);
    await reloaded({ ...conf, 'images.http_proxy': url, 'images.no_proxy': '0.0.0.0/8' });
    await pull();
  });

  it('images.auth_files, certs_dirs, registries_d, namespaced_auth_dir: the next pull, and the check of files', async () => {
    const [auth, certs, lookaside, namespaced] = ['auth.json', 'certs.d', 'lookaside.d', 'namespaced'].map(
      (name) => inDirectory(name),
    ) as [string, string, string, string];
    for (const directory of [join(certs, 'r.example'), lookaside, namespaced])
      mkdirSync(directory, { recursive: true });
    writeFileSync(auth, '{ torn');
    writeFileSync(join(certs, 'r.example/a.cert'), 'without its key');
    writeFileSync(join(lookaside, 'a.yaml'), 'docker: [');
    const credentials = join(namespaced, namespacedFile('team', parseReference(world.imageName)));
    writeFileSync(credentials, '{"auths":{}}');
    await reloaded({
      'images.auth_files': [auth],
      'images.certs_dirs': [certs],
      'images.registries_d': lookaside,
      'images.namespaced_auth_dir': namespaced,
    });
    for (const path of [auth, join(certs, 'r.example'), join(lookaside, 'a.yaml')])
      await expect.poll(() => condition('NodeFilesUsable')).toContain(path);
    await world.client.image.pullImage({
      image: { image: world.imageName },
      sandboxConfig: { metadata: { name: 'a', namespace: 'team', uid: 'u', attempt: 0 } },
    });
    expect(existsSync(credentials)).toBe(false);
  });

  it('that waits for a restart is named by log and status, and only until it is as before', async () => {
    const status = async (): Promise<string> =>
      (await run([join(checkout, 'bin/troupe'), 'status', '--state', world.instance.state])).stdout;
    await reloaded({ 'streaming.port': 1, 'storage.overlay_metacopy': true, 'images.pinned': ['a'] });
    seen.delete('streaming.port');
    seen.delete('storage.overlay_metacopy');
    expect(await world.instance.log()).toContain('changed keys take effect at the next start');
    expect(await status()).toContain(
      'restart     needed by changed keys: streaming.port, storage.overlay_metacopy\n',
    );
    rmSync(dropIn);
    await hangUp(TAKEN);
    expect(await status()).not.toContain('needed by changed keys');
  });

  it('has a test here or is listed with its own', () => {
    const keysOf = (keys: ConfigKeys, path: string): readonly string[] =>
      Object.entries(keys).flatMap(([name, rule]) => {
        if (rule.is === 'table') return keysOf(rule.keys, `${path}${name}.`);
        return rule.reload ? [`${path}${name}`] : [];
      });
    expect([...seen].toSorted()).toEqual(keysOf(schema, '').toSorted());
  });
});

/** A process's arguments; empty when it has ended. */
function cmdlineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
