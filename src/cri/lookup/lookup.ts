/** Resolves the id of a request, complete or a unique prefix, to its view; and the filters of lists. Synchronous. */
import type { Message } from '@bufbuild/protobuf';
import { isMessage } from '@bufbuild/protobuf';
import type { Directory, FoundView } from '../../actors/directory/directory.ts';
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

/**
 * The sandbox with this id; undefined when there is no such sandbox. Throws `invalidRequest` for an empty or ambiguous
 * id.
 */
export function findSandbox(
  directory: Views,
  rpc: string,
  id: string,
  field = 'pod_sandbox_id',
): SandboxView | undefined {
  return only(rpc, field, id, (prefix) => directory.findSandbox(prefix));
}

/**
 * The container with this id; undefined when there is no such container. Throws `invalidRequest` for an empty or
 * ambiguous id.
 */
export function findContainer(
  directory: Views,
  rpc: string,
  id: string,
  field = 'container_id',
): ContainerView | undefined {
  return only(rpc, field, id, (prefix) => directory.findContainer(prefix));
}

/** As `findSandbox`, but throws `notFound` when there is no such sandbox. */
function knownSandbox(directory: Views, rpc: string, id: string): SandboxView {
  return (
    findSandbox(directory, rpc, id) ??
    fail('notFound', `${rpc} ${shown(id)}: sandbox not found`, { subject: shown(id) })
  );
}

/** As `findContainer`, but throws `notFound` when there is no such container. */
export function knownContainer(directory: Views, rpc: string, id: string): ContainerView {
  return (
    findContainer(directory, rpc, id) ??
    fail('notFound', `${rpc} ${shown(id)}: container not found`, { subject: shown(id) })
  );
}

/** As `knownSandbox`, but a sandbox that lists do not show is not found. */
export function listedSandbox(directory: Views, rpc: string, id: string): SandboxView {
  const view = knownSandbox(directory, rpc, id);
  return view.listed ? view : fail('notFound', `${rpc} ${view.id}: sandbox not found`, { subject: view.id });
}

/** As `knownContainer`, but a container that lists do not show is not found. */
export function listedContainer(directory: Views, rpc: string, id: string): ContainerView {
  const view = knownContainer(directory, rpc, id);
  return view.listed
    ? view
    : fail('notFound', `${rpc} ${view.id}: container not found`, { subject: view.id });
}

/** Ids have 64 digits; a longer text is cut in messages. */
const SHOWN_CHARS = 64;

function shown(id: string): string {
  return id.length > SHOWN_CHARS ? `${id.slice(0, SHOWN_CHARS)}…` : id;
}

function only<V>(
  rpc: string,
  field: string,
  id: string,
  find: (prefix: string) => FoundView<V>,
): V | undefined {
  const at = `${rpc}: ${field}`;
  const found = find(line(at, required(at, id)));
  if (found.found === 'many') refuse(at, `${quoted(id)} is a prefix of several ids`);
  return found.found === 'one' ? found.view : undefined;
}

/** The namespace of the pod that a request is for; empty where the pod is unknown. Never throws. */
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

/** The view with this id; undefined where the id is empty, unknown or ambiguous. */
function foundView<V>(id: string, find: (prefix: string) => FoundView<V>): V | undefined {
  const found = id === '' ? undefined : find(id);
  return found?.found === 'one' ? found.view : undefined;
}

/**
 * A test whether labels have every entry of the selector. Throws `invalidRequest` for a selector larger than a set of
 * labels.
 */
export function labelTest(
  field: string,
  selector: { readonly [key: string]: string },
): (labels: StringMap) => boolean {
  // checked once, not for each of some thousand views
  const wanted = Object.entries(stringMap(field, selector));
  return (labels) => wanted.every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/** What lists of containers are filtered by. */
interface ContainerChoice {
  readonly id: string;
  readonly podSandboxId: string;
  readonly labelSelector: { readonly [key: string]: string };
}

/**
 * The listed containers that match a filter's id, pod and labels; an unknown id matches none. A filter by id or by pod
 * is answered without going through all containers.
 */
export function chosenContainers(
  directory: Directory,
  rpc: string,
  { id, podSandboxId, labelSelector }: ContainerChoice,
): readonly ContainerView[] {
  const wanted = id === '' ? undefined : findContainer(directory, rpc, id, 'filter.id');
  const sandbox =
    podSandboxId === '' ? undefined : findSandbox(directory, rpc, podSandboxId, 'filter.pod_sandbox_id');
  const hasLabels = labelTest(`${rpc}: filter.label_selector`, labelSelector);
  const ofSandbox = (): readonly ContainerView[] =>
    podSandboxId === ''
      ? directory.containers()
      : sandbox === undefined
        ? []
        : directory.containersOf(sandbox.id);
  const views = id === '' ? ofSandbox() : wanted === undefined ? [] : [wanted];
  return views.filter(
    (view) =>
      view.listed &&
      (podSandboxId === '' || view.spec.key.sandboxId === sandbox?.id) &&
      hasLabels(view.spec.labels),
  );
}
