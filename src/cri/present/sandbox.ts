/** SandboxView → CRI messages. Pure. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import type { Namespaces } from '../../ports/specs.ts';
import type { SandboxView } from '../../actors/directory/views.ts';
import type { NamespaceOptionSchema, PodSandboxStatusSchema } from '../../gen/runtime/v1/api_pb.ts';
import { NamespaceMode, PodSandboxSchema, PodSandboxState } from '../../gen/runtime/v1/api_pb.ts';
import { ListBytes } from './list-bytes.ts';

const MODE = {
  pod: NamespaceMode.POD,
  container: NamespaceMode.CONTAINER,
  node: NamespaceMode.NODE,
  target: NamespaceMode.TARGET,
} as const;

/** What ListPodSandbox answers, encoded. */
export const sandboxList = new ListBytes<SandboxView>((view) =>
  toBinary(
    PodSandboxSchema,
    create(PodSandboxSchema, { ...shared(view), runtimeHandler: view.spec.handler }),
  ),
);

/** Ready only when a new container could be made in it. */
export function sandboxState(view: SandboxView): PodSandboxState {
  return view.ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

/** The same fields in list and status: the kubelet compares them. */
function shared(view: SandboxView) {
  const { key, labels, annotations } = view.spec;
  return {
    id: view.id,
    metadata: { name: key.name, namespace: key.namespace, uid: key.uid, attempt: key.attempt },
    state: sandboxState(view),
    createdAt: view.createdAtNs,
    labels,
    annotations,
  };
}

export function sandboxStatus(view: SandboxView): MessageInitShape<typeof PodSandboxStatusSchema> {
  // on the host's network the address is the node's, which the kubelet knows better (features.md row 5)
  const [ip = '', ...others] = view.spec.namespaces.network === 'node' ? [] : view.ips;
  return {
    ...shared(view),
    network: { ip, additionalIps: others.map((other) => ({ ip: other })) },
    linux: { namespaces: { options: namespaceOptions(view.spec.namespaces) } },
    runtimeHandler: view.spec.handler,
  };
}

function namespaceOptions(namespaces: Namespaces): MessageInitShape<typeof NamespaceOptionSchema> {
  return {
    network: MODE[namespaces.network],
    pid: MODE[namespaces.pid],
    ipc: MODE[namespaces.ipc],
    targetId: namespaces.targetId ?? '',
    ...(namespaces.user === undefined
      ? {}
      : {
          usernsOptions: {
            mode: NamespaceMode.POD,
            uids: [namespaces.user.uids],
            gids: [namespaces.user.gids],
          },
        }),
  };
}
