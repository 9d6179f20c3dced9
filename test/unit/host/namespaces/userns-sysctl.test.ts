import { describe, expect, test } from 'vitest';
import { sysctlOfMapped } from '../../../../src/host/namespaces/userns-sysctl.ts';

const gids = { containerId: 0, hostId: 140_000, length: 65_536 };
const name = 'net.ipv4.ping_group_range';

describe('sysctls that hold ids', () => {
  test.each<[string, string]>([
    ['0 2147483647', '140000 205535'],
    ['0 0', '140000 140000'],
    ['5\t70000', '140005 205535'],
    ['1 0', '1 0'],
    ['65536 70000', '65536 70000'],
    ['all', 'all'],
  ])('%j is written as %j', (value, written) => {
    expect(sysctlOfMapped({ name, value }, gids)).toEqual({ name, value: written });
    expect(sysctlOfMapped({ name: 'net/ipv4/ping_group_range', value }, gids).value).toBe(written);
  });

  test('all others are left as they are', () => {
    const other = { name: 'net.ipv4.ip_local_port_range', value: '1024 65000' };
    expect(sysctlOfMapped(other, gids)).toBe(other);
  });
});
