// What the driver runs for pods of the default network, and that it makes rules for that network alone.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { networkLimits } from '../../../src/network/bounds.ts';
import { chainForPod, defaultNetwork, masqueradeRules } from '../../../src/network/default-conflist.ts';
import type { NetworkDriver } from '../../../src/network/driver.ts';
import { createNetworkDriver } from '../../../src/network/driver.ts';
import { Masquerade } from '../../../src/network/masquerade.ts';
import { HandClock } from '../../support/hand-clock.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { fakePlugins, result, sandboxId, sandboxInput } from './fake-plugins.ts';

const OWN_NETNS = '/proc/self/ns/net';
const portMappings = [{ protocol: 'tcp' as const, containerPort: 80, hostPort: 8080, hostIp: '' }];

let plugins: FakePlugins;
let driver: NetworkDriver | undefined;
let masquerade: Masquerade;
let clock: HandClock;
let nft: (seen: Seen) => Answer | Promise<Answer>;
afterEach(async () => {
  await driver?.stop();
  plugins.close();
});

const speaks = (seen: Seen): Answer | Promise<Answer> => {
  if (seen.tool === 'nft') return nft(seen);
  if (seen.tool === 'iptables') return { exitCode: 1, stderr: 'No chain' };
  if (seen.command === 'VERSION') return { stdout: '{"supportedVersions":["0.4.0","1.0.0"]}' };
  if (seen.command !== 'ADD') return {};
  const ips = [{ version: '4', address: '10.62.0.5/16', interface: 0 }];
  return { stdout: result('10.62.0.5', { cniVersion: '0.4.0', ips }) };
};

async function start({ conflist = '', mark = false } = {}): Promise<NetworkDriver> {
  plugins = fakePlugins(speaks);
  plugins.install('bridge', 'portmap', 'nft');
  clock = new HandClock();
  nft = () => ({});
  const confDir = join(plugins.dir, 'net.d');
  const file = join(plugins.dir, 'network.masquerade');
  mkdirSync(confDir);
  if (conflist !== '') writeFileSync(join(confDir, '10.conflist'), conflist);
  if (mark) writeFileSync(file, 'troupe0\n');
  const { runTool, dir } = plugins;
  masquerade = new Masquerade({
    rules: masqueradeRules({}),
    file,
    runTool,
    toolDirs: [dir],
    clock,
    report: () => undefined,
    log: silentLog,
  });
  driver = createNetworkDriver({
    confDir,
    networkName: '',
    pluginDirs: [dir],
    cacheDir: join(dir, 'cache'),
    provenFile: join(dir, 'proven'),
    netnsPath: () => OWN_NETNS,
    fallback: defaultNetwork({ leaseDir: join(dir, 'leases') }),
    masquerade,
    runTool,
    clock,
    log: silentLog,
  });
  await driver.start();
  return driver;
}

function effect(signal = new AbortController().signal) {
  const notes: string[] = [];
  return { signal, timeoutMs: 1000, note: ({ on }: { on: string }) => void notes.push(on), notes };
}

const ran = (): string[] => plugins.order().filter((line) => !line.startsWith('VERSION'));

/** Without the search for left-over rules, which runs where the machine has iptables. */
const chains = (): string[] => ran().filter((line) => line !== 'iptables');

describe('a pod of the default network', () => {
  it('gets the rule before its ADD and runs bridge alone; the next one runs nothing for the rule', async () => {
    const port = await start();
    expect(ran()).toEqual([]);
    const fx = effect();
    await port.add(sandboxInput(sandboxId('a')), fx);
    expect(ran()).toEqual(['nft', 'ADD bridge']);
    expect(fx.notes).toEqual(['masquerade rule', 'CNI ADD bridge']);
    expect(plugins.seen.at(-1)?.stdin['ipMasq']).toBeUndefined();
    await port.add(sandboxInput(sandboxId('b')), effect());
    await port.del(sandboxInput(sandboxId('a')), effect());
    expect(ran()).toEqual(['nft', 'ADD bridge', 'ADD bridge', 'DEL bridge']);
  });

  it('with host ports runs portmap, too, and DEL runs what ADD has run', async () => {
    const port = await start();
    const input = sandboxInput(sandboxId('a'), { portMappings });
    await port.add(input, effect());
    await port.del(sandboxInput(input.id), effect());
    expect(chains()).toEqual(['nft', 'ADD bridge', 'ADD portmap', 'DEL portmap', 'DEL bridge']);
  });

  it('does not wait for a rule any longer than its caller', async () => {
    const port = await start();
    const running = Promise.withResolvers<Answer>();
    nft = () => running.promise;
    const abort = new AbortController();
    const adding = port.add(sandboxInput(sandboxId('a')), effect(abort.signal));
    abort.abort(new Error('the caller is gone'));
    await expect(adding).rejects.toThrow('the caller is gone');
    expect(await port.observe({ ...effect() })).toEqual([]);
    running.resolve({});
  });
});

describe('rules for the default network', () => {
  const bridge = { type: 'bridge', bridge: 'other0', ipMasq: true };

  it('are not made for pods of a configured network, whose chain stays as it is', async () => {
    const plugin = { type: 'portmap', capabilities: { portMappings: true } };
    const port = await start({
      conflist: JSON.stringify({ cniVersion: '1.0.0', name: 'n', plugins: [bridge, plugin] }),
    });
    await port.add(sandboxInput(sandboxId('a')), effect());
    await port.del(sandboxInput(sandboxId('a')), effect());
    expect(chains()).toEqual(['ADD bridge', 'ADD portmap', 'DEL portmap', 'DEL bridge']);
  });

  it('are made again by the next boot of the daemon, also beside a network that was configured later', async () => {
    await start({
      mark: true,
      conflist: JSON.stringify({ cniVersion: '1.0.0', name: 'n', plugins: [bridge] }),
    });
    await masquerade.ensure();
    expect(ran()).toEqual(['nft']);
  });

  it('are checked with the scans of the configuration', async () => {
    const port = await start();
    await port.add(sandboxInput(sandboxId('a')), effect());
    plugins.seen.length = 0;
    nft = ({ argv }) => (argv[1] === 'list' ? { exitCode: 1, stderr: 'No such file or directory' } : {});
    clock.nowMs += networkLimits.masqueradeCheckMs;
    clock.fire(networkLimits.rescanMs);
    await expect.poll(ran).toEqual(['nft', 'nft']);
    expect(plugins.seen[1]?.stdinText).toContain('table ip troupe-masquerade-troupe0 {');
  });
});

describe('the chain for one pod', () => {
  const own = defaultNetwork({ leaseDir: '/leases' });
  const typesFor = (values: Record<string, object>): string[] =>
    chainForPod(own, values as never).plugins.map(({ type }) => type);

  it('is without plugins that would get no value of their capabilities', () => {
    expect(typesFor({})).toEqual(['bridge']);
    expect(typesFor({ bandwidth: {} })).toEqual(['bridge']);
    expect(typesFor({ portMappings: [] })).toEqual(['bridge', 'portmap']);
  });
});

it('is left without a fallback: the start names the key, and a pod with a damaged record can be removed', async () => {
  plugins = fakePlugins(speaks);
  plugins.install('bridge', 'portmap');
  const { dir } = plugins;
  for (const name of ['net.d', 'cache', 'leases/troupe0']) mkdirSync(join(dir, name), { recursive: true });
  const [a, b] = [sandboxInput(sandboxId('a')), sandboxInput(sandboxId('b'))];
  writeFileSync(join(dir, 'cache', `${a.id}.json`), '{"torn');
  writeFileSync(join(dir, 'leases/troupe0/10.62.0.2'), `${a.id}\neth0`);
  const warned: string[] = [];
  const left = createNetworkDriver({
    ...{ confDir: join(dir, 'net.d'), networkName: '', pluginDirs: [dir], cacheDir: join(dir, 'cache') },
    ...{ provenFile: join(dir, 'proven'), netnsPath: () => OWN_NETNS, leaseDir: join(dir, 'leases') },
    own: defaultNetwork({ leaseDir: join(dir, 'leases') }),
    ...{ runTool: plugins.runTool, clock: new HandClock() },
    log: { ...silentLog, warn: (_fields: object, message: string) => void warned.push(message) },
  });
  driver = left;
  await left.start();
  expect(warned.filter((line) => line.includes('network.fallback = "bridge"'))).toContain(
    'pods have addresses of the own network, but new pods get none: set network.fallback = "bridge", or install a network',
  );
  const fx = { signal: new AbortController().signal, timeoutMs: 1000, note: () => undefined };
  await left.del(a, fx);
  expect(plugins.order()).toContain('DEL bridge');
  expect(await left.observe(fx)).toEqual([]);
  await expect(left.add(b, fx)).rejects.toThrow('no CNI configuration in');
});
