import { describe, expect, test } from 'vitest';
import { applyEdits } from '../../../../../src/oci/runtime/spec/edits.ts';
import type { Edits } from '../../../../../src/oci/runtime/spec/edits.ts';
import { generateSpec } from '../../../../../src/oci/runtime/spec/generate.ts';
import { inputOf } from './fixtures.ts';

const NOTHING: Edits = { env: [], devices: [], mounts: [], hooks: [], additionalGids: [] };
const plain = generateSpec(
  inputOf({ input: { user: { uid: 5, gid: 6, additionalGids: [6, 44], home: '/' } } }),
);
const gpu = {
  path: '/dev/gpu',
  type: 'c',
  major: 195,
  minor: 0,
  fileMode: 0o660,
  uid: 0,
  gid: 0,
  permissions: 'rw',
} as const;

describe('edits of a document', () => {
  test('an empty list of edits changes nothing', () => {
    expect(applyEdits(plain, NOTHING)).toEqual(plain);
  });

  test('a variable replaces one of the same name, in its place', () => {
    const { env } = applyEdits(plain, { ...NOTHING, env: ['LANG=C=x', 'NEW=1', 'NEW=2'] }).process;
    expect(env).toEqual([
      ...plain.process.env.map((variable) => (variable.startsWith('LANG=') ? 'LANG=C=x' : variable)),
      'NEW=2',
    ]);
  });

  test('a device node replaces the one at its path, with a rule unless it has no permissions', () => {
    const once = applyEdits(plain, {
      ...NOTHING,
      devices: [gpu, { ...gpu, path: '/dev/fifo', type: 'p', permissions: '' }],
    });
    const twice = applyEdits(once, {
      ...NOTHING,
      devices: [{ ...gpu, major: 7, type: 'b', permissions: 'r' }],
    });
    expect(twice.linux.devices.map(({ path, major, type }) => [path, major, type])).toEqual([
      ['/dev/fifo', 195, 'p'],
      ['/dev/gpu', 7, 'b'],
    ]);
    expect(twice.linux.resources.devices.slice(plain.linux.resources.devices.length)).toEqual([
      { allow: true, type: 'c', major: 195, minor: 0, access: 'rw' },
      { allow: true, type: 'b', major: 7, minor: 0, access: 'r' },
    ]);
  });

  test('a mount replaces one at its path; outer ones come first', () => {
    const mount = (destination: string, source = '/s') => ({
      destination,
      source,
      type: 'bind',
      options: ['bind', 'ro'],
    });
    const { mounts } = applyEdits(plain, {
      ...NOTHING,
      mounts: [mount('/a/b/c'), mount('/etc/hosts'), mount('/a'), mount('/a', '/later')],
    });
    expect(mounts.map(({ destination }) => destination)).toEqual([
      '/proc',
      '/dev',
      '/sys',
      '/a',
      '/dev/pts',
      '/dev/mqueue',
      '/dev/shm',
      '/etc/resolv.conf',
      '/etc/hostname',
      '/etc/hosts',
      '/sys/fs/cgroup',
      '/a/b/c',
    ]);
    expect(mounts.find(({ destination }) => destination === '/a')?.source).toBe('/later');
    expect(mounts.find(({ destination }) => destination === '/etc/hosts')?.options).toEqual(['bind', 'ro']);
  });

  test('hooks are appended by stage, groups added once, RDT replaced', () => {
    const [a, b] = [{ path: '/a' }, { path: '/b', timeout: 1 }];
    const once = applyEdits(plain, {
      ...NOTHING,
      hooks: [
        { stage: 'poststop', hook: a },
        { stage: 'prestart', hook: a },
      ],
      additionalGids: [44, 50],
      intelRdt: { closID: 'x' },
    });
    const twice = applyEdits(once, {
      ...NOTHING,
      hooks: [{ stage: 'poststop', hook: b }],
      intelRdt: { closID: 'y' },
    });
    expect(twice.hooks).toEqual({ prestart: [a], poststop: [a, b] });
    expect(twice.process.user.additionalGids).toEqual([6, 44, 50]);
    expect(twice.linux.intelRdt).toEqual({ closID: 'y' });
    expect(applyEdits(once, NOTHING)).toEqual(once);
  });
});
