import { describe, expect, test } from 'vitest';
import { unpackLimits } from '../../../../src/oci/bounds.ts';
import { archive, entry, paxBody, paxEntry } from './tar-builder.ts';
import { read, refusal, textOf } from './read-archive.ts';

describe('tar headers', () => {
  test('a file is read in pieces of any size', () => {
    const bytes = archive(
      entry({ name: 'a/b', mode: 0o4755, uid: 7, gid: 8, body: 'x'.repeat(700) }),
      entry({ name: 'c', body: 'end' }),
    );
    for (const step of [1, 7, 512, 513, 4096]) {
      const seen = read(bytes, step);
      expect(seen.map((it) => it.entry.name)).toEqual(['a/b', 'c']);
      expect(seen[0]?.entry).toMatchObject({
        type: 'file',
        mode: 0o4755,
        uid: 7,
        gid: 8,
        size: 700,
        mtimeNs: 1_700_000_000_000_000_000n,
      });
      expect(textOf(seen[0])).toBe('x'.repeat(700));
      expect(textOf(seen[1])).toBe('end');
      expect(seen.every((it) => it.finished)).toBe(true);
    }
  });

  test('the types are read, and a directory from before types', () => {
    const seen = read(
      archive(
        entry({ name: 'l', flag: '1', linkName: 't', size: 99 }),
        entry({ name: 's', flag: '2', linkName: '/t' }),
        entry({ name: 'c', flag: '3', major: 1, minor: 3 }),
        entry({ name: 'b', flag: '4', major: 8, minor: 300 }),
        entry({ name: 'd', flag: '5' }),
        entry({ name: 'f', flag: '6' }),
        entry({ name: 'old/', flag: '\0' }),
        entry({ name: 'contiguous', flag: '7', body: 'x' }),
      ),
    );
    expect(seen.map((it) => it.entry.type)).toEqual([
      'hardLink',
      'symlink',
      'character',
      'block',
      'directory',
      'fifo',
      'directory',
      'file',
    ]);
    expect(seen[3]?.entry).toMatchObject({ deviceMajor: 8, deviceMinor: 300 });
    // a link's size says nothing about bytes in the archive (as in Go's archive/tar)
    expect(seen[0]?.entry.size).toBe(0);
  });

  test('a large uid and a negative time in base 256, and a ustar prefix, are read', () => {
    const seen = read(
      archive(
        entry({
          name: 'n',
          prefix: 'p'.repeat(150),
          patch: (header) => {
            header.writeBigUInt64BE(0x8000_0000_0000_0000n + 4_000_000_000n, 108);
            header.fill(0xff, 136, 148);
            header.writeInt32BE(-86_400, 144);
          },
        }),
      ),
    );
    expect(seen[0]?.entry).toMatchObject({
      uid: 4_000_000_000,
      mtimeNs: -86_400_000_000_000n,
      name: `${'p'.repeat(150)}/n`,
    });
  });

  test('names are kept as bytes', () => {
    expect(read(archive(entry({ name: 'caf\xe9\xff\n' })))[0]?.entry.name).toBe('caf\xe9\xff\n');
  });

  test('GNU long names and links are read', () => {
    const long = 'd/'.repeat(200).concat('x');
    const seen = read(
      archive(
        entry({ name: '././@LongLink', flag: 'L', body: `${long}\0` }),
        entry({ name: '././@LongLink', flag: 'K', body: `${'t'.repeat(300)}\0` }),
        entry({ name: 'cut', flag: '2', linkName: 'cut' }),
      ),
    );
    expect(seen[0]?.entry).toMatchObject({ name: long, linkName: 't'.repeat(300) });
  });
});

describe('PAX', () => {
  test('S58: the PAX path overrides ustar, the last record of a key counts, an empty one unsets it', () => {
    const seen = read(
      archive(
        paxEntry(
          [
            ['path', 'one'],
            ['path', 'two'],
            ['uid', '5'],
            ['uid', ''],
          ],
          { name: 'ustar', uid: 9 },
        ),
        entry({ name: 'plain' }),
      ),
    );
    expect(seen.map((it) => [it.entry.name, it.entry.uid])).toEqual([
      ['two', 9],
      ['plain', 0],
    ]);
  });

  test('times to the nanosecond, sizes, and binary and empty xattrs are read', () => {
    const value = Buffer.from([0, 255, 10, 61, 32]);
    const seen = read(
      archive(
        paxEntry(
          { mtime: '-1.5', size: '3', 'SCHILY.xattr.security.capability': value, 'SCHILY.xattr.user.e': '' },
          { name: 'f', size: 0, body: '' },
        ),
        Buffer.from('abc'.padEnd(512, '\0')),
        paxEntry({ mtime: '1700000000.1234567899' }, { name: 'g' }),
      ),
    );
    expect(seen[0]?.entry.mtimeNs).toBe(-1_500_000_000n);
    expect(textOf(seen[0])).toBe('abc');
    expect(seen[0]?.entry.xattrs).toEqual([
      { name: 'security.capability', value },
      { name: 'user.e', value: Buffer.alloc(0) },
    ]);
    expect(seen[1]?.entry.mtimeNs).toBe(1_700_000_000_123_456_789n);
  });

  test('a global header is skipped', () => {
    const seen = read(
      archive(
        entry({ name: 'g', flag: 'g', body: paxBody({ path: 'evil', comment: 'c' }) }),
        entry({ name: 'f' }),
      ),
    );
    expect(seen.map((it) => it.entry.name)).toEqual(['f']);
  });

  test.each([
    ['no length', 'path=x\n'],
    ['a length of zero', '0 path=x\n'],
    ['a length beyond the header', '99 path=x\n'],
    ['no newline at its end', '9 path=xy'],
    ['no key', '5 =x\n'],
    ['a NUL byte in its key', paxBody({ 'SCHILY.xattr.user.a\0b': 'x' }).toString('latin1')],
    ['a NUL byte in a path', paxBody({ path: 'a\0b' }).toString('latin1')],
    ['a NUL byte in the target of a link', paxBody({ linkpath: 'a\0b' }).toString('latin1')],
    ['a negative size', paxBody({ size: '-1' }).toString('latin1')],
    ['a size beyond 2^53', paxBody({ size: '99999999999999999' }).toString('latin1')],
    ['an invalid time', paxBody({ mtime: '1e9' }).toString('latin1')],
  ])('S58: a record with %s is refused', (_what, body) => {
    expect(refusal(archive(entry({ name: 'x', flag: 'x', body }), entry({ name: 'f' })))).toMatchObject({
      kind: 'outside',
      retryable: false,
    });
  });

  test('S58: a huge PAX header is refused by its size alone', () => {
    expect(refusal(entry({ name: 'x', flag: 'x', size: unpackLimits.metaBytes + 1 })).message).toContain(
      'more than 1048576',
    );
  });
});

describe('invalid archives', () => {
  test('a wrong checksum is refused', () => {
    const bytes = entry({ name: 'f' });
    bytes[0] = 0x67;
    expect(refusal(archive(bytes)).message).toContain('checksum');
  });

  test('S58: a negative size is refused', () => {
    expect(
      refusal(archive(entry({ name: 'f', patch: (header) => header.fill(0xff, 124, 136) }))).message,
    ).toContain('negative size');
  });

  test('an unknown type, a uid that means "no change", and an invalid device are refused', () => {
    expect(refusal(archive(entry({ name: 'f', flag: 'V' }))).message).toContain('unknown type');
    expect(refusal(archive(paxEntry({ uid: '4294967295' }, { name: 'f' }))).message).toContain('uid');
    expect(refusal(archive(entry({ name: 'f', flag: '3', major: 5000 }))).message).toContain('device');
  });

  test('F67: more entries than allowed are refused', () => {
    const fault = refusal(archive(...Array.from({ length: 11 }, (_, at) => entry({ name: `f${at}` }))), 10);
    expect(fault).toMatchObject({ kind: 'exhausted', retryable: false });
    expect(fault.message).toContain('more than 10 entries');
  });

  test('an archive truncated inside an entry is refused', () => {
    const whole = Buffer.concat([paxEntry({ path: 'f' }, { name: 'x', body: 'y'.repeat(600) })]);
    for (const length of [1, 511, 513, 1024, 1025, 1536, 2000])
      expect(refusal(whole.subarray(0, length)).message).toContain('cut short');
    // without the two zero blocks it is whole all the same: the diff-id is the judge
    expect(read(whole)).toHaveLength(1);
    expect(read(Buffer.alloc(0))).toHaveLength(0);
  });

  test('bytes after the end are not read', () => {
    expect(read(Buffer.concat([archive(entry({ name: 'f' })), entry({ name: 'g' })]))).toHaveLength(1);
  });
});
