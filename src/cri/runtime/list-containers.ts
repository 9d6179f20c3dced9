import type { ContainerView } from '../../actors/directory/views.ts';
import type { ContainerFilter, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { ContainerState } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { chosenContainers } from '../lookup/lookup.ts';
import { containerList, containerState } from '../present/container.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { word } from '../validate/check.ts';

const STATES = {
  [ContainerState.CONTAINER_CREATED]: 'created',
  [ContainerState.CONTAINER_RUNNING]: 'running',
  [ContainerState.CONTAINER_EXITED]: 'exited',
  [ContainerState.CONTAINER_UNKNOWN]: 'unknown',
} as const;

/** ListContainers: listed containers that match every part of the filter; an unknown id gives an empty list. */
export function listContainers({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.listContainers> {
  return async ({ filter }) => containerList.answer(containersListed(troupe, 'ListContainers', filter));
}

/** The containers that a list shows now. Views never change, so neither does the list while it is sent. */
export function containersListed(
  { directory }: Pick<ServiceOptions['troupe'], 'directory'>,
  rpc: string,
  filter: ContainerFilter | undefined,
): readonly ContainerView[] {
  if (filter === undefined) return directory.containers().filter((view) => view.listed);
  const { state } = filter;
  if (state !== undefined) word(`${rpc}: filter.state`, state.state, STATES);
  return chosenContainers(directory, rpc, filter).filter(
    (view) => state === undefined || containerState(view) === state.state,
  );
}
