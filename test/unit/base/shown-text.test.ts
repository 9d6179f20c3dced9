/** What texts show (S92, S93). */
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { encodePlain } from '../../../src/base/codec.ts';
import { fail, fault, printable, toFault } from '../../../src/base/fault.ts';
import { SecretUrl } from '../../../src/base/secret-url.ts';
import { escaped, escapedLines, withoutCredentials } from '../../../src/base/shown-text.ts';
import { faultBy } from '../../support/fault-of.ts';

describe('a URL with a secret in it', () => {
  const url = new SecretUrl('http://proxy-user:canary%40pw@proxy.example.com:3128/path?key=canary');

  it('S92 never shows the secret, however it is printed', () => {
    const shown = 'http://***@proxy.example.com:3128/path?***';
    expect([String(url), url.toString(), JSON.parse(JSON.stringify(url)), url.shown]).toEqual([
      shown,
      shown,
      shown,
      shown,
    ]);
    for (const text of [
      JSON.stringify({ a: { url } }),
      encodePlain({ a: [url] }),
      inspect({ a: { url } }, { depth: 9, showHidden: true }),
      JSON.stringify({ ...url }),
      JSON.stringify(structuredClone({ ...url })),
    ]) {
      expect(text).toContain(shown);
      expect(text).not.toMatch(/canary|proxy-user/u);
    }
  });

  it('S92 returns the secret to an explicit call', () => {
    expect(url.reveal()).toBe('http://proxy-user:canary%40pw@proxy.example.com:3128/path?key=canary');
  });

  it.each([
    ['http://proxy:3128', 'http://proxy:3128'],
    ['http://token@proxy:3128/', 'http://***@proxy:3128'],
    ['http://:pw@[::1]:8', 'http://***@[::1]:8'],
    // no URL: nobody knows where its password ends
    ['http://user:pa/ss@proxy:3128', '***'],
    ['canary', '***'],
    ['user:canary@proxy:3128', '***'],
    ['http://', '***'],
  ])('S92 %s is shown as %s', (value, shown) => {
    expect(new SecretUrl(value).shown).toBe(shown);
  });
});

describe('a message', () => {
  it.each([
    ['get https://user:canary@host/v2/: refused', 'get https://***@host/v2/: refused'],
    ['get https://canary@host/v2/', 'get https://***@host/v2/'],
    ['http://a:can@ary@host and http://c:canary@d', 'http://***@host and http://***@d'],
    ['went to https://store/blob?X-Signature=canary&a=b: 403', 'went to https://store/blob?*** 403'],
    ['{"url":"https://store/blob?s=canary","a":"b"}', '{"url":"https://store/blob?***","a":"b"}'],
    [
      'mirror user:canary@mirror.example.com is not host[:port]',
      'mirror ***@mirror.example.com is not host[:port]',
    ],
  ])('S92 %s has no credentials of URLs', (text, shown) => {
    expect(withoutCredentials(text)).toBe(shown);
    expect(fault('outside', text, { subject: text })).toMatchObject({
      message: printable(shown),
      subject: shown,
    });
    expect(toFault(new Error(text), 'x').message).toBe(`x: ${shown}`);
    expect(faultBy(() => fail('outside', text)).message).toBe(shown);
  });

  it.each([
    'docker.io/library/busybox:1.36@sha256:00ff',
    'localhost:5000/a/b:tag@sha256:0',
    'exit code 1: what? no',
    'http://host:80/path is not there',
    'unit foo@bar.service',
    'a: b@c',
    '2026-01-01T10:11:12',
    'fe80::1%eth0',
  ])('keeps %s', (text) => {
    expect(withoutCredentials(text)).toBe(text);
  });

  it('S92 S63 is searched in linear time', () => {
    const texts = [
      'a'.repeat(200_000),
      '://'.repeat(60_000),
      `://${'a'.repeat(100_000)}`.repeat(2),
      'a:'.repeat(100_000),
      '@'.repeat(100_000),
      `://x?${'y'.repeat(100_000)}`,
      'a:b@'.repeat(40_000),
    ];
    for (const text of texts) expect(withoutCredentials(`${text} @ :// ?`).length).toBeGreaterThan(5);
  });

  it('S93 keeps no character that reverses text or controls a terminal', () => {
    expect(printable('a\u001b[31mb\u009b\u202ec\u2066\u2028d\u200fe\u061cf\u0000')).toBe('a [31mb c d e f');
  });
});

describe('an escaped text', () => {
  it('S93 is the same string where it is JSON', () => {
    const evil = Array.from({ length: 0x2100 }, (_none, code) => String.fromCharCode(code)).join('');
    const text = escaped(JSON.stringify({ [evil]: evil }));
    expect(JSON.parse(text)).toEqual({ [evil]: evil });
    expect(text).not.toMatch(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u);
  });

  it('S93 keeps ordinary text', () => {
    for (const text of ['größe', 'שלום', 'مرحبا', '日本語', '👩‍🚀', 'a – b … c'])
      expect(escaped(text)).toBe(text);
    expect(escapedLines('a\nb\r\n')).toBe('a\nb\\u000d\n');
  });
});
