// The bridge of troupe's own network with the real plugins, when the subnet is another one than before.
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultNetwork, masqueradeRules } from '../../../src/network/default-conflist.ts';
import type { NetworkDriver } from '../../../src/network/driver.ts';
import { fitBridge, isBridgeFree, removeBridge } from '../../../src/network/own-bridge.ts';
import { faultOf } from '../../support/fault-of.ts';
import { unless } from '../../support/skips/unless.ts';
import { sandboxInput } from '../../unit/network/fake-plugins.ts';
import { BenchNet, effect, whyNot } from './bench-net.ts';

const why = whyNot();
if (why !== '') console.log(`skipped: test/integration/network/own-bridge.test.ts ${why}`);

const CONFIGURED = '10.231.46.0/24';
const CIDR = '10.231.47.0/24';

unless(describe, why)('the bridge of the own network', () => {
  let net: BenchNet;
  beforeEach(() => {
    net = new BenchNet();
  });
  afterEach(() => net.close());

  const start = async (configured: string, file = 'cidr'): Promise<NetworkDriver> => {
    const { bridge, leaseDir, root } = net;
    const driver = await net.driver({
      fallback: defaultNetwork({ bridge, leaseDir, subnet: configured }),
      podCidr: {
        file: join(root, file),
        make: (subnet) => ({
          network: defaultNetwork({ bridge, leaseDir, subnet }),
          rules: masqueradeRules({ bridge, subnet }),
        }),
        fitBridge: (subnet) => fitBridge(net, subnet || configured),
      },
    });
    return driver;
  };

  /** The addresses of one pod, which is gone again. */
  async function podIn(driver: NetworkDriver, at: number): Promise<readonly string[]> {
    const input = sandboxInput(net.pod(at));
    const { ips } = await driver.add(input, effect());
    await driver.del(input, effect());
    return ips;
  }

  const addresses = (): string[] =>
    [
      ...net
        .inHost('ip', '-o', 'address', 'show', 'dev', net.bridge, 'scope', 'global')
        .matchAll(/inet6? (\S+)/gu),
    ].map(([, address = '']) => address);
  const links = (): string => net.inHost('ip', '-o', 'link', 'show', 'type', 'bridge');
  const alias = (): void => void net.inHost('ip', 'link', 'set', 'dev', net.bridge, 'alias', 'the same');

  it('stays, and gets the gateway of the pod CIDR in place of the former one', async () => {
    const driver = await start(CONFIGURED);
    expect(await podIn(driver, 1)).toEqual(['10.231.46.2']);
    alias();
    await driver.usePodCidr(CIDR);
    expect(addresses()).toEqual([]);
    expect(await podIn(driver, 2)).toEqual(['10.231.47.2']);
    expect([addresses(), links()]).toEqual([['10.231.47.1/24'], expect.stringContaining('the same')]);
  });

  it('fits the configured subnet again after the state directory was lost', async () => {
    const first = await start(CONFIGURED);
    await first.usePodCidr(CIDR);
    await podIn(first, 1);
    await first.stop();
    const next = await start(CONFIGURED, 'another');
    await expect.poll(addresses).toEqual([]);
    expect(await podIn(next, 2)).toEqual(['10.231.46.2']);
  });

  it('has both families of a subnet, and none of them after a change to another', async () => {
    const driver = await start(`${CONFIGURED},fd62:0:0:46::/64`);
    expect(await podIn(driver, 1)).toEqual(['10.231.46.2', 'fd62:0:0:46::2']);
    await driver.usePodCidr(`${CIDR},fd62:0:0:47::/64`);
    expect(addresses()).toEqual([]);
    expect(await podIn(driver, 2)).toEqual(['10.231.47.2', 'fd62:0:0:47::2']);
    await driver.usePodCidr(CIDR);
    expect(addresses()).toEqual(['10.231.47.1/24']);
  });

  it('is left alone where it has an address or an interface of others', async () => {
    await podIn(await start(CONFIGURED), 1);
    net.inHost('ip', 'address', 'add', '192.0.2.1/24', 'dev', net.bridge);
    const both = addresses();
    const reason = 'it has 192.0.2.1/24, which is not of this network';
    expect((await faultOf(fitBridge(net, CIDR))).message).toContain(reason);
    expect((await faultOf(removeBridge(net))).message).toContain(reason);
    expect([await isBridgeFree(net), addresses()]).toEqual([false, both]);
    net.inHost('ip', 'address', 'delete', '192.0.2.1/24', 'dev', net.bridge);
    net.inHost('ip', 'link', 'add', 'nic0', 'type', 'veth', 'peer', 'name', 'nic1');
    net.inHost('ip', 'link', 'set', 'dev', 'nic0', 'master', net.bridge);
    expect((await faultOf(fitBridge(net, CIDR))).message).toContain('it has interface nic0');
    expect((await faultOf(removeBridge(net))).message).toContain('it has interface nic0');
    expect([await isBridgeFree(net), addresses()]).toEqual([false, ['10.231.46.1/24']]);
    net.inHost('ip', 'link', 'delete', 'nic0');
    expect(await isBridgeFree(net)).toBe(true);
    await removeBridge(net);
    expect([await isBridgeFree(net), links()]).toEqual([false, '']);
  });

  it('is nobody’s where this instance has leased no address around the bridge’s', async () => {
    net.inHost('ip', 'link', 'add', net.bridge, 'type', 'bridge');
    net.inHost('ip', 'address', 'add', '10.231.46.1/24', 'dev', net.bridge);
    expect((await faultOf(fitBridge(net, CIDR))).message).toContain('it has 10.231.46.1/24');
    expect(addresses()).toEqual(['10.231.46.1/24']);
  });
});
