import { describe, expect, it } from 'vitest';
import {
  formatReference,
  parseHost,
  parseRawReference,
  parseReference,
  withDigest,
} from '../../../../../src/oci/images/model/reference.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const HEX = 'a'.repeat(64);
const normal = (text: string): string => formatReference(parseReference(text));

describe('RPC PullImage and ImageStatus: references are normalised', () => {
  it.each([
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['user/app', 'docker.io/user/app:latest'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['registry-1.docker.io/library/busybox:2', 'docker.io/library/busybox:2'],
    ['DOCKER.io/busybox', 'docker.io/library/busybox:latest'],
    ['localhost/x', 'localhost/x:latest'],
    ['localhost:5000/x/y:t', 'localhost:5000/x/y:t'],
    ['r.example:5000/a/b_c/d-e__f.g', 'r.example:5000/a/b_c/d-e__f.g:latest'],
    ['R.example/a', 'r.example/a:latest'],
    ['[::1]:5000/a:t', '[::1]:5000/a:t'],
    ['[FD00::2]/a', '[fd00::2]/a:latest'],
    [`busybox@sha256:${HEX}`, `docker.io/library/busybox@sha256:${HEX}`],
    ['a--b/c', 'docker.io/a--b/c:latest'],
  ])('%s is %s', (text, wanted) => {
    expect(normal(text)).toBe(wanted);
    expect(normal(wanted)).toBe(wanted);
  });

  it('a digest wins over a tag', () => {
    const reference = parseReference(`r.example/a:1.0@sha256:${HEX}`);
    expect(reference.tag).toBeUndefined();
    expect(formatReference(reference)).toBe(`r.example/a@sha256:${HEX}`);
  });

  it('a reference by tag can be pinned to a digest', () => {
    const digest = parseReference(`a@sha256:${HEX}`).digest;
    expect(digest).toBeDefined();
    if (digest === undefined) return;
    expect(formatReference(withDigest(parseReference('a:1'), digest))).toBe(
      `docker.io/library/a@sha256:${HEX}`,
    );
  });

  it('distinguishes a short name from one with a host', () => {
    expect(parseRawReference('busybox').host).toBeUndefined();
    expect(parseRawReference('user/app').host).toBeUndefined();
    expect(parseRawReference('localhost/app').host).toBe('localhost');
  });
});

describe('S47 malformed references and digests are refused', () => {
  it.each([
    '',
    ' busybox',
    'busybox ',
    'busybox:',
    ':tag',
    'a//b',
    '/a',
    'a/',
    'a/../b',
    '../a',
    'r.example/../../etc',
    'r.example/',
    'r.example//a',
    'A',
    'UPPER/a',
    'r.example/A',
    'a:b:c',
    'a:.tag',
    `a:${'t'.repeat(129)}`,
    'r.example:0/a',
    'r.example:65536/a',
    'r.example:99999999/a',
    'r.example:/a',
    'r.example:5000x/a',
    '-r.example/a',
    'r..example/a',
    // a URL would take these for IPv4 addresses, and the last one for none
    '0x7f.1/a',
    '127.1/a',
    'r.0/a',
    '[::1/a',
    '[::g]/a',
    '[]:5000/a',
    'user@r.example/a',
    'https://r.example/a',
    'a?b',
    'a#b',
    'a%2fb',
    'a\0b',
    'a\nb',
    'é',
    'a__',
    'a._b',
    'a___b',
    HEX,
    `${'a/'.repeat(200)}a`,
    'x'.repeat(256),
    'x'.repeat(1_000_000),
    'a@',
    // an id, not the repository sha256 of Docker Hub
    `sha256:${HEX}`,
    'a@sha256:',
    `a@sha256:${HEX.slice(1)}`,
    `a@sha256:${HEX}a`,
    `a@sha256:${'A'.repeat(64)}`,
    `a@SHA256:${HEX}`,
    `a@sha512:${HEX}${HEX}`,
    `a@${HEX}`,
    'a@sha256:../../x',
    `a@sha256:${HEX}@sha256:${HEX}`,
    `a@sha256:${HEX}\n`,
    `@sha256:${HEX}`,
  ])('%j', (text) => {
    expect(refusalBy(() => parseReference(text))).toMatch(/^invalidRequest: /u);
  });

  it('accepts names and tags at their limits', () => {
    const longest = 'x'.repeat(255 - 'docker.io/library/'.length);
    expect(refusalBy(() => parseReference(longest))).toBe('accepted');
    expect(formatReference(parseReference(formatReference(parseReference(longest))))).toBe(
      `docker.io/library/${longest}:latest`,
    );
    expect(refusalBy(() => parseReference(`a:${'t'.repeat(128)}`))).toBe('accepted');
    expect(refusalBy(() => parseReference('r.example:65535/a'))).toBe('accepted');
  });
});

it('S47 refuses a name that its defaults make too long, since it would not be accepted again', () => {
  expect(refusalBy(() => parseReference('x'.repeat(256 - 'docker.io/library/'.length)))).toMatch(
    /^invalidRequest: .*longer than 255/u,
  );
});

describe('hosts', () => {
  it('have one normal form', () => {
    expect(parseHost('R.Example:5000')).toBe('r.example:5000');
    expect(parseHost('index.docker.io')).toBe('docker.io');
    expect(parseHost('r.example:05000')).toBeUndefined();
    expect(parseHost('r.example/x')).toBeUndefined();
    expect(parseHost('')).toBeUndefined();
  });
});
