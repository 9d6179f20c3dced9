import { describe, expect, it } from 'vitest';
import type { ContainerId, SandboxId } from '../../../../src/base/ids.ts';
import {
  cgroupParentOf,
  cgroupsPathOf,
  containerCgroup,
  hasSandboxCgroup,
  helperCgroup,
  monitorCgroup,
  pauseCgroup,
} from '../../../../src/host/sandbox/layout.ts';
import {
  isScope,
  isSlice,
  runtimeCgroupsPath,
  scopeOf,
  scopeOfProcess,
  sliceCgroup,
} from '../../../../src/host/cgroups/slices.ts';
import { scopeProperties, weightOfShares } from '../../../../src/host/cgroups/scope-limits.ts';
import { cgroupsOfNote } from '../../../../src/oci/runtime/container/record.ts';
import type { ContainerNote } from '../../../../src/oci/runtime/container/record.ts';
import { limitScopeArgv, startScopeArgv } from '../../../../src/host/cgroups/systemd.ts';

const container = 'c'.repeat(64) as ContainerId;
const sandbox = 'd'.repeat(64) as SandboxId;
const SLICE = 'kubepods-besteffort-pod1_2.slice';
const DIRECTORY = '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice';

describe('slices', () => {
  it.each([
    ['troupe.slice', '/troupe.slice'],
    [SLICE, DIRECTORY],
    [DIRECTORY, DIRECTORY],
    ['/elsewhere/a-b.slice', '/a.slice/a-b.slice'],
    ['-.slice', '/'],
  ])('%s is the cgroup %s', (slice, cgroup) => {
    expect(sliceCgroup(slice)).toBe(cgroup);
    expect(cgroupParentOf(slice)).toBe(cgroup);
  });

  it.each(['-a.slice', 'a-.slice', 'a--b.slice', '.slice'])(
    '%s is not a valid slice for systemd',
    (slice) => {
      expect(() => sliceCgroup(slice)).toThrow(/use slice/u);
    },
  );

  it('are distinguished from paths by their suffix', () => {
    expect([isSlice('/a/b'), isSlice('/a.slice/b'), isSlice('/a.slice')]).toEqual([false, false, true]);
    expect([isScope('/a/troupe-1'), isScope('/a.slice/troupe-1.scope')]).toEqual([false, true]);
  });
});

describe('the cgroups of a pod below a slice', () => {
  it('are one scope for container and monitor, and one for the pause process', () => {
    expect(containerCgroup(SLICE, container)).toBe(`${DIRECTORY}/troupe-${container}.scope/container`);
    expect(monitorCgroup(SLICE, sandbox, container)).toBe(`${DIRECTORY}/troupe-${container}.scope/monitor`);
    expect(scopeOf(containerCgroup(SLICE, container))).toBe(`${DIRECTORY}/troupe-${container}.scope`);
    expect(scopeOf(containerCgroup('/kubepods/pod1', container))).toBeUndefined();
    expect(pauseCgroup(SLICE, sandbox)).toBe(`${DIRECTORY}/troupe-pause-${sandbox}.scope`);
    expect([hasSandboxCgroup(SLICE), hasSandboxCgroup('/kubepods/pod1')]).toEqual([false, true]);
  });

  it('have a scope of its own for each program that serves a root file system; else it is with the monitors', () => {
    const scope = helperCgroup(SLICE, sandbox, container);
    expect(scope).toBe(`${DIRECTORY}/troupe-fuse-${container}.scope`);
    expect(scopeOfProcess(scope, 71)).toBe(`${DIRECTORY}/troupe-fuse-${container}-71.scope`);
    expect(helperCgroup('/kubepods/pod1', sandbox, container)).toBe(
      monitorCgroup('/kubepods/pod1', sandbox, container),
    );
  });

  it('are written for the runtime as slice, prefix and name', () => {
    expect(runtimeCgroupsPath(pauseCgroup(SLICE, sandbox))).toBe(`${SLICE}:troupe-pause:${sandbox}`);
    expect(runtimeCgroupsPath(pauseCgroup('-.slice', sandbox))).toBe(`-.slice:troupe-pause:${sandbox}`);
    expect(runtimeCgroupsPath('/kubepods/pod1/troupe-1')).toBe('/kubepods/pod1/troupe-1');
  });

  it('are all in one notation for a shim, in units of their own; runc gets a path inside our scope', () => {
    const inShim = { runtime: { name: 'kata', needsPause: true } };
    expect(cgroupsPathOf({ ...inShim, cgroupParent: SLICE }, container)).toBe(
      `${SLICE}:troupe-vm:${container}`,
    );
    expect(cgroupsPathOf({ ...inShim, cgroupParent: '/kubepods/pod1' }, container)).toBe(
      `/kubepods/pod1/troupe-${container}`,
    );
    expect(
      cgroupsPathOf({ runtime: { name: 'runc', needsPause: false }, cgroupParent: SLICE }, container),
    ).toBe(containerCgroup(SLICE, container));
    const note = { cgroup: containerCgroup(SLICE, container) } as ContainerNote;
    expect(cgroupsOfNote(note, container)).toEqual([
      note.cgroup,
      `${DIRECTORY}/troupe-vm-${container}.scope`,
    ]);
  });
});

describe('StartTransientUnit', () => {
  const request = { cgroup: `${DIRECTORY}/troupe-${container}.scope`, pid: 4711 };
  const argv = startScopeArgv('/usr/bin/busctl', request);

  it('lets a helper outlive the containers at a shutdown', () => {
    const ofHelper = startScopeArgv('/usr/bin/busctl', { ...request, isHelper: true });
    expect(ofHelper.filter((word) => !argv.includes(word))).toEqual(['7', 'DefaultDependencies', 'false']);
  });

  it('names unit, slice and process, and has as many properties as its count', () => {
    const at = argv.indexOf('ssa(sv)a(sa(sv))');
    expect(argv.slice(at + 1, at + 3)).toEqual([`troupe-${container}.scope`, 'fail']);
    expect(argv.slice(argv.indexOf('Slice'), argv.indexOf('Slice') + 3)).toEqual(['Slice', 's', SLICE]);
    expect(argv.slice(argv.indexOf('PIDs'), argv.indexOf('PIDs') + 4)).toEqual(['PIDs', 'au', '1', '4711']);
    const properties = ['TasksMax', 'Description', 'Slice', 'PIDs', 'Delegate', 'CollectMode'];
    expect(argv[at + 3]).toBe(String(properties.length));
    for (const property of properties) expect(argv).toContain(property);
    expect(argv.at(-1)).toBe('0');
  });

  it('gives the scope what counts between containers: the weight of the processor and the protection of memory', () => {
    const limits = {
      cpuShares: 102n,
      unified: { 'memory.min': '1048576', 'memory.low': 'max', 'memory.high': '5' },
    };
    const limited = startScopeArgv('/usr/bin/busctl', { ...request, limits });
    const at = limited.indexOf('ssa(sv)a(sa(sv))');
    expect(limited.slice(at + 3, at + 16)).toEqual([
      '9',
      ...['TasksMax', 't', '18446744073709551615'],
      ...['CPUWeight', 't', '17'],
      ...['MemoryMin', 't', '1048576'],
      ...['MemoryLow', 't', '18446744073709551615'],
    ]);
    expect(limited.slice(at + 16)).toEqual(argv.slice(argv.indexOf('Description')));
    expect(scopeProperties({ cpuShares: 0n, unified: { 'memory.min': '1G' } })).toEqual([]);
    expect(
      limitScopeArgv('busctl', 'a.scope', scopeProperties({ cpuShares: 2n, unified: {} })).slice(-8),
    ).toEqual(['SetUnitProperties', 'sba(sv)', ...['a.scope', 'true', '1', 'CPUWeight', 't', '1']]);
  });

  it.each([
    [0n, 1],
    [2n, 1],
    [102n, 17],
    [1024n, 100],
    [4096n, 303],
    [262_144n, 10_000],
    [9_999_999n, 10_000],
  ])('has for %d shares the weight %d', (shares, weight) => {
    expect(weightOfShares(shares)).toBe(weight);
  });
});
