/** New limits for a container or a pod, as a client asks for them: plugins are asked first, where there are any. */
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import { whileItLives } from './after-exit.ts';
import type { ContainerStage } from './container-stage.ts';
import { setLimits, updatable } from './set-limits.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Resources } from '../../ports/specs.ts';
import { sandboxAddress } from '../sandbox/sandbox.context.ts';

/**
 * As `setLimits`; plugins may refuse, change what is asked for, and change other containers before. They are asked
 * outside of any actor: an actor that waited for a plugin, which waits for another actor, could be what that one waits for.
 */
export function updateContainer(
  stage: ContainerStage,
  id: ContainerId,
  change: Resources,
  call: Call,
): Promise<void> {
  return whileItLives(stage, id, `UpdateContainerResources ${id}`, call, () =>
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

/** A pod's own limits: the client has set them already, and plugins hear of it. Rejects when one refuses. */
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
