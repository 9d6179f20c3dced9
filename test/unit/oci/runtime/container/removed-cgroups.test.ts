import { expect, it } from 'vitest';
import { driverLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { RemovedCgroups } from '../../../../../src/oci/runtime/container/removed-cgroups.ts';

it('a removed cgroup is known once, and at the bound the oldest is forgotten', () => {
  const removed = new RemovedCgroups();
  const paths = Array.from({ length: driverLimits.removedCgroups + 1 }, (_, at) => `/pod/${at}`);
  for (const path of paths) removed.add(path);
  expect(paths.filter((path) => !removed.take(path))).toEqual(['/pod/0']);
  expect(removed.take('/pod/1')).toBe(false);
});
