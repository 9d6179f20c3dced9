import { chmod, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { applyFile } from '../../../src/daemon/config/config.ts';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { isToken, parseLoopback, refusal, tokenOf } from '../../../src/introspection/web-guard.ts';
import { accessToken } from '../../../src/introspection/web-token.ts';

describe('S68: the page is for this machine only', () => {
  test.each([
    ['127.0.0.1:9095', { host: '127.0.0.1', port: 9095 }],
    ['127.8.9.1:1', { host: '127.8.9.1', port: 1 }],
    ['[::1]:9095', { host: '::1', port: 9095 }],
    ['localhost:80', { host: '127.0.0.1', port: 80 }],
  ])('%s can be listened on', (text, address) => {
    expect(parseLoopback(text)).toEqual(address);
  });

  test.each([
    '0.0.0.0:9095',
    '[::]:9095',
    '10.0.0.1:9095',
    '127.0.0.1',
    ':9095',
    '127.0.0.1:70000',
    '127.0.0.999:1',
    '127.0.0.1.example.org:80',
    'example.org:80',
    '',
  ])('%s cannot', (text) => {
    expect(parseLoopback(text)).toBeUndefined();
  });

  test('the configuration refuses other addresses with the line', () => {
    expect(() =>
      applyFile(defaultConfig, '[introspection]\nhttp_address = "0.0.0.0:9095"\n', 't.toml'),
    ).toThrow(/t\.toml, line 2: introspection\.http_address: must be a loopback address/u);
    expect(() =>
      applyFile(defaultConfig, '[tracing]\nendpoint = "http://user:secret@127.0.0.1:4318"\n', 't.toml'),
    ).toThrow(/without credentials/u);
    expect(
      applyFile(defaultConfig, '[introspection]\nhttp_address = "127.0.0.1:9095"\n', 't.toml').introspection
        .http_address,
    ).toBe('127.0.0.1:9095');
  });

  test.each(['127.0.0.1:9095', 'localhost:7000', '[::1]:9095', '127.0.0.1'])('Host %s is ours', (host) => {
    expect(refusal({ host })).toBeUndefined();
  });

  test.each([
    'evil.example:9095',
    '127.0.0.1.evil.example',
    'localhost.evil.example:9095',
    '169.254.169.254',
    '',
    '[::2]:9095',
    'x@127.0.0.1',
  ])('Host %s is a page under a name of its own', (host) => {
    expect(refusal({ host })).toContain('Host');
  });

  test('a page of another origin, port or site is refused', () => {
    const host = '127.0.0.1:9095';
    expect(
      refusal({ host, origin: 'http://127.0.0.1:9095', 'sec-fetch-site': 'same-origin' }),
    ).toBeUndefined();
    expect(refusal({ host, 'sec-fetch-site': 'none' })).toBeUndefined();
    for (const origin of [
      'http://127.0.0.1:8000',
      'https://127.0.0.1:9095',
      'http://evil.example',
      'null',
      '',
    ])
      expect(refusal({ host, origin })).toContain('origin');
    for (const site of ['cross-site', 'same-site'])
      expect(refusal({ host, 'sec-fetch-site': site })).toContain('site');
  });
});

describe('the token', () => {
  const token = 'ab'.repeat(32);
  const url = (query: string): URL => new URL(`http://host/metrics${query}`);

  test('comes as a bearer or in the query; the header comes first', () => {
    expect(tokenOf({ authorization: `Bearer ${token}` }, url('?token=other'))).toBe(token);
    expect(tokenOf({}, url(`?token=${token}`))).toBe(token);
    expect(tokenOf({ authorization: `Basic ${token}` }, url(''))).toBe('');
  });

  test('is compared as a whole', () => {
    expect(isToken(token, token)).toBe(true);
    for (const wrong of ['', token.slice(1), `${token}0`, token.toUpperCase(), 'cd'.repeat(32)])
      expect(isToken(wrong, token)).toBe(false);
    // none was made: nothing opens
    expect(isToken('', '')).toBe(false);
  });
});

describe("the token's file", () => {
  let directory = '';
  let made = 0;
  const random = { token: (bytes: number) => (++made).toString(16).padStart(2 * bytes, '0') };
  const uid = process.getuid?.() ?? 0;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'troupe-token-'));
  });
  afterAll(async () => {
    await rm(directory, { recursive: true });
  });

  test('has 256 bits, is for its owner only, and stays the same', async () => {
    const file = join(directory, 'one');
    const token = await accessToken(file, random, uid);
    expect(token).toMatch(/^[0-9a-f]{64}$/u);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, 'utf8')).toBe(`${token}\n`);
    expect(await accessToken(file, random, uid)).toBe(token);
  });

  test('is one for callers at the same time, as the page and the metrics at the first start', async () => {
    const file = join(directory, 'both');
    const tokens = await Promise.all([1, 2, 3].map(() => accessToken(file, random, uid)));
    expect(new Set(tokens).size).toBe(1);
    expect(await readFile(file, 'utf8')).toBe(`${tokens[0]}\n`);
  });

  test('one that others could read or own, that is short, or a link, is replaced', async () => {
    const file = join(directory, 'two');
    const old = 'e'.repeat(64);
    await writeFile(file, old, { mode: 0o600 });
    expect(await accessToken(file, random, uid)).toBe(old);
    expect(await accessToken(file, random, uid + 1)).not.toBe(old);
    await writeFile(file, old);
    await chmod(file, 0o640);
    expect(await accessToken(file, random, uid)).not.toBe(old);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await writeFile(file, 'short');
    expect(await accessToken(file, random, uid)).toMatch(/^[0-9a-f]{64}$/u);
    const other = join(directory, 'other');
    await writeFile(other, old, { mode: 0o600 });
    await rm(file);
    await symlink(other, file);
    expect(await accessToken(file, random, uid)).not.toBe(old);
    expect(await readFile(other, 'utf8')).toBe(old);
  });
});
