// The node's pod CIDR becomes the subnet of troupe's own network while no pod has an address, and stays it.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { defaultNetwork, masqueradeRules } from '../../../src/network/default-conflist.ts';
import { networkLimits } from '../../../src/network/bounds.ts';
import type { NetworkDriver } from '../../../src/network/driver.ts';
import { createNetworkDriver } from '../../../src/network/driver.ts';
import type { PodCidrOptions } from '../../../src/network/pod-cidr.ts';
import { PodCidr, subnetInUse } from '../../../src/network/pod-cidr.ts';
import { NetworkWatch } from '../../../src/network/watch.ts';
import type { NetworkChoice } from '../../../src/network/watch.ts';
import { faultOf } from '../../support/fault-of.ts';
import { HandClock } from '../../support/hand-clock.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { fakePlugins, result, sandboxId, sandboxInput } from './fake-plugins.ts';

const CONFIGURED = '10.62.0.0/16';
const CIDR = '10.244.3.0/24';

describe('the pod CIDR', () => {
  let directory: string;
  let file: string;
  let used: string[];
  let isUnused: boolean;
  let failure: Error | undefined;
  let fitted: string[];
  let logged: string[];
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-cidr-'));
    file = join(directory, 'cidr');
    used = [];
    isUnused = true;
    failure = undefined;
    fitted = [];
    logged = [];
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const log = {
    ...silentLog,
    warn: (fields: Record<string, unknown>, message: string) =>
      void logged.push(`${message}: ${String(fields['reason'])}`),
  };
  const make = (change: Partial<PodCidrOptions> = {}): PodCidr =>
    new PodCidr({
      file,
      log,
      isOn: () => true,
      isUnused: async () => isUnused,
      fit: async (subnet) => {
        if (failure !== undefined) throw failure;
        fitted.push(subnet);
      },
      use: async (subnet) => void used.push(subnet),
      ...change,
    });

  it('F21 is kept for the next boot once the disk has space again, and a full one is logged once', async () => {
    const cidr = make();
    await cidr.start();
    // stands in the file's way, as a full disk would
    mkdirSync(`${file}.new`);
    await cidr.want(CIDR);
    await cidr.check();
    expect([used, await subnetInUse(file, CONFIGURED)]).toEqual([[CIDR], CONFIGURED]);
    expect(logged).toEqual([expect.stringContaining('could not store')]);
    rmSync(`${file}.new`, { recursive: true });
    await cidr.check();
    expect(await subnetInUse(file, CONFIGURED)).toBe(CIDR);
  });

  it('is used at once without pods, once, and kept for the next boot', async () => {
    const cidr = make();
    await cidr.start();
    expect(await subnetInUse(file, CONFIGURED)).toBe(CONFIGURED);
    await cidr.want(CIDR);
    await cidr.want(` ${CIDR}`);
    await cidr.check();
    expect([used, await subnetInUse(file, CONFIGURED)]).toEqual([[CIDR], CIDR]);
    const next = make();
    await next.start();
    await next.want(CIDR);
    expect(used).toEqual([CIDR]);
  });

  it('waits while pods have addresses, also over a boot, and for a bridge that can not be deleted', async () => {
    isUnused = false;
    await make().want(CIDR);
    expect([used, await subnetInUse(file, CONFIGURED)]).toEqual([[], CONFIGURED]);
    const next = make();
    await next.start();
    await next.check();
    isUnused = true;
    failure = new Error('no ip');
    await next.check();
    expect([used, await subnetInUse(file, CONFIGURED)]).toEqual([[], CONFIGURED]);
    failure = undefined;
    await next.check();
    expect([used, await subnetInUse(file, CONFIGURED)]).toEqual([[CIDR], CIDR]);
  });

  it('fits the bridge once at the start, when no pod has an address, and says once why not', async () => {
    const cidr = make();
    await cidr.start();
    isUnused = false;
    await cidr.check();
    expect([fitted, logged]).toEqual([[], []]);
    isUnused = true;
    failure = new Error('it has 192.0.2.1/24');
    for (let scans = 0; scans < 2; scans += 1) await cidr.check();
    expect(logged).toEqual(['bridge does not fit own network: it has 192.0.2.1/24']);
    failure = undefined;
    for (let scans = 0; scans < 2; scans += 1) await cidr.check();
    expect([fitted, used]).toEqual([[''], []]);
    await cidr.want(CIDR);
    expect([fitted, used]).toEqual([['', CIDR], [CIDR]]);
    const next = make();
    await next.start();
    await next.check();
    expect(fitted).toEqual(['', CIDR, CIDR]);
  });

  it('keeps the subnet in use where a CIDR is named before the start has read it', async () => {
    writeFileSync(file, `${CIDR}\n${CIDR}\n`);
    isUnused = false;
    const cidr = make();
    await Promise.all([cidr.want('10.244.4.0/24'), cidr.want('10.244.5.0/24'), cidr.start()]);
    expect(readFileSync(file, 'utf8')).toBe(`${CIDR}\n10.244.5.0/24\n`);
    expect(logged.filter((line) => line.startsWith('could not'))).toEqual([]);
  });

  it('is replaced at once by one that is named during the change', async () => {
    const held = Promise.withResolvers<void>();
    const cidr = make({
      use: async (subnet) => {
        used.push(subnet);
        await held.promise;
      },
    });
    const first = cidr.want(CIDR);
    await expect.poll(() => used).toEqual([CIDR]);
    const second = cidr.want('10.244.4.0/24');
    await expect.poll(() => readFileSync(file, 'utf8')).toBe('\n10.244.4.0/24\n');
    held.resolve();
    await Promise.all([first, second]);
    expect([used, await subnetInUse(file, CONFIGURED)]).toEqual([[CIDR, '10.244.4.0/24'], '10.244.4.0/24']);
  });

  it('says again why it waits when it was used meanwhile', async () => {
    const cidr = make();
    for (const at of [3, 4]) {
      isUnused = false;
      await cidr.want(`10.244.${at}.0/24`);
      isUnused = true;
      await cidr.check();
    }
    const line = 'pod CIDR of the node is not used yet: pods have addresses of the present one';
    expect(logged).toEqual([line, line]);
  });

  it('is refused where it is not one, and a torn file counts as none', async () => {
    expect(await faultOf(make().want('10.244.3.0'))).toMatchObject({
      kind: 'invalidRequest',
      message: 'use pod CIDR 10.244.3.0: 10.244.3.0 is not an address with a prefix length',
    });
    writeFileSync(file, '10.24');
    expect(await subnetInUse(file, CONFIGURED)).toBe(CONFIGURED);
  });
});

describe('the network port with a pod CIDR', () => {
  let plugins: FakePlugins;
  let driver: NetworkDriver;
  let clock: HandClock;
  let fitted: string[];
  afterEach(async () => {
    await driver.stop();
    plugins.close();
  });

  const speaks = ({ command }: Seen): Answer => {
    if (command === 'VERSION') return { stdout: '{"supportedVersions":["0.4.0"]}' };
    return command === 'ADD' ? { stdout: result('10.244.3.2', { cniVersion: '0.4.0' }) } : {};
  };

  async function start(
    answer: (seen: Seen) => Answer | Promise<Answer> = speaks,
    choice: Partial<NetworkChoice> = {},
  ): Promise<void> {
    plugins = fakePlugins(answer);
    plugins.install('bridge', 'portmap');
    const { dir } = plugins;
    mkdirSync(join(dir, 'net.d'));
    clock = new HandClock();
    fitted = [];
    const leaseDir = join(dir, 'leases');
    driver = createNetworkDriver({
      ...chosen(choice),
      cacheDir: join(dir, 'cache'),
      provenFile: join(dir, 'proven'),
      netnsPath: () => '/proc/self/ns/net',
      fallback: defaultNetwork({ subnet: CONFIGURED, leaseDir }),
      podCidr: {
        file: join(dir, 'cidr'),
        make: (subnet) => ({
          network: defaultNetwork({ subnet, leaseDir }),
          rules: masqueradeRules({ subnet }),
        }),
        fitBridge: async (subnet) => void fitted.push(subnet),
      },
      runTool: plugins.runTool,
      clock,
      log: silentLog,
    });
    await driver.start();
  }

  const chosen = (choice: Partial<NetworkChoice>): NetworkChoice => ({
    confDir: join(plugins.dir, 'net.d'),
    networkName: '',
    pluginDirs: [plugins.dir],
    ...choice,
  });

  const subnets = (): string[] =>
    plugins.seen
      .filter(({ command }) => command === 'ADD')
      .map(({ stdinText }) => /"subnet":\s*"([^"]*)"/u.exec(stdinText)?.[1] ?? '');
  const fx = () => ({ signal: new AbortController().signal, timeoutMs: 1000, note: () => undefined });
  const [a, b] = [sandboxInput(sandboxId('a')), sandboxInput(sandboxId('b'))];

  it('gives pods addresses of it', async () => {
    await start();
    await driver.usePodCidr(CIDR);
    expect(fitted).toEqual(['', CIDR]);
    expect(driver.status()).toMatchObject({ ready: true });
    await driver.add(a, fx());
    expect(subnets()).toEqual([CIDR]);
    expect(readFileSync(join(plugins.dir, 'cidr'), 'utf8')).toBe(`${CIDR}\n${CIDR}\n`);
  });

  it('is kept while the own network is no fallback, and used once a reload makes it one', async () => {
    await start(speaks, { withoutFallback: true });
    expect(driver.status()).toMatchObject({ ready: false });
    // of another network, in which it may be right
    await driver.usePodCidr('10.0.0.0/33');
    await driver.usePodCidr(CIDR);
    expect(fitted).toEqual([]);
    driver.choose(chosen({}));
    await expect.poll(() => fitted).toEqual([CIDR]);
    await expect.poll(() => driver.status().ready).toBe(true);
    await driver.add(a, fx());
    expect(subnets()).toEqual([CIDR]);
    // the pod keeps it
    driver.choose(chosen({ withoutFallback: true }));
    await expect.poll(() => driver.status().ready).toBe(false);
    await expect(driver.add(b, fx())).rejects.toThrow('no CNI configuration');
    await driver.del(a, fx());
    expect(await driver.observe(fx())).toEqual([]);
    driver.choose(chosen({}));
    await expect.poll(() => driver.status().ready).toBe(true);
    await expect(driver.usePodCidr('10.0.0.0/33')).rejects.toThrow('use pod CIDR');
  });

  it('keeps the bridge while a pod has an address or gets one, and changes at the next scan without', async () => {
    const held = Promise.withResolvers<void>();
    let holds = true;
    await start(async (seen) => {
      if (seen.command === 'ADD' && holds) await held.promise;
      return speaks(seen);
    });
    const adding = driver.add(a, fx());
    await expect.poll(subnets).toEqual([CONFIGURED]);
    await driver.usePodCidr(CIDR);
    holds = false;
    held.resolve();
    await adding;
    await driver.usePodCidr(CIDR);
    expect([fitted, subnets()]).toEqual([[''], [CONFIGURED]]);
    await driver.del(a, fx());
    await clock.advance(networkLimits.rescanMs);
    await expect.poll(() => fitted).toEqual(['', CIDR]);
    await driver.add(b, fx());
    expect(subnets()).toEqual([CONFIGURED, CIDR]);
  });
});

it('stays with the change while a scan that has seen the subnet before is under way', async () => {
  const held = Promise.withResolvers<void>();
  const plugins = fakePlugins(async () => {
    await held.promise;
    return { stdout: '{"supportedVersions":["0.4.0"]}' };
  });
  plugins.install('bridge', 'portmap');
  const { dir, runTool, seen } = plugins;
  const confDir = join(dir, 'net.d');
  mkdirSync(confDir);
  const watch = new NetworkWatch({
    ...{ confDir, networkName: '', pluginDirs: [dir], provenFile: join(dir, 'proven') },
    ...{ clock: new HandClock(), runTool, log: silentLog },
    fallback: defaultNetwork({ subnet: CONFIGURED, leaseDir: dir }),
  });
  const scan = watch.start();
  await expect.poll(() => seen.length).toBe(1);
  const network = defaultNetwork({ subnet: CIDR, leaseDir: dir });
  watch.replaceFallback(network);
  held.resolve();
  await scan;
  expect(watch.state()).toMatchObject({ ready: true });
  expect(watch.state().network).toBe(network);
  await watch.stop();
  plugins.close();
});
