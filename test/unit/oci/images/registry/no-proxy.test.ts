import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseNoProxy } from '../../../../../src/oci/images/registry/no-proxy.ts';

const direct = (list: string, url: string): boolean => parseNoProxy(list)(new URL(url));

/** A list, hosts that are asked directly, and hosts that are asked through the proxy. */
const TABLE: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['', [], ['https://r.example', 'https://10.1.2.3']],
  ['*', ['https://r.example', 'http://10.1.2.3', 'https://[2001:db8::1]:5000'], []],
  [
    'r.example',
    ['https://r.example', 'http://r.example:5000', 'https://a.b.r.example', 'https://R.Example.'],
    ['https://other-r.example', 'https://example', 'https://r.example.org'],
  ],
  ['R.Example', ['https://r.example'], ['https://s.example']],
  ['.r.example', ['https://a.r.example'], ['https://r.example', 'https://ar.example']],
  ['*.r.example', ['https://a.r.example'], ['https://r.example', 'https://ar.example']],
  [
    'r.example:443',
    ['https://r.example', 'http://r.example:443', 'https://a.r.example'],
    ['http://r.example', 'https://r.example:5000'],
  ],
  ['.r.example:80', ['http://a.r.example'], ['https://a.r.example', 'http://r.example']],
  [
    '192.0.2.7',
    ['https://192.0.2.7', 'http://192.0.2.7:5000'],
    ['https://192.0.2.70', 'https://1.192.0.2.7.example'],
  ],
  ['192.0.2.7:5000', ['https://192.0.2.7:5000'], ['https://192.0.2.7']],
  ['10.0.0.0/8', ['https://10.1.2.3', 'https://10.255.0.1:5000'], ['https://11.0.0.1', 'https://10.example']],
  ['10.9.9.9/8', ['https://10.1.2.3'], ['https://11.0.0.1']],
  ['192.0.2.128/25', ['https://192.0.2.200'], ['https://192.0.2.100']],
  ['0.0.0.0/0', ['https://192.0.2.1'], ['https://r.example', 'https://[2001:db8::1]']],
  ['2001:db8::/32', ['https://[2001:db8:1::2]'], ['https://[2001:db9::1]', 'https://10.0.0.1']],
  ['2001:DB8:0::1', ['https://[2001:db8::1]', 'https://[2001:db8::1]:5000'], ['https://[2001:db8::2]']],
  ['[2001:db8::1]', ['https://[2001:db8::1]:5000'], ['https://[2001:db8::2]']],
  ['[2001:db8::1]:5000', ['https://[2001:db8::1]:5000'], ['https://[2001:db8::1]']],
  ['bücher.example', ['https://bücher.example', 'https://a.xn--bcher-kva.example'], ['https://example']],
  [' a.example , ,b.example', ['https://a.example', 'https://b.example'], ['https://c.example']],
  // what means nothing exempts nothing, and does not hide what follows
  [
    '10.0.0.0/33,:80,.,[,a:b:c,10.0.0.0/x,b.example',
    ['https://b.example'],
    ['https://10.0.0.1', 'http://a.example'],
  ],
];

describe('no_proxy', () => {
  it.each(TABLE)('%s', (list, directly, through) => {
    expect(directly.filter((url) => !direct(list, url))).toEqual([]);
    expect(through.filter((url) => direct(list, url))).toEqual([]);
  });

  it('the machine itself is never asked through a proxy', () => {
    for (const host of [
      'localhost',
      'localhost:5000',
      '127.0.0.1',
      '127.8.9.1:5000',
      '[::1]',
      '[::ffff:127.0.0.1]',
    ])
      expect([host, direct('', `http://${host}`)]).toEqual([host, true]);
  });

  it('the example of docs/configuration.md means what it says', () => {
    const [, list = ''] = /^no_proxy = "(.*)"$/mu.exec(readFileSync('docs/configuration.md', 'utf8')) ?? [];
    expect(list).toBe('registry.example.com,10.0.0.0/8');
    for (const host of ['registry.example.com', 'eu.registry.example.com:5000', '10.20.30.40:5000'])
      expect([host, direct(list, `https://${host}`)]).toEqual([host, true]);
    for (const host of ['example.com', 'docker.io', '192.0.2.1'])
      expect([host, direct(list, `https://${host}`)]).toEqual([host, false]);
  });
});
