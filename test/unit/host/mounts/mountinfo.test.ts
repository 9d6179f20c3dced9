import { expect, test } from 'vitest';
import { findMount, parseMountInfo, readMountInfo } from '../../../../src/host/mounts/mountinfo.ts';

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

test('calls during a read share the next read', async () => {
  const [first, second, third] = [readMountInfo(), readMountInfo(), readMountInfo()];
  expect([first === second, second === third]).toEqual([false, true]);
  const polls = await Promise.all([first, second]);
  const later = readMountInfo();
  expect(later).not.toBe(second);
  for (const mounts of [...polls, await later])
    expect(findMount(mounts, '/proc')).toMatchObject({ fsType: 'proc' });
});
