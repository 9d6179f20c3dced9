import { describe, expect, test } from 'vitest';
import { entryTarget, plainPath } from '../../../../src/oci/layers/unpack-path.ts';

describe('where an entry belongs', () => {
  test.each([
    ['a', { kind: 'entry', parent: '', name: 'a' }],
    ['./a//b/./c/', { kind: 'entry', parent: 'a/b', name: 'c' }],
    ['/etc/passwd', { kind: 'entry', parent: 'etc', name: 'passwd' }],
    ['./', { kind: 'root' }],
    ['/', { kind: 'root' }],
    ['', { kind: 'root' }],
    ['a/.wh.b', { kind: 'whiteout', parent: 'a', name: 'b' }],
    ['.wh.b', { kind: 'whiteout', parent: '', name: 'b' }],
    ['a/.wh..wh..opq', { kind: 'opaque', parent: 'a' }],
    ['.wh..wh..opq', { kind: 'opaque', parent: '' }],
    ['.wh..wh.aufs', { kind: 'ignored' }],
    ['.wh..wh.plnk/123.456', { kind: 'ignored' }],
    ['a.wh.b', { kind: 'entry', parent: '', name: 'a.wh.b' }],
    ['.wh', { kind: 'entry', parent: '', name: '.wh' }],
    ['...', { kind: 'entry', parent: '', name: '...' }],
    ['a\nb\xff', { kind: 'entry', parent: '', name: 'a\nb\xff' }],
  ])('%j', (name, place) => {
    expect(entryTarget(name)).toEqual(place);
  });

  test.each([
    '../x',
    'a/../../x',
    '/..',
    'a/..',
    'a\0b',
    '.wh.',
    'a/.wh..',
    'a/.wh...',
    '.wh.a/b',
    '.wh..wh..opq/x',
    'n'.repeat(256),
    'd/'.repeat(2048).concat('x'),
  ])('S58: %j is refused', (name) => {
    expect(() => entryTarget(name)).toThrow(/read tar/u);
  });

  test('plain paths are unchanged', () => {
    expect(plainPath('a/b')).toBe('a/b');
    expect(plainPath('n'.repeat(255))).toHaveLength(255);
  });
});
