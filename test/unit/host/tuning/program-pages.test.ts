import { expect, test } from 'vitest';
import { programParts } from '../../../../src/host/tuning/program-pages.ts';

const entry = (head: string, anonymousKb: number, swappedKb = 0): string =>
  `${head}\nSize:               4 kB\nRss:                4 kB\nAnonymous:      ${anonymousKb} kB\nSwap:      ${swappedKb} kB\nVmFlags: rd mr mw me\n`;

test('only readable or executable pages of the program without later writes can be released', () => {
  const smaps = [
    entry('00400000-00746000 r--p 00000000 fe:00 53 /opt/a b/node', 0),
    entry('0074a000-03044000 r-xp 0034a000 fe:00 53                            /opt/a b/node', 0),
    entry('06b52000-06b56000 r--p 06751000 fe:00 53                            /opt/a b/node', 8),
    entry('06b53000-06b56000 r--p 06752000 fe:00 53                            /opt/a b/node', 0, 8),
    entry('06b56000-06b7d000 rw-p 06755000 fe:00 53                            /opt/a b/node', 0),
    entry('06b7d000-06b8d000 r--s 06755000 fe:00 53                            /opt/a b/node', 0),
    entry('06b8d000-06b9d000 rw-p 00000000 00:00 0', 0),
    entry('06b9d000-06bad000 r--p 00000000 fe:00 54                            /opt/a b/node (deleted)', 0),
    entry('7f4d01e3c000-7f4d01ea2000 r--p 00000000 fe:00 55                    /lib/libc.so.6', 0),
    entry('ffffffffff600000-ffffffffff601000 r-xp 01627000 fe:00 53            /opt/a b/node', 0),
  ].join('');
  expect(programParts(smaps, '/opt/a b/node')).toStrictEqual([
    { begin: 0x400000n, end: 0x746000n },
    { begin: 0x74a000n, end: 0x3044000n },
    { begin: 0xffffffffff600000n, end: 0xffffffffff601000n },
  ]);
  expect(programParts('', '/opt/a b/node')).toStrictEqual([]);
});
