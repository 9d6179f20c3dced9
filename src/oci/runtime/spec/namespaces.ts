/** The `namespaces` of the document: new ones, the pod's, and those shared with the host. */
import { fail } from '../../../base/fault.ts';
import type { SpecInput } from './input.ts';
import type { OciNamespace } from './types.ts';
import { userNamespace } from './userns.ts';

/**
 * Network, IPC and UTS are the sandbox's, whatever the container's own option is: crictl users leave it out, and it
 * then reads `pod`. `node` in the container alone contradicts the sandbox and is refused.
 */
export function namespacesOf(input: SpecInput): readonly OciNamespace[] {
  const { spec, sandbox, paths, host } = input;
  const own = spec.security.namespaces;
  for (const kind of ['network', 'ipc'] as const) {
    if (own[kind] === 'node' && sandbox.namespaces[kind] !== 'node') {
      fail('invalidRequest', `join the host's ${kind} namespace: the sandbox has its own`, {
        subject: `linux.security_context.namespace_options.${kind}`,
      });
    }
  }
  const cgroup = host.cgroupVersion === 2 && !spec.security.privileged;
  return [
    { type: 'mount' },
    ...userNamespace(paths.pins),
    ...pidNamespace(input),
    ...pinned('network', paths.pins.net),
    ...pinned('ipc', paths.pins.ipc),
    ...pinned('uts', paths.pins.uts),
    // on v1 a cgroup namespace would hide nothing that the read-only mounts show
    ...(cgroup ? [{ type: 'cgroup' } as const] : []),
  ];
}

function pinned(type: 'network' | 'ipc' | 'uts', path: string | undefined): readonly OciNamespace[] {
  return path === undefined ? [] : [{ type, path }];
}

function pidNamespace({ spec, sandbox, paths }: SpecInput): readonly OciNamespace[] {
  const mode = spec.security.namespaces.pid;
  switch (mode) {
    case 'container':
      return [{ type: 'pid' }];
    case 'node':
      return [];
    case 'pod':
    case 'target':
      if (paths.pidNamespace !== undefined) return [{ type: 'pid', path: paths.pidNamespace }];
      if (mode === 'pod' && sandbox.namespaces.pid === 'node') return [];
      if (mode === 'pod' && sandbox.namespaces.pid === 'container') return [{ type: 'pid' }];
      return fail('bug', `join the PID namespace of mode ${mode}: no process is given`, { subject: 'pid' });
  }
}
