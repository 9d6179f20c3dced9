/** Namespace options of sandboxes and containers. Pure. */
import type { Namespaces, PidMode } from '../../ports/specs.ts';
import type { ContainerId } from '../../base/ids.ts';
import type { NamespaceOption } from '../../gen/runtime/v1/api_pb.ts';
import { NamespaceMode } from '../../gen/runtime/v1/api_pb.ts';
import { refuse, required, text, unset, word } from './check.ts';
import { sameMappings, userNamespaceMappings } from './userns.ts';

const SHARED = { [NamespaceMode.POD]: 'pod', [NamespaceMode.NODE]: 'node' } as const;
const PID: Readonly<Record<number, PidMode>> = {
  [NamespaceMode.POD]: 'pod',
  [NamespaceMode.CONTAINER]: 'container',
  [NamespaceMode.NODE]: 'node',
  [NamespaceMode.TARGET]: 'target',
};

export interface UsernsPolicy {
  /** Whether the sandbox's handler supports user namespaces on this machine. */
  readonly userNamespaces: boolean;
}

/** The namespaces of a sandbox. Without options each is POD, the contract's zero value. */
export function sandboxNamespaces(
  field: string,
  options: NamespaceOption | undefined,
  policy: UsernsPolicy,
): Namespaces {
  if (options === undefined) return { network: 'pod', pid: 'pod', ipc: 'pod', targetId: undefined };
  const namespaces = parse(field, options);
  if (namespaces.pid === 'target') refuse(`${field}.pid`, 'TARGET is for containers');
  unset(`${field}.target_id`, options.targetId === '', 'a target of a sandbox is');
  if (namespaces.user !== undefined && !policy.userNamespaces) {
    refuse(
      `${field}.userns_options`,
      'user namespaces are not supported by the runtime handler, the kernel or its file systems',
    );
  }
  return { ...namespaces, targetId: undefined };
}

/**
 * The namespaces of a container. Options for namespaces that it shares with its sandbox must agree with the sandbox's;
 * without options it has those of its sandbox. `findTarget` finds the container of a target_id within the sandbox.
 */
export function containerNamespaces(
  field: string,
  options: NamespaceOption | undefined,
  sandbox: Namespaces,
  findTarget: (id: string) => ContainerId | undefined,
): Namespaces {
  if (options === undefined) return sandbox;
  const namespaces = parse(field, options);
  for (const name of ['network', 'ipc'] as const) {
    if (namespaces[name] !== sandbox[name]) {
      refuse(
        `${field}.${name}`,
        `${namespaces[name].toUpperCase()}, but the sandbox has ${sandbox[name].toUpperCase()}`,
      );
    }
  }
  if (!sameMappings(namespaces.user, sandbox.user)) {
    refuse(`${field}.userns_options`, 'differs from the user namespace of the sandbox');
  }
  if (namespaces.pid !== 'target') {
    if (options.targetId !== '') refuse(`${field}.target_id`, 'is set, but pid is not TARGET');
    return { ...namespaces, targetId: undefined };
  }
  const wanted = text(`${field}.target_id`, required(`${field}.target_id`, options.targetId));
  const targetId = findTarget(wanted) ?? refuse(`${field}.target_id`, 'names no container of this sandbox');
  return { ...namespaces, targetId };
}

function parse(field: string, options: NamespaceOption): Omit<Namespaces, 'targetId'> {
  const network = word(`${field}.network`, options.network, SHARED);
  const pid = word(`${field}.pid`, options.pid, PID);
  const ipc = word(`${field}.ipc`, options.ipc, SHARED);
  const user = userNamespaceMappings(`${field}.userns_options`, options.usernsOptions);
  return { network, pid, ipc, ...(user === undefined ? {} : { user }) };
}
