/** UpdatePodSandboxResources: new limits of a pod; NRI plugins are asked first. */
import type { SandboxId } from '../../base/ids.ts';
import type { Call } from '../directory/ask.ts';
import type { ContainerStage } from './container-stage.ts';
import { onPlugins } from './on-plugins.ts';
import type { Resources } from '../../ports/specs.ts';
import { sandboxAddress } from '../sandbox/sandbox.context.ts';

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
  const attempted = `UpdatePodSandboxResources ${id}`;
  await onPlugins(stage, address, attempted, call, (fx) => nri.updatePod(id, wanted, fx));
  await onPlugins(stage, address, attempted, call, (fx) =>
    nri.notifyPod('PostUpdatePodSandbox', id, fx),
  ).catch(() => undefined);
}
