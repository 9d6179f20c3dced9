/** A client's request for new limits of a container or pod; NRI plugins are asked first. */
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import { runOnLiveContainer } from './after-exit.ts';
import type { ContainerStage } from './container-stage.ts';
import { setLimits, updatable } from './set-limits.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Resources } from '../../ports/specs.ts';
import { sandboxAddress } from '../sandbox/sandbox.context.ts';

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
  return runOnLiveContainer(stage, id, `UpdateContainerResources ${id}`, call, () =>
    update(stage, id, change, call),
  );
}

async function update(stage: ContainerStage, id: ContainerId, change: Resources, call: Call): Promise<void> {
  const { nri } = stage.ports;
  if (!nri.isActive()) return setLimits(stage, id, change, call);
  const { address } = updatable(stage, id);
  const wanted = await onPlugins(stage, address, call, (fx) => nri.updateContainer(id, change, fx));
  await setLimits(stage, id, wanted, call);
  await onPlugins(stage, address, call, (fx) => nri.notifyContainer('PostUpdateContainer', id, fx)).catch(
    () => undefined,
  );
}

/** Passes new limits of a pod to the plugins; the client sets them itself. Rejects when a plugin refuses. */
export async function updateSandbox(
  stage: ContainerStage,
  id: SandboxId,
  wanted: { readonly overhead: Resources; readonly resources: Resources },
  call: Call,
): Promise<void> {
  const { nri } = stage.ports;
  if (!nri.isActive()) return;
  const address = sandboxAddress(id);
  await onPlugins(stage, address, call, (fx) => nri.updatePod(id, wanted, fx));
  await onPlugins(stage, address, call, (fx) => nri.notifyPod('PostUpdatePodSandbox', id, fx)).catch(
    () => undefined,
  );
}

function onPlugins<T>(
  { activity }: ContainerStage,
  address: string,
  { signal }: Call,
  work: (fx: EffectContext) => Promise<T>,
): Promise<T> {
  return activity.run(address, 'nri', portLimits.pluginsMs, signal, work);
}
