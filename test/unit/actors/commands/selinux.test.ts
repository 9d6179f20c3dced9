import { describe, expect, it } from 'vitest';
import {
  categoryPair,
  containerLabels,
  freeLevel,
  levelOf,
  podLabels,
} from '../../../../src/actors/commands/selinux.ts';
import type { SelinuxLabels } from '../../../../src/ports/specs.ts';
import {
  isSameContainerRequest,
  isSameSandboxRequest,
} from '../../../../src/actors/commands/same-request.ts';
import { EasyWorld } from '../easy-ports.ts';
import { containerSpec, sandboxSpec } from '../fixtures.ts';

const machine: SelinuxLabels = {
  process: 'system_u:system_r:container_t:s0',
  mount: 'system_u:object_r:container_file_t:s0',
};
const PAIRS = (1024 * 1023) / 2;
const free = (): string => 's0:c1,c2';
const pod = {
  process: 'system_u:system_r:container_t:s0:c1,c2',
  mount: 'system_u:object_r:container_file_t:s0:c1,c2',
};

describe('categories', () => {
  it('each number has a pair of its own, the smaller first', () => {
    expect([0, 1, 1022, 1023, PAIRS - 1, PAIRS].map(categoryPair)).toEqual([
      'c0,c1',
      'c0,c2',
      'c0,c1023',
      'c1,c2',
      'c1022,c1023',
      'c0,c1',
    ]);
    const some = Array.from({ length: 5000 }, (_none, n) => categoryPair(n * 97));
    expect(new Set(some).size).toBe(5000);
  });

  it('pairs of other pods are skipped, and the sensitivity stays', () => {
    expect(freeLevel('s0', new Set(), 5)).toBe('s0:c0,c6');
    expect(freeLevel('s3', new Set(['s3:c0,c6', 's3:c0,c7']), 5)).toBe('s3:c0,c8');
    expect(freeLevel('s0', new Set(['s0:c1022,c1023']), PAIRS - 1)).toBe('s0:c0,c1');
  });
});

describe('labels', () => {
  const { namespaces } = sandboxSpec();

  it('of a pod are the machine’s with a level of its own, overridden by requested options', () => {
    expect(podLabels({ namespaces }, machine, free)).toEqual(pod);
    const selinux = { user: 'u', role: 'r', type: 't', level: '' };
    expect(podLabels({ namespaces, selinux }, machine, free)).toEqual({
      process: 'u:r:t:s0:c1,c2',
      mount: 'u:object_r:container_file_t:s0:c1,c2',
    });
    const level = { user: '', role: '', type: '', level: 's0-s0:c0.c1023' };
    expect(podLabels({ namespaces, selinux: level }, machine, free)?.process).toBe(
      'system_u:system_r:container_t:s0-s0:c0.c1023',
    );
    expect(levelOf('a:b:c:s0-s0:c0.c1023')).toBe('s0-s0:c0.c1023');
  });

  it.each(['pid', 'ipc'] as const)('of a pod with the host’s %s are empty', (kind) => {
    expect(podLabels({ namespaces: { ...namespaces, [kind]: 'node' } }, machine, free)).toBeUndefined();
  });

  it('of a container are its pod’s with its own options; a privileged one has the policy’s for such', () => {
    const spec = containerSpec();
    expect(containerLabels(spec, pod, undefined)).toEqual(pod);
    expect(
      containerLabels({ ...spec, selinux: { user: '', role: '', type: 'spc_t', level: '' } }, pod, undefined),
    ).toEqual({ ...pod, process: 'system_u:system_r:spc_t:s0:c1,c2' });
    const privileged = { ...spec, security: { ...spec.security, privileged: true } };
    const free = 'system_u:system_r:spc_t:s0';
    expect(containerLabels(privileged, pod, free)).toEqual({ ...pod, process: free });
    expect(containerLabels(privileged, pod, undefined)).toBeUndefined();
    expect(containerLabels(spec, undefined, free)).toBeUndefined();
    expect(containerLabels(privileged, undefined, free)).toBeUndefined();
  });

  it('are not part of a request, their options are', () => {
    const [spec, sandbox] = [containerSpec(), sandboxSpec()];
    expect(isSameContainerRequest(spec, { ...spec, selinuxLabels: pod })).toBe(true);
    expect(isSameSandboxRequest(sandbox, { ...sandbox, selinuxLabels: pod })).toBe(true);
    const selinux = { user: '', role: '', type: 'spc_t', level: '' };
    expect(isSameContainerRequest(spec, { ...spec, selinux })).toBe(false);
    expect(isSameSandboxRequest(sandbox, { ...sandbox, selinux })).toBe(false);
  });
});

describe('at admission', () => {
  it('each pod gets a pair of its own, on record, and its containers have it', async () => {
    const world = await EasyWorld.serving({ selinux: machine });
    const specs = ['a', 'b', 'c'].map((name) =>
      sandboxSpec({ key: { name, namespace: 'n', uid: name, attempt: 0 } }),
    );
    const ids = await Promise.all(specs.map((spec) => world.troupe.runSandbox(spec, world.call())));
    const labels = ids.map((id) => world.ledger.sandboxes.get(id)?.intent.spec.selinuxLabels?.process ?? '');
    expect(new Set(labels).size).toBe(3);
    for (const label of labels) expect(label).toMatch(/^system_u:system_r:container_t:s0:c\d+,c\d+$/u);
    const [sandboxId] = ids;
    if (sandboxId === undefined) throw new Error('no sandbox');
    const id = await world.troupe.createContainer(
      containerSpec({ key: { sandboxId, name: 'x', attempt: 0 } }),
      world.call(),
    );
    expect(world.ledger.containers.get(id)?.intent.spec.selinuxLabels?.process).toBe(labels[0]);
  });

  it('no pod gets a pair without SELinux', async () => {
    const world = await EasyWorld.serving();
    const id = await world.troupe.runSandbox(sandboxSpec(), world.call());
    expect(world.ledger.sandboxes.get(id)?.intent.spec.selinuxLabels).toBeUndefined();
  });
});
