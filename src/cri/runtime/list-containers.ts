import type { ContainerView } from '../../actors/views.ts';
import type { ContainerFilter, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { ContainerState } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { findContainer, findSandbox, hasLabels } from '../lookup.ts';
import { containerList, containerState } from '../present/container.ts';
import type { ServiceOptions } from '../service-options.ts';
import { word } from '../validate/check.ts';

const STATES = {
  [ContainerState.CONTAINER_CREATED]: 'created',
  [ContainerState.CONTAINER_RUNNING]: 'running',
  [ContainerState.CONTAINER_EXITED]: 'exited',
  [ContainerState.CONTAINER_UNKNOWN]: 'unknown',
} as const;

/** ListContainers: what is listed and passes every part of the filter; an unknown id gives an empty list. */
export function listContainers({ troupe }: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.listContainers> {
  return async ({ filter }) => {
    const listed = troupe.directory.containers().filter((view) => view.listed);
    return containerList.answer(filter === undefined ? listed : select(listed, filter, troupe.directory));
  };
}

function select(
  views: readonly ContainerView[],
  { id, podSandboxId, state, labelSelector }: ContainerFilter,
  directory: ServiceOptions['troupe']['directory'],
): readonly ContainerView[] {
  if (state !== undefined) word('ListContainers: filter.state', state.state, STATES);
  const wanted = id === '' ? undefined : findContainer(directory, 'ListContainers', id, 'filter.id');
  const sandbox = podSandboxId === '' ? undefined : findSandbox(directory, 'ListContainers', podSandboxId, 'filter.pod_sandbox_id');
  return views.filter(
    (view) =>
      (id === '' || view === wanted) &&
      (podSandboxId === '' || view.spec.key.sandboxId === sandbox?.id) &&
      (state === undefined || containerState(view) === state.state) &&
      hasLabels(view.spec.labels, labelSelector),
  );
}
