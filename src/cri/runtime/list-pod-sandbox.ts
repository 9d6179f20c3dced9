import type { SandboxView } from '../../actors/directory/views.ts';
import type { PodSandboxFilter, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import { PodSandboxState } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { findSandbox, labelTest } from '../lookup/lookup.ts';
import { sandboxList, sandboxState } from '../present/sandbox.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { word } from '../validate/check.ts';

const STATES = {
  [PodSandboxState.SANDBOX_READY]: 'ready',
  [PodSandboxState.SANDBOX_NOTREADY]: 'notReady',
} as const;

/** ListPodSandbox: listed sandboxes that match every part of the filter; an unknown id gives an empty list. */
export function listPodSandbox({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.listPodSandbox> {
  return async ({ filter }) => sandboxList.answer(sandboxesListed(troupe, 'ListPodSandbox', filter));
}

/** The sandboxes that a list shows now. Views never change, so neither does the list while it is sent. */
export function sandboxesListed(
  { directory }: Pick<ServiceOptions['troupe'], 'directory'>,
  rpc: string,
  filter: PodSandboxFilter | undefined,
): readonly SandboxView[] {
  return filter === undefined
    ? directory.sandboxes().filter((view) => view.listed)
    : select(rpc, filter, directory);
}

function select(
  rpc: string,
  { id, state, labelSelector }: PodSandboxFilter,
  directory: ServiceOptions['troupe']['directory'],
): readonly SandboxView[] {
  if (state !== undefined) word(`${rpc}: filter.state`, state.state, STATES);
  const wanted = id === '' ? undefined : findSandbox(directory, rpc, id, 'filter.id');
  const hasLabels = labelTest(`${rpc}: filter.label_selector`, labelSelector);
  const views = id === '' ? directory.sandboxes() : wanted === undefined ? [] : [wanted];
  return views.filter(
    (view) =>
      view.listed &&
      (state === undefined || sandboxState(view) === state.state) &&
      hasLabels(view.spec.labels),
  );
}
