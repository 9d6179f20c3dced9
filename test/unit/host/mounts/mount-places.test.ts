import { describe, expect, test } from 'vitest';
import { placesOf, readMountPlaces } from '../../../../src/host/mounts/mount-places.ts';
import { mountOver, readMountInfo } from '../../../../src/host/mounts/mountinfo.ts';

const place = (mountPoint: string, fsType = 'ext4') => ({ mountPoint, fsType });

describe('the mount that a path lies on', () => {
  const places = placesOf([
    place('/'),
    place('/data', 'xfs'),
    place('/data/deep', 'tmpfs'),
    place('/data', 'btrfs'),
  ]);
  test.each([
    ['/', 'ext4'],
    ['/database', 'ext4'],
    ['/data', 'btrfs'],
    ['/data/x/y', 'btrfs'],
    ['/data/deep', 'tmpfs'],
    ['/data/deep/x', 'tmpfs'],
  ])('%s is on %s', (path, fsType) => {
    expect(places.over(path)?.fsType).toBe(fsType);
  });

  test('is undefined where nothing is mounted', () => {
    expect(placesOf([place('/data')]).over('/x')).toBeUndefined();
  });
});

test('the places of this machine are those of its table', async () => {
  const [places, mounts] = [await readMountPlaces(), await readMountInfo()];
  const paths = ['/', '/proc', '/proc/self/ns', '/sys', '/dev', '/dev/shm'];
  expect(paths.map((path) => places.over(path)?.mountPoint)).toEqual(
    paths.map((path) => mountOver(path, mounts)?.mountPoint),
  );
});
