import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import {
  findMount,
  mountInfoParser,
  parseMountInfo,
  readMountInfo,
  visibleMounts,
} from '../../../../src/host/mounts/mountinfo.ts';

const lines = `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
40 36 0:45 / /a\\040b\\011c\\012d\\134e\\043f rw shared:7 master:3 propagate_from:2 - tmpfs no\\040name rw,size=4k
41 36 0:4 net:[4026532256] /run/pins/x rw unbindable - nsfs nsfs rw
42 36 0:46 / /mnt2 ro - overlay - rw,lowerdir=/l/a\\134:b:/l/c
`;

test('a line gives ids, paths, options and peer groups', () => {
  expect(parseMountInfo(lines)[0]).toEqual({
    id: 36,
    parentId: 35,
    device: '98:0',
    root: '/mnt1',
    mountPoint: '/mnt2',
    options: ['rw', 'noatime'],
    masterGroup: 1,
    isUnbindable: false,
    fsType: 'ext3',
    source: '/dev/root',
    superOptions: ['rw', 'errors=continue'],
  });
});

test('octal escapes become their characters', () => {
  const mount = parseMountInfo(lines)[1];
  expect(mount?.mountPoint).toBe('/a b\tc\nd\\e#f');
  expect(mount).toMatchObject({ sharedGroup: 7, masterGroup: 3, source: 'no name' });
});

test('an unbindable mount, a hyphen as source and a backslash in an option are read', () => {
  const [, , pin, overlay] = parseMountInfo(lines);
  expect(pin).toMatchObject({ isUnbindable: true, root: 'net:[4026532256]', fsType: 'nsfs' });
  expect(overlay).toMatchObject({ source: '-', superOptions: ['rw', 'lowerdir=/l/a\\:b:/l/c'] });
});

test('of two mounts on one path the later one is found; a path without a mount is undefined', () => {
  const mounts = parseMountInfo(lines);
  expect(findMount(mounts, '/mnt2')?.id).toBe(42);
  expect(findMount(mounts, '/mnt')).toBeUndefined();
});

test('broken lines are left out', () => {
  expect(parseMountInfo('\n36 35\n36 35 98:0 / / rw master:1\nx\n')).toEqual([]);
});

test('a line that stays gives the same mount; one that has changed is parsed again', () => {
  const parse = mountInfoParser();
  const before = parse(lines);
  const after = parse(lines.replace('41 36', '43 36'));
  expect(after.map((mount, index) => mount === before[index])).toEqual([true, true, false, true]);
  expect(after[2]).toEqual({ ...before[2], id: 43 });
});

test('a mount that propagated below one that was bound on itself is left out; a stack is kept', () => {
  const mounts = parseMountInfo(`1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw
2 1 8:1 /var /var rw shared:1 - ext4 /dev/sda rw
3 2 0:9 / /var/own rw shared:3 - overlay - rw
4 1 0:9 / /var/own rw shared:3 - overlay - rw
5 3 0:10 / /var/own/in rw shared:5 - tmpfs - rw
6 4 0:10 / /var/own/in rw shared:5 - tmpfs - rw
7 1 0:11 / /opt rw - tmpfs - rw
8 7 0:12 / /opt rw - tmpfs - rw
9 4 0:13 / /var/own rw - tmpfs - rw
`);
  expect(visibleMounts(mounts).map(({ id }) => id)).toEqual([1, 2, 3, 5, 7, 8]);
});

test('I23 what stays of a text does not keep the text: memory grows with the mounts, not with reads times mounts', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  const parse = mountInfoParser();
  const line = (id: number): string =>
    `${id} 36 0:45 / /run/pods/${String(id).padStart(32, '0')} rw - tmpfs tmpfs rw`;
  // a pod's mount comes with each read, and stays, among thousands of others
  const others = Array.from({ length: 5000 }, (_none, index) => line(10_000 + index)).join('\n');
  const textOf = (pods: number): string =>
    Buffer.from(
      `${Array.from({ length: pods }, (_none, index) => line(index)).join('\n')}\n${others}\n`,
    ).toString();
  parse(textOf(1));
  collect();
  const before = process.memoryUsage().heapUsed;
  const READS = 60;
  for (let pods = 2; pods < READS; pods += 1) parse(textOf(pods));
  collect();
  const grownBy = process.memoryUsage().heapUsed - before;
  expect(parse(textOf(READS))).toHaveLength(READS + 5000);
  // one text is 400 kB
  expect(grownBy).toBeLessThan(4 * textOf(1).length);
});

test('calls during a read share the next read', async () => {
  const [first, second, third] = [readMountInfo(), readMountInfo(), readMountInfo()];
  expect([first === second, second === third]).toEqual([false, true]);
  const polls = await Promise.all([first, second]);
  const later = readMountInfo();
  expect(later).not.toBe(second);
  for (const mounts of [...polls, await later])
    expect(findMount(mounts, '/proc')).toMatchObject({ fsType: 'proc' });
});
