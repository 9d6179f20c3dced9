/** UpdateContainerResources: new limits of a container; NRI plugins are asked first. */
import type { ContainerId } from '../../base/ids.ts';
import type { Call } from '../directory/ask.ts';
import { runOnLiveContainer } from './after-exit.ts';
import type { ContainerStage } from './container-stage.ts';
import { onPlugins } from './on-plugins.ts';
import { setLimits, updatable } from './set-limits.ts';
import type { Resources } from '../../ports/specs.ts';

/**
 * As `setLimits`, after asking the NRI plugins, which may refuse the request, change it, or update other containers
 * first. No actor waits for the plugins: a plugin that updates another container waits for that container's actor, so
 * two actors that waited for plugins could deadlock.
 */
export function updateContainer(
  stage: ContainerStage,
  id: ContainerId,
  change: Resources,
  call: Call,
): Promise<void> {
  const attempted = `UpdateContainerResources ${id}`;
  return runOnLiveContainer(stage, id, attempted, call, () => update(stage, id, change, attempted, call));
}

async function update(
  stage: ContainerStage,
  id: ContainerId,
  change: Resources,
  attempted: string,
  call: Call,
): Promise<void> {
  const { nri } = stage.ports;
  if (!nri.isActive()) return setLimits(stage, id, change, call);
  const { address } = updatable(stage, id);
  const wanted = await onPlugins(stage, address, attempted, call, (fx) =>
    nri.updateContainer(id, change, fx),
  );
  await setLimits(stage, id, wanted, call);
  await onPlugins(stage, address, attempted, call, (fx) =>
    nri.notifyContainer('PostUpdateContainer', id, fx),
  ).catch(() => undefined);
}
