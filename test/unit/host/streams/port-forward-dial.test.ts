/** The socket addresses that connect(2) gets (ip(7), ipv6(7)). */
import { expect, test } from 'vitest';
import { addressV4, addressV6 } from '../../../../src/host/streams/port-forward-dial.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('an IPv4 address is behind family and port', () => {
  expect(hex(addressV4('127.0.0.1', 80))).toBe(`02000050${'7f000001'}${'0'.repeat(16)}`);
  expect(hex(addressV4('10.62.255.3', 65_535))).toBe(`0200ffff${'0a3eff03'}${'0'.repeat(16)}`);
});

test.each([
  ['::1', `${'0'.repeat(31)}1`],
  ['::', '0'.repeat(32)],
  ['fd00:62::a', `fd000062${'0'.repeat(23)}a`],
  ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ['2001:db8::', `20010db8${'0'.repeat(24)}`],
  ['::ffff:10.1.2.3', `${'0'.repeat(20)}ffff0a010203`],
])('the IPv6 address %s has all its 16 bytes', (address, bytes) => {
  expect(hex(addressV6(address, 443))).toBe(`0a0001bb${'0'.repeat(8)}${bytes}${'0'.repeat(8)}`);
});
