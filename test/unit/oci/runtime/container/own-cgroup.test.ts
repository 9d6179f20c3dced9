// By which name a process is known as a container's own, when all that is left of an exec is its pid.
import { expect, it } from 'vitest';
import { ownCgroupName } from '../../../../../src/oci/runtime/container/cgroup.ts';

const id = 'ab'.repeat(32);

it("F43 a process in another container's scope is not taken for an exec's, since the name has the id", () => {
  expect(ownCgroupName(`/kubepods.slice/kubepods-pod1.slice/troupe-${id}.scope/container`)).toBe(
    `troupe-${id}.scope`,
  );
  expect(ownCgroupName(`/kubepods/pod1/troupe-${id}`)).toBe(`troupe-${id}`);
});
