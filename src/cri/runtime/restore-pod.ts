import type { Call } from '../../actors/directory/ask.ts';
import { FaultError, restated, toFault } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { ContainerConfig, RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../call/edge.ts';
import { makeContainer } from '../lookup/make-container.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { absolutePath, translated } from '../validate/check.ts';
import { archiveOf, eachArchive, noOptions } from '../validate/restore.ts';
import { sandboxSpec } from '../validate/sandbox.ts';

const RPC = 'RestorePod';

/**
 * RestorePod: creates a pod with one container for each config. StartContainer restores it from the archive
 * `<name>.tar` that CheckpointPod wrote into the directory. On an error the pod is removed, unless another call of the
 * same name is at work on it, or has made it and one of its containers was started since. There are no options.
 */
export function restorePod(options: ServiceOptions): RpcHandler<typeof RuntimeService.method.restorePod> {
  const { troupe } = options;
  const calls = new Map<SandboxId, number>();
  return async ({ checkpointPath, config, runtimeHandler, options: more, containerConfigs }, context) => {
    const wanted = wantedOf(checkpointPath, more, containerConfigs);
    const userNamespaces =
      troupe.handlers().find(({ name }) => name === runtimeHandler)?.userNamespaces ?? false;
    const spec = translated(RPC, () => sandboxSpec(config, runtimeHandler, { ...options, userNamespaces }));
    const podSandboxId = await troupe.runSandbox(spec, context);
    const leave = enter(calls, podSandboxId);
    try {
      const restoredContainers: { name: string; containerId: ContainerId }[] = [];
      for (const { name, ...own } of wanted)
        restoredContainers.push({
          name,
          containerId: await makeContainer(options, { rpc: RPC, sandboxId: podSandboxId, ...own }, context),
        });
      leave();
      return { podSandboxId, restoredContainers };
    } catch (error) {
      if (leave() > 0 || isUsed(options, podSandboxId)) throw error;
      return removeAndThrow(options, podSandboxId, error, context);
    }
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

/** A call begins to work on a pod; the returned function ends that, and gives the number of calls that are left. */
function enter(calls: Map<SandboxId, number>, id: SandboxId): () => number {
  calls.set(id, (calls.get(id) ?? 0) + 1);
  return () => {
    const left = (calls.get(id) ?? 1) - 1;
    if (left > 0) calls.set(id, left);
    else calls.delete(id);
    return left;
  };
}

/** A client has started a container of the pod: it was restored before, and a repeated call must not end it (I13). */
function isUsed({ troupe }: ServiceOptions, id: SandboxId): boolean {
  return troupe.directory
    .containersOf(id)
    .some(({ startedAtNs, startUnrecorded }) => startedAtNs !== undefined && !startUnrecorded);
}

/**
 * Removes the pod and rethrows. It does not depend on the caller, who may have gone; each step of a removal has its own
 * timeout.
 */
async function removeAndThrow(
  { troupe }: ServiceOptions,
  id: SandboxId,
  thrown: unknown,
  { cause }: Pick<Call, 'cause'>,
): Promise<never> {
  try {
    await troupe.removeSandbox(id, {
      cause,
      signal: new AbortController().signal,
      deadlineMonoMs: undefined,
    });
  } catch (error) {
    const [why, removal] = [toFault(thrown), toFault(error)];
    const { kind, subject, retryable } = why;
    const message = `${why.message}; remove pod ${id}: ${removal.message}`;
    throw new FaultError(restated(kind, message, removal, { subject, retryable, cause: why }));
  }
  throw thrown;
}
