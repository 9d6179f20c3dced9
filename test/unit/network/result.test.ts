import { describe, expect, it } from 'vitest';
import type { CniVersion } from '../../../src/network/conflist.ts';
import type { CniResult } from '../../../src/network/result.ts';
import { parseResult, podIps, resultIn } from '../../../src/network/result.ts';
import { networkLimits } from '../../../src/network/bounds.ts';

const bridge = {
  cniVersion: '1.0.0',
  interfaces: [
    { name: 'br0', mac: '3a:cf:56:97:32:81' },
    { name: 'veth1', mac: '1a:8f:89:85:97:c4' },
    { name: 'eth0', mac: 'e6:c6:de:2f:3a:33', sandbox: '/run/netns/x' },
  ],
  ips: [
    { interface: 2, address: '10.1.0.2/24', gateway: '10.1.0.1' },
    { interface: 2, address: 'fd00::2/64', gateway: 'fd00::1' },
  ],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0', gw: 'fd00::1' }],
  dns: { nameservers: ['10.1.0.1'], search: ['x.y'] },
};

function parse(value: unknown, asked: CniVersion = '1.0.0'): CniResult {
  const parsed = parseResult(JSON.stringify(value), asked);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.result;
}

function reasonOf(value: unknown): string {
  const parsed = parseResult(typeof value === 'string' ? value : JSON.stringify(value), '1.0.0');
  if (!parsed.ok) return parsed.reason;
  const ips = podIps(parsed.result, 'eth0');
  return ips.ok ? `good: ${ips.ips.join(' ')}` : ips.reason;
}

describe('results of ADD', () => {
  it('gives the pod its addresses in the order of the result', () => {
    expect(podIps(parse(bridge), 'eth0')).toEqual({ ok: true, ips: ['10.1.0.2', 'fd00::2'] });
    const six = { ...bridge, ips: bridge.ips.toReversed() };
    expect(podIps(parse(six), 'eth0')).toEqual({ ok: true, ips: ['fd00::2', '10.1.0.2'] });
  });

  it('counts addresses without an index, and none of the host or of another interface', () => {
    const interfaces = [...bridge.interfaces, { name: 'net1', sandbox: '/run/netns/x' }];
    const ips = [
      { address: '10.1.0.1/24', interface: 0 },
      { address: '10.9.0.9/24', interface: 3 },
      { address: '10.1.0.7/24' },
    ];
    expect(podIps(parse({ ...bridge, interfaces, ips }), 'eth0')).toEqual({ ok: true, ips: ['10.1.0.7'] });
  });

  it('writes IPv6 addresses as RFC 5952 has it, in whatever form a plugin prints them', () => {
    const ips = ['FD00:0:0:0:0:0:0:5/64', 'fd00::0006/64', '10.1.0.2/24'].map((address) => ({
      address,
      interface: 2,
    }));
    expect(podIps(parse({ ...bridge, ips }), 'eth0')).toEqual({
      ok: true,
      ips: ['fd00::5', 'fd00::6', '10.1.0.2'],
    });
  });

  it('takes addresses of class E, which clouds give to pods (kubernetes/kubernetes#110456)', () => {
    expect(reasonOf({ ...bridge, ips: [{ address: '240.10.0.2/16', interface: 2 }] })).toBe(
      'good: 240.10.0.2',
    );
  });

  it('uses the name alone where no interface has a sandbox; the host’s end is not the pod’s', () => {
    const interfaces = [{ name: 'azv1' }, { name: 'eth0' }];
    const addressOf = (index: number) => ({
      ...bridge,
      interfaces,
      ips: [{ address: '10.240.0.8/16', interface: index }],
    });
    expect(reasonOf(addressOf(1))).toBe('good: 10.240.0.8');
    expect(reasonOf(addressOf(0))).toBe('no address for eth0');
    // with a sandbox named, the host's interface of the same name is another one
    const both = {
      ...bridge,
      interfaces: [{ name: 'eth0' }, { name: 'eth0', sandbox: '/run/netns/x' }],
      ips: [
        { address: '192.168.1.4/24', interface: 0 },
        { address: '10.1.0.2/24', interface: 1 },
      ],
    };
    expect(reasonOf(both)).toBe('good: 10.1.0.2');
  });

  it.each(['0.3.0', '0.3.1', '0.4.0'])('reads the form of %s', (cniVersion) => {
    const old = { ...bridge, cniVersion, ips: [{ ...bridge.ips[0], version: '4' }] };
    expect(podIps(parse(old), 'eth0')).toEqual({ ok: true, ips: ['10.1.0.2'] });
    expect(reasonOf({ ...old, ips: [{ ...bridge.ips[0], version: '6' }] })).toContain('version');
  });

  it('reads the form of 0.1.0 and 0.2.0', () => {
    const old = {
      cniVersion: '0.2.0',
      ip4: { ip: '10.1.0.2/24', gateway: '10.1.0.1', routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }] },
      ip6: { ip: 'fd00::2/64' },
    };
    const result = parse(old);
    expect(podIps(result, 'eth0')).toEqual({ ok: true, ips: ['10.1.0.2', 'fd00::2'] });
    expect(resultIn(result, '1.0.0')).toEqual({
      cniVersion: '1.0.0',
      interfaces: [],
      ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }, { address: 'fd00::2/64' }],
      routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }],
      dns: {},
    });
    expect(reasonOf({ cniVersion: '0.2.0', ip4: { ip: 'fd00::2/64' } })).toContain('wrong address family');
  });

  it('takes the requested version when the result has none', () => {
    const { cniVersion: _, ...bare } = bridge;
    expect(parse(bare, '0.4.0').cniVersion).toBe('0.4.0');
  });

  it('passes on a result unchanged when the version is the same', () => {
    const odd = { ...bridge, vendor: { deep: [1, null] } };
    expect(resultIn(parse(odd), '1.0.0')).toEqual(odd);
  });

  it('converts to older versions and back without losing an address, route or interface', () => {
    const result = parse(
      {
        ...bridge,
        cniVersion: '1.1.0',
        interfaces: bridge.interfaces.map((item) => ({ ...item, mtu: 1500 })),
      },
      '1.1.0',
    );
    for (const version of ['0.3.0', '0.3.1', '0.4.0', '1.0.0'] as const) {
      const there = resultIn(result, version);
      expect(there['ips']).toHaveLength(2);
      expect(JSON.stringify(there)).not.toContain('mtu');
      const back = parse(there, version);
      expect({ ips: back.ips, routes: back.routes, interfaces: back.interfaces, dns: back.dns }).toEqual({
        ips: result.ips,
        routes: result.routes,
        interfaces: result.interfaces,
        dns: result.dns,
      });
    }
    expect(resultIn(result, '0.4.0')['ips']).toMatchObject([{ version: '4' }, { version: '6' }]);
    expect(resultIn(result, '0.2.0')).toEqual({
      cniVersion: '0.2.0',
      ip4: { ip: '10.1.0.2/24', gateway: '10.1.0.1', routes: [{ dst: '0.0.0.0/0' }] },
      ip6: { ip: 'fd00::2/64', gateway: 'fd00::1', routes: [{ dst: '::/0', gw: 'fd00::1' }] },
      dns: { nameservers: ['10.1.0.1'], search: ['x.y'] },
    });
  });

  it.each([
    ['', 'empty'],
    ['{"ips":', 'not a JSON object'],
    ['[]', 'not a JSON object'],
    [{ ...bridge, cniVersion: '7.0.0' }, 'unknown cniVersion'],
    [{ ...bridge, cniVersion: 3 }, 'unknown cniVersion'],
    [{ ...bridge, ips: [] }, 'no address'],
    [{ ...bridge, ips: undefined }, 'no address'],
    [{ ...bridge, ips: 'x' }, 'ips is not a list'],
    [{ ...bridge, ips: [{ address: '10.1.0.2' }] }, 'prefix length'],
    [{ ...bridge, ips: [{ address: '10.1.0.300/24' }] }, 'prefix length'],
    [{ ...bridge, ips: [{ address: '10.1.0.2/33' }] }, 'prefix length'],
    [{ ...bridge, ips: [{ address: 'fe80::1%eth0/64' }] }, 'prefix length'],
    [{ ...bridge, ips: [{ address: 7 }] }, 'is missing'],
    [{ ...bridge, ips: [{ address: '0.0.0.0/0' }] }, 'not a valid address for a pod'],
    [{ ...bridge, ips: [{ address: '127.0.0.1/8' }] }, 'not a valid address for a pod'],
    [{ ...bridge, ips: [{ address: '224.0.0.1/8' }] }, 'not a valid address for a pod'],
    [{ ...bridge, ips: [{ address: '239.1.2.3/8' }] }, 'not a valid address for a pod'],
    [{ ...bridge, ips: [{ address: '255.255.255.255/32' }] }, 'not a valid address for a pod'],
    [{ ...bridge, ips: [{ address: '::1/128' }] }, 'not a valid address for a pod'],
    [{ ...bridge, ips: [{ address: 'ff02::1/128' }] }, 'not a valid address for a pod'],
    [{ ...bridge, ips: [{ address: '10.1.0.2/24', interface: 9 }] }, 'not an index'],
    [{ ...bridge, ips: [{ address: '10.1.0.2/24', interface: -1 }] }, 'not an index'],
    [{ ...bridge, ips: [{ address: '10.1.0.2/24', gateway: 'x' }] }, 'gateway'],
    [
      {
        ...bridge,
        interfaces: [{ name: 'net1', sandbox: '/run/netns/x' }],
        ips: [{ address: '10.1.0.2/24' }],
      },
      'net1, not eth0',
    ],
    [{ ...bridge, interfaces: [{ name: '' }] }, 'name'],
    [{ ...bridge, routes: [{ dst: 'x' }] }, 'dst'],
    [{ ...bridge, dns: { nameservers: [1] } }, 'dns.nameservers'],
    [
      {
        ...bridge,
        ips: Array.from({ length: networkLimits.resultIps + 1 }, () => ({ address: '10.1.0.2/24' })),
      },
      'more than',
    ],
  ])('F54: refuses %.80j', (value, reason) => {
    expect(reasonOf(value)).toContain(reason);
  });
});
