import { describe, expect, test } from 'vitest';
import { isIpAddress } from '../../../../src/cri/validate/address.ts';

describe('isIpAddress', () => {
  test.each([
    '0.0.0.0',
    '10.88.0.5',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    '1::',
    '2001:db8::8:800:200c:417a',
    '1:2:3:4:5:6:7:8',
    '::ffff:10.0.0.1',
    '1:2:3:4:5:6:10.0.0.1',
    'ABCD:ef01::',
    '1:2:3:4:5:6:7::',
  ])('%s is an address', (text) => {
    expect(isIpAddress(text)).toBe(true);
  });

  test.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '1.2.3.4 ',
    '-1.2.3.4',
    '0x1.2.3.4',
    '1.2.3.4/8',
    ':',
    ':::',
    '1:::2',
    '::1::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'g::',
    '[::1]',
    '::1%eth0',
    '10.0.0.1::',
    '::10.0.0.256',
    '1:2:3:4:5:6:7:10.0.0.1',
    '::'.repeat(100_000),
    '1.'.repeat(500_000),
  ])('S63 %# is not an address', (text) => {
    expect(isIpAddress(text)).toBe(false);
  });
});
