import { describe, expect, it } from 'vitest';
import { defaultConflist, defaultNetwork } from '../../../src/network/default-conflist.ts';

interface Ipam {
  readonly ranges: readonly (readonly { readonly subnet: string }[])[];
  readonly routes: readonly { readonly dst: string }[];
}

const ipamOf = (subnet?: string): Ipam => {
  const text = defaultConflist({ leaseDir: '/leases', ...(subnet === undefined ? {} : { subnet }) });
  return (JSON.parse(text) as { plugins: [{ ipam: Ipam }] }).plugins[0].ipam;
};

describe('the default network', () => {
  it.each([
    [undefined, ['10.62.0.0/16'], ['0.0.0.0/0']],
    ['10.1.0.0/24', ['10.1.0.0/24'], ['0.0.0.0/0']],
    ['fd62::/64', ['fd62::/64'], ['::/0']],
    ['10.62.0.0/16,fd62::/64', ['10.62.0.0/16', 'fd62::/64'], ['0.0.0.0/0', '::/0']],
    ['fd62::/64, 10.62.0.0/16', ['fd62::/64', '10.62.0.0/16'], ['::/0', '0.0.0.0/0']],
  ])('with subnets %s gives an address and a route of each family', (subnets, wanted, routes) => {
    const ipam = ipamOf(subnets);
    expect(ipam.ranges.map(([range]) => range?.subnet)).toEqual(wanted);
    expect(ipam.routes.map(({ dst }) => dst)).toEqual(routes);
  });

  it.each([
    ['', 'an empty part is not an address with a prefix length'],
    ['10.62.0.0', '10.62.0.0 is not an address with a prefix length'],
    ['10.62.0.0/16/3', '10.62.0.0/16/3 is not an address with a prefix length'],
    ['fe80::1%eth0/64', 'fe80::1%eth0/64 is not an address with a prefix length'],
    ['10.62.0.0/16,', 'an empty part is not an address with a prefix length'],
    ['10.62.0.0/16,10.63.0.0/16', 'two subnets of one address family'],
    ['10.62.5.1/16', '10.62.5.1/16 has bits of a host: the subnet is 10.62.0.0/16'],
    ['fd62::1/64', 'fd62::1/64 has bits of a host: the subnet is fd62::/64'],
    ['0.0.0.0/0', '0.0.0.0/0 is too large: /8 or longer is needed'],
    ['10.62.0.0/31', '10.62.0.0/31 is too small: /30 or shorter is needed'],
    ['fd62::/127', 'fd62::/127 is too small: /126 or shorter is needed'],
  ])('refuses the subnet "%s"', (subnet, reason) => {
    expect(() => defaultNetwork({ leaseDir: '/leases', subnet })).toThrow(
      `default network: invalid network.default_subnet ${subnet}: ${reason}`,
    );
  });
});
