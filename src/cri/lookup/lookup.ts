/** From the id of a request, whole or a unique prefix, to the view; and the filters of lists. Waits for nothing. */
import type { Message } from '@bufbuild/protobuf';
import { isMessage } from '@bufbuild/protobuf';
import type { Directory, Found } from '../../actors/directory/directory.ts';
import type { StringMap } from '../../ports/specs.ts';
import type { ContainerView, SandboxView } from '../../actors/directory/views.ts';
import { fail } from '../../base/fault.ts';
import {
  CheckpointContainerRequestSchema,
  CheckpointPodRequestSchema,
  ExecSyncRequestSchema,
  PullImageRequestSchema,
} from '../../gen/runtime/v1/api_pb.ts';
import { line, quoted, refuse, required, stringMap } from '../validate/check.ts';

type Views = Pick<Directory, 'findSandbox' | 'findContainer'>;

/** Undefined when there is none; throws `invalidRequest` for an empty or an ambiguous id. */
export function findSandbox(
  directory: Views,
  rpc: string,
  id: string,
  field = 'pod_sandbox_id',
): SandboxView | undefined {
  return only(rpc, field, id, (prefix) => directory.findSandbox(prefix));
}

/** Undefined when there is none; throws `invalidRequest` for an empty or an ambiguous id. */
export function findContainer(
  directory: Views,
  rpc: string,
  id: string,
  field = 'container_id',
): ContainerView | undefined {
  return only(rpc, field, id, (prefix) => directory.findContainer(prefix));
}

/** Throws `notFound`, too. */
export function knownSandbox(directory: Views, rpc: string, id: string): SandboxView {
  return (
    findSandbox(directory, rpc, id) ??
    fail('notFound', `${rpc} ${shown(id)}: no such sandbox`, { subject: shown(id) })
  );
}

/** Throws `notFound`, too. */
export function knownContainer(directory: Views, rpc: string, id: string): ContainerView {
  return (
    findContainer(directory, rpc, id) ??
    fail('notFound', `${rpc} ${shown(id)}: no such container`, { subject: shown(id) })
  );
}

/** As `knownSandbox`, but one that lists do not show is none. */
export function listedSandbox(directory: Views, rpc: string, id: string): SandboxView {
  const view = knownSandbox(directory, rpc, id);
  return view.listed ? view : fail('notFound', `${rpc} ${view.id}: no such sandbox`, { subject: view.id });
}

/** As `knownContainer`, but one that lists do not show is none. */
export function listedContainer(directory: Views, rpc: string, id: string): ContainerView {
  const view = knownContainer(directory, rpc, id);
  return view.listed ? view : fail('notFound', `${rpc} ${view.id}: no such container`, { subject: view.id });
}

/** Ids have 64 digits; more than that in a message helps nobody. */
const SHOWN_CHARS = 64;

function shown(id: string): string {
  return id.length > SHOWN_CHARS ? `${id.slice(0, SHOWN_CHARS)}…` : id;
}

function only<V>(rpc: string, field: string, id: string, find: (prefix: string) => Found<V>): V | undefined {
  const at = `${rpc}: ${field}`;
  const found = find(line(at, required(at, id)));
  if (found.found === 'many') refuse(at, `${quoted(id)} begins the ids of several`);
  return found.found === 'one' ? found.view : undefined;
}

/** The namespace of the pod that a request is for; empty where it names none that is known. Throws nothing. */
export function namespaceOf(directory: Views & Pick<Directory, 'sandbox'>, request: Message): string {
  if (isMessage(request, PullImageRequestSchema)) return request.sandboxConfig?.metadata?.namespace ?? '';
  if (isMessage(request, CheckpointPodRequestSchema))
    return foundView(request.podSandboxId, (id) => directory.findSandbox(id))?.spec.key.namespace ?? '';
  if (!isMessage(request, ExecSyncRequestSchema) && !isMessage(request, CheckpointContainerRequestSchema))
    return '';
  const container = foundView(request.containerId, (id) => directory.findContainer(id));
  return container === undefined
    ? ''
    : (directory.sandbox(container.spec.key.sandboxId)?.spec.key.namespace ?? '');
}

/** Undefined where the id is empty, unknown or the prefix of several. */
function foundView<V>(id: string, find: (prefix: string) => Found<V>): V | undefined {
  const found = id === '' ? undefined : find(id);
  return found?.found === 'one' ? found.view : undefined;
}

/** Tests labels for every one of the selector, with its value. Throws `invalidRequest` for more than labels can be. */
export function labelTest(
  field: string,
  selector: { readonly [key: string]: string },
): (labels: StringMap) => boolean {
  // once, and not for each of some thousand views
  const wanted = Object.entries(stringMap(field, selector));
  return (labels) => wanted.every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}
