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

/** Encodes the answers of ListPodSandbox. */
export const sandboxList = new ListBytes<SandboxView>((view) =>
  toBinary(
    PodSandboxSchema,
    create(PodSandboxSchema, { ...shared(view), runtimeHandler: view.spec.handler }),
  ),
);

/** Ready only while a new container can be created in the sandbox. */
export function sandboxState(view: SandboxView): PodSandboxState {
  return view.ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

/** Fields of both list and status; the kubelet compares them. */
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
  // a pod on the host's network has the node's address, which the kubelet fills in itself
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
