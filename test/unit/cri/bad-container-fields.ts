/** Requests for a container with one field changed, and the refusal of it. */
import { expect } from 'vitest';
import type {
  CapabilitySchema,
  ContainerConfigSchema,
  DeviceSchema,
  LinuxContainerResourcesSchema,
  LinuxContainerSecurityContextSchema,
  MountSchema,
  NamespaceOptionSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { NamespaceMode, RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Fields } from './stage.ts';
import {
  containerId,
  containerSpec,
  containerView,
  hex,
  podSpec,
  sandboxId,
  sandboxView,
  stage,
} from './stage.ts';

type Config = Fields<typeof ContainerConfigSchema>;
export type Row = readonly [field: string, what: string, config: Config];

export const rpc = RuntimeService.method.createContainer;
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const base = (more: Config = {}): Config => ({
  metadata: { name: 'main', attempt: 0 },
  image: { image: 'busybox' },
  ...more,
});
export const context = (securityContext: Fields<typeof LinuxContainerSecurityContextSchema>): Config =>
  base({ linux: { securityContext } });
export const namespaces = (namespaceOptions: Fields<typeof NamespaceOptionSchema>): Config =>
  context({ namespaceOptions: { pid: NamespaceMode.CONTAINER, ...namespaceOptions } });
export const limits = (resources: Fields<typeof LinuxContainerResourcesSchema>): Config =>
  base({ linux: { resources } });
export const caps = (capabilities: Fields<typeof CapabilitySchema>): Config => context({ capabilities });
export const mount = (more: Fields<typeof MountSchema>): Config =>
  base({ mounts: [{ containerPath: '/data', hostPath: '/srv', ...more }] });
export const imageMount = (more: Fields<typeof MountSchema>): Config =>
  mount({ hostPath: '', readonly: true, image: { image: 'busybox' }, ...more });
export const device = (more: Fields<typeof DeviceSchema>): Config =>
  base({ devices: [{ containerPath: '/dev/x', hostPath: '/dev/x', permissions: 'rw', ...more }] });
export const env = (key: string, value: Uint8Array | string): Config =>
  base({ envs: [{ key, value: typeof value === 'string' ? utf8(value) : value }] });

/** A sandbox with its own PID namespaces, one on the host's network, and a second pod with a container. */
export function pods(...args: Parameters<typeof stage>): ReturnType<typeof stage> {
  const made = stage(...args);
  const hosts = {
    ...podSpec,
    namespaces: { ...podSpec.namespaces, network: 'node' },
    handler: 'crun',
    privileged: true,
  } as const;
  const otherKey = { ...containerSpec.key, sandboxId: sandboxId('b') };
  made.put(
    sandboxView(sandboxId('a')),
    sandboxView(sandboxId('b'), { spec: hosts }),
    containerView(containerId('1')),
    containerView(containerId('2'), { spec: { ...containerSpec, key: otherKey } }),
  );
  return made;
}

export async function expectRefusal(field: string, config: Config): Promise<void> {
  const { fails, asked } = pods();
  const status = await fails(rpc, { podSandboxId: hex('a'), config });
  expect(status.code, status.message).toBe('invalidArgument');
  expect(status.message.startsWith(`CreateContainer: ${field}`), status.message).toBe(true);
  expect(asked).toEqual([]);
}
export const ids = { hostId: 1, containerId: 0, length: 1 };
