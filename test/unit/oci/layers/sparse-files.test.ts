// Sparse files of archives: the forms in which their maps are written, and maps that are refused.
import { describe, expect, test } from 'vitest';
import { archive, entry, paxEntry } from './tar-builder.ts';
import { read, refusal } from './read-archive.ts';

describe('sparse files', () => {
  const oldHeader =
    (pieces: readonly (readonly [number, number])[], real: number, more: boolean) => (header: Buffer) => {
      header.write('ustar  \0', 257, 8, 'latin1');
      for (const [at, [offset, length]] of pieces.entries()) {
        header.write(
          `${offset.toString(8).padStart(11, '0')}\0${length.toString(8).padStart(11, '0')}\0`,
          386 + at * 24,
          24,
          'latin1',
        );
      }
      header[482] = more ? 1 : 0;
      header.write(`${real.toString(8).padStart(11, '0')}\0`, 483, 12, 'latin1');
    };

  test('the old GNU form with an extension block is read', () => {
    const extension = Buffer.alloc(512);
    extension.write(
      `${(5000).toString(8).padStart(11, '0')}\0${(2).toString(8).padStart(11, '0')}\0`,
      0,
      24,
      'latin1',
    );
    const header = entry({
      name: 's',
      flag: 'S',
      size: 10,
      patch: oldHeader(
        [
          [0, 4],
          [1000, 4],
          [2000, 0],
          [3000, 0],
        ],
        9000,
        true,
      ),
    });
    const seen = read(archive(header, extension, Buffer.from('aaaabbbbcc'.padEnd(512, '\0'))), 3);
    expect(seen[0]?.entry).toMatchObject({ type: 'file', size: 9000, sparse: true });
    const bytes = new Map(
      (seen[0]?.pieces ?? []).flatMap(({ at, text }) =>
        [...text].map((char, index) => [at + index, char] as const),
      ),
    );
    expect([...bytes]).toEqual([
      ...[0, 1, 2, 3].map((at) => [at, 'a']),
      ...[1000, 1001, 1002, 1003].map((at) => [at, 'b']),
      [5000, 'c'],
      [5001, 'c'],
    ]);
  });

  test.each([
    [
      '0.0',
      [
        ['GNU.sparse.size', '100'],
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.offset', '10'],
        ['GNU.sparse.numbytes', '2'],
        ['GNU.sparse.offset', '50'],
        ['GNU.sparse.numbytes', '1'],
      ],
      '',
    ],
    [
      '0.1',
      [
        ['GNU.sparse.size', '100'],
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.name', 's'],
        ['GNU.sparse.map', '10,2,50,1'],
      ],
      '',
    ],
    [
      '1.0',
      [
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.name', 's'],
        ['GNU.sparse.realsize', '100'],
      ],
      '2\n10\n2\n50\n1\n'.padEnd(512, '\0'),
    ],
  ] as const)('PAX %s is read', (_version, records, map) => {
    const seen = read(archive(paxEntry(records, { name: 's', body: `${map}xyz` }), entry({ name: 'next' })));
    expect(seen[0]?.entry).toMatchObject({ name: 's', size: 100, sparse: true });
    expect(seen[0]?.pieces).toEqual([
      { at: 10, text: 'xy' },
      { at: 50, text: 'z' },
    ]);
    expect(seen[1]?.entry.name).toBe('next');
  });

  test('S14: a 1.0 map with ten million pieces is refused at its first line', () => {
    const map = '10000000\n0\n1\n'.padEnd(1024, '0\n');
    const bytes = paxEntry(
      { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '8' },
      { name: 's', body: map },
    );
    expect(refusal(bytes).message).toContain('more than 65536 pieces');
  });

  test('S14: many sparse files with a few bytes in a million pieces are refused by the sum, since each piece takes a block of the disk', () => {
    const map = `65536\n${'0\n0\n'.repeat(65_536)}`;
    const file = paxEntry(
      { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '8' },
      { name: 's', body: map.padEnd(Math.ceil(map.length / 512) * 512, '\0') },
    );
    expect(refusal(Buffer.concat(Array.from({ length: 17 }, () => file))).message).toContain(
      'the sparse files have more than 1048576 pieces',
    );
  });

  test('S14: an endless old map is refused by its count', () => {
    const extension = Buffer.alloc(512);
    for (let at = 0; at < 21; at += 1)
      extension.write('00000000000\x0000000000000\x00', at * 24, 24, 'latin1');
    extension[504] = 1;
    const header = entry({ name: 's', flag: 'S', size: 0, patch: oldHeader([], 1, true) });
    expect(
      refusal(Buffer.concat([header, ...Array.from({ length: 3200 }, () => extension)])).message,
    ).toContain('more than 65536 pieces');
  });

  test.each([
    ['overlaps', '0,10,5,10', '20'],
    ['runs backwards', '50,1,10,2', '3'],
    ['reaches beyond the file', '99,2', '2'],
    ['holds less than the archive', '0,1', '3'],
    ['holds more than the archive', '0,9', '3'],
    ['has a negative number', '-1,2', '2'],
    ['has an odd count', '1,2,3', '3'],
  ])('S14: a map that %s is refused', (_what, map, size) => {
    const bytes = paxEntry(
      { 'GNU.sparse.map': map, 'GNU.sparse.size': '100', 'GNU.sparse.numblocks': '1' },
      { name: 's', body: 'x'.repeat(Number(size)) },
    );
    expect(refusal(archive(bytes)).kind).toBe('outside');
  });

  test('S59: a file of 8 EiB that is one hole is refused', () => {
    const bytes = paxEntry(
      { 'GNU.sparse.map': '0,0', 'GNU.sparse.size': String(2 ** 53 - 1), 'GNU.sparse.numblocks': '1' },
      { name: 's' },
    );
    expect(refusal(archive(bytes)).kind).toBe('exhausted');
  });
});
