import { checkpointLimits } from '../../base/limits.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { listedContainer, listedSandbox } from '../lookup.ts';
import type { ServiceOptions } from '../service-options.ts';
import { absolutePath, each, quoted, refuse } from '../validate/check.ts';
import { archiveOf } from '../validate/restore.ts';

const RPC = 'CheckpointPod';

/**
 * CheckpointPod: an archive `<name>.tar` of each of the chosen containers in the caller's directory, all of one moment, or
 * none. There are no options.
 */
export function checkpointPod({ troupe }: Pick<ServiceOptions, 'troupe'>): RpcHandler<typeof RuntimeService.method.checkpointPod> {
  return async ({ podSandboxId, outputPath, containerIds, options }, context) => {
    const { id } = listedSandbox(troupe.directory, RPC, podSandboxId);
    const directory = absolutePath(`${RPC}: output_path`, outputPath);
    const [unknown] = Object.keys(options);
    if (unknown !== undefined) refuse(`${RPC}: options`, `there is no option ${quoted(unknown)}`);
    const wanted = each(
      `${RPC}: container_ids`,
      containerIds,
      (field, containerId) => {
        const { id: own, spec } = listedContainer(troupe.directory, RPC, containerId);
        if (spec.key.sandboxId !== id) refuse(field, `${quoted(containerId)} is of another pod`);
        return { id: own, archive: archiveOf(field, directory, spec.key.name) };
      },
      checkpointLimits.containers,
    );
    if (wanted.length === 0) refuse(`${RPC}: container_ids`, 'names none');
    if (new Set(wanted.map(({ archive }) => archive)).size < wanted.length) refuse(`${RPC}: container_ids`, 'names one twice');
    await troupe.checkpointSandbox(id, { directory, wanted }, context);
    return {};
  };
}
