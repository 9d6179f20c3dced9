import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { listedContainer, listedSandbox } from '../lookup/lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { absolutePath, quoted, refuse } from '../validate/check.ts';
import { archiveOf, eachArchive, noOptions } from '../validate/restore.ts';

const RPC = 'CheckpointPod';

/**
 * CheckpointPod: writes an archive `<name>.tar` of each chosen container into the caller's directory, all of the same
 * moment; on an error none remains. There are no options.
 */
export function checkpointPod({
  troupe,
}: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.checkpointPod> {
  return async ({ podSandboxId, outputPath, containerIds, options }, context) => {
    const { id } = listedSandbox(troupe.directory, RPC, podSandboxId);
    const directory = absolutePath(`${RPC}: output_path`, outputPath);
    noOptions(RPC, options);
    const wanted = eachArchive(`${RPC}: container_ids`, containerIds, (field, containerId) => {
      const { id: own, spec } = listedContainer(troupe.directory, RPC, containerId);
      if (spec.key.sandboxId !== id) refuse(field, `${quoted(containerId)} belongs to another pod`);
      return { id: own, archive: archiveOf(field, directory, spec.key.name) };
    });
    await troupe.checkpointSandbox(id, { directory, wanted }, context);
    return {};
  };
}
