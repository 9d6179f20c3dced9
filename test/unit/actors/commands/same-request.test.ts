import { describe, expect, it } from 'vitest';
import type { ContainerSpec, Mount, SandboxSpec } from '../../../../src/ports/specs.ts';
import {
  isSameContainerRequest,
  isSameSandboxRequest,
} from '../../../../src/actors/commands/same-request.ts';
import { containerSpec, imageId, sandboxSpec } from '../fixtures.ts';

const spec = containerSpec();
const terminationLog = spec.mounts[1] as Mount;
const withTerminationLog = (part: Partial<Mount>): Partial<ContainerSpec> => ({
  mounts: [spec.mounts[0] as Mount, { ...terminationLog, ...part }],
});
const PATH_ANNOTATION = 'io.kubernetes.container.terminationMessagePath';

describe('a repeated request for a container', () => {
  it.each<[string, Partial<ContainerSpec>]>([
    [
      'the termination log has a new random name on the host, as in each try of a kubelet',
      withTerminationLog({ hostPath: '/pods/u1/containers/nginx/9e77' }),
    ],
    ['annotations changed', { annotations: { 'io.kubernetes.container.restartCount': '0', extra: 'x' } }],
    ['labels changed', { labels: {} }],
    ['environment changed', { env: [{ name: 'A', value: '2' }] }],
    ['the log path is repeated', { logPath: 'nginx/0.log' }],
  ])('%s', (_what, part) => {
    expect(isSameContainerRequest(spec, containerSpec(part))).toBe(true);
  });

  it('the termination log may be at the path of the annotation', () => {
    const at = (hostPath: string): ContainerSpec =>
      containerSpec({
        annotations: { [PATH_ANNOTATION]: '/var/end' },
        mounts: [{ ...terminationLog, containerPath: '/var/end', hostPath }],
      });
    expect(isSameContainerRequest(at('/a'), at('/b'))).toBe(true);
  });
});

describe('a different request for a container', () => {
  it.each<[string, Partial<ContainerSpec>]>([
    ['another image', { imageId: imageId('2') }],
    ['another command', { command: ['sh'] }],
    ['other arguments', { args: [] }],
    ['another mount', { mounts: [] }],
    [
      'another source of a volume',
      { mounts: [{ ...(spec.mounts[0] as Mount), hostPath: '/srv/other' }, terminationLog] },
    ],
    ['a termination log that is read-only', withTerminationLog({ readonly: true })],
    ['a device', { devices: [{ containerPath: '/dev/fuse', hostPath: '/dev/fuse', permissions: 'rwm' }] }],
    ['other limits', { resources: { ...spec.resources, memoryLimitBytes: 1n << 30n } }],
    ['more rights', { security: { ...spec.security, privileged: true } }],
    ['another user', { security: { ...spec.security, user: { ...spec.security.user, runAsUser: 1000 } } }],
    ['a terminal', { tty: true }],
    ['another stop signal', { stopSignal: 'SIGINT' }],
  ])('%s', (_what, part) => {
    expect(isSameContainerRequest(spec, containerSpec(part))).toBe(false);
  });

  it('a mount with another source is the same only at the termination log’s path', () => {
    const moved = { annotations: { [PATH_ANNOTATION]: '/elsewhere' } };
    expect(
      isSameContainerRequest(
        containerSpec(moved),
        containerSpec({ ...moved, ...withTerminationLog({ hostPath: '/other' }) }),
      ),
    ).toBe(false);
  });
});

describe('a request for a sandbox', () => {
  it.each<[string, Partial<SandboxSpec>]>([
    ['annotations', { annotations: { seen: '2' } }],
    ['labels', { labels: {} }],
  ])('%s may change while the pod starts', (_what, part) => {
    expect(isSameSandboxRequest(sandboxSpec(), sandboxSpec(part))).toBe(true);
  });

  it.each<[string, Partial<SandboxSpec>]>([
    ['hostname', { hostname: 'other' }],
    ['ports', { portMappings: [{ protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '' }] }],
    ['name servers', { dns: { servers: ['10.0.0.10'], searches: [], options: [] } }],
    ['namespaces', { namespaces: { network: 'node', pid: 'container', ipc: 'pod', targetId: undefined } }],
    ['cgroup parent', { cgroupParent: '/other' }],
  ])('another %s is a different request', (_what, part) => {
    expect(isSameSandboxRequest(sandboxSpec(), sandboxSpec(part))).toBe(false);
  });
});
