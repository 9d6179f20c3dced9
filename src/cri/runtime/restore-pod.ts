import type { ContainerId } from '../../base/ids.ts';
import type { ContainerConfig, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { makeContainer } from '../lookup/make-container.ts';
import { RestoredPods } from '../lookup/restored-pods.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { absolutePath, translated } from '../validate/check.ts';
import { archiveOf, eachArchive, noOptions } from '../validate/restore.ts';
import { sandboxSpec } from '../validate/sandbox.ts';

const RPC = 'RestorePod';

/**
 * RestorePod: creates a pod with one container for each config. StartContainer restores it from the archive
 * `<name>.tar` that CheckpointPod wrote into the directory. On an error the pod is removed, unless a client has its id
 * (restored-pods.ts). There are no options.
 */
export function restorePod(options: ServiceOptions): RpcHandler<typeof RuntimeService.method.restorePod> {
  const { troupe } = options;
  const pods = new RestoredPods();
  return async ({ checkpointPath, config, runtimeHandler, options: more, containerConfigs }, context) => {
    const wanted = wantedOf(checkpointPath, more, containerConfigs);
    const userNamespaces =
      troupe.handlers().find(({ name }) => name === runtimeHandler)?.userNamespaces ?? false;
    const spec = translated(RPC, () => sandboxSpec(config, runtimeHandler, { ...options, userNamespaces }));
    return pods.restore(troupe, spec, context, async (podSandboxId) => {
      const restoredContainers: { name: string; containerId: ContainerId }[] = [];
      for (const { name, ...own } of wanted)
        restoredContainers.push({
          name,
          containerId: await makeContainer(options, { rpc: RPC, sandboxId: podSandboxId, ...own }, context),
        });
      return { podSandboxId, restoredContainers };
    });
  };
}

interface Wanted {
  readonly name: string;
  readonly config: ContainerConfig;
  readonly archive: string;
}

function wantedOf(
  checkpointPath: string,
  more: Readonly<Record<string, string>>,
  configs: readonly ContainerConfig[],
): readonly Wanted[] {
  const directory = absolutePath(`${RPC}: checkpoint_path`, checkpointPath);
  noOptions(RPC, more);
  return eachArchive(`${RPC}: container_configs`, configs, (field, config) => {
    const name = config.metadata?.name ?? '';
    return { name, config, archive: archiveOf(`${field}.metadata.name`, directory, name) };
  });
}
