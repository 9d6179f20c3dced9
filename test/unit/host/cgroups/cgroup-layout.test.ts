import { expect, test } from 'vitest';
import {
  cgroupDirectories,
  cgroupDirectory,
  cgroupLayout,
  checkCgroupPath,
} from '../../../../src/host/cgroups/cgroup-layout.ts';
import { parseOomKills } from '../../../../src/host/cgroups/cgroups.ts';
import { parseMountInfo } from '../../../../src/host/mounts/mountinfo.ts';

const mounts = (...lines: string[]): ReturnType<typeof parseMountInfo> =>
  parseMountInfo(lines.map((line, index) => `${index + 30} 20 0:${index} ${line}`).join('\n'));

const v2 = mounts('/ /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate');
const hybrid = mounts(
  '/ /sys/fs/cgroup ro - tmpfs tmpfs ro',
  '/ /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd',
  '/ /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
  '/ /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory,release_agent=/x',
  '/part /mnt/part rw - cgroup cgroup rw,pids',
  '/ /mnt/again rw - cgroup cgroup rw,memory',
  '/ /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw',
);

test('v2 alone is recognised', () => {
  expect(cgroupLayout(v2, ['cpu', 'memory'])).toEqual({
    version: 2,
    hybrid: false,
    controllers: ['cpu', 'memory'],
    hierarchies: [{ version: 2, mountPoint: '/sys/fs/cgroup', controllers: ['cpu', 'memory'] }],
  });
});

test('hybrid has every hierarchy once, without binds of a part; named hierarchies are no controllers', () => {
  const layout = cgroupLayout(hybrid, ['hugetlb']);
  expect(layout).toMatchObject({ version: 1, hybrid: true, controllers: ['cpu', 'cpuacct', 'memory'] });
  expect(cgroupDirectory(layout, '/a', 'hugetlb')).toBeUndefined();
  expect(cgroupDirectories(layout, '/a/b')).toEqual([
    '/sys/fs/cgroup/systemd/a/b',
    '/sys/fs/cgroup/cpu,cpuacct/a/b',
    '/sys/fs/cgroup/memory/a/b',
    '/sys/fs/cgroup/unified/a/b',
  ]);
  expect(cgroupDirectory(layout, '/a', 'cpuacct')).toBe('/sys/fs/cgroup/cpu,cpuacct/a');
  expect(cgroupDirectory(layout, '/a', 'pids')).toBeUndefined();
});

test('v1 alone, and no cgroup mount, are recognised', () => {
  expect(cgroupLayout(hybrid.slice(0, 4), [])).toMatchObject({ version: 1, hybrid: false });
  expect(() => cgroupLayout([], [])).toThrow(/no cgroup file system/u);
});

test('the root and paths with dots are never taken for ours', () => {
  for (const path of ['/', '', 'a', '/a/', '//a', '/a/../b', '/.', '/a//b'])
    expect(() => checkCgroupPath(path), path).toThrow(/use cgroup/u);
  expect(checkCgroupPath('/a/b..c')).toBe('/a/b..c');
});

test('the counter of OOM kills is read of both versions', () => {
  expect(parseOomKills('oom_kill_disable 0\nunder_oom 0\noom_kill 3\n')).toBe(3);
  expect(parseOomKills('low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 7\n')).toBe(1);
  expect(parseOomKills('oom_kill_disable 0\nunder_oom 0')).toBeUndefined();
});
