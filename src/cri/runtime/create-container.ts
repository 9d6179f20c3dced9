import type { ContainerId, ImageId, SandboxId } from '../../base/ids.ts';
import { fail, FaultError } from '../../base/fault.ts';
import type { RuntimeService } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcHandler } from '../edge.ts';
import { findContainer, listedSandbox } from '../lookup.ts';
import type { ServiceOptions } from '../service-options.ts';
import { withKubeletPrefix } from '../status.ts';
import { translated } from '../validate/check.ts';
import { containerSpec } from '../validate/container.ts';
import { imageName } from '../validate/image.ts';

const RPC = 'CreateContainer';

/**
 * CreateContainer: everything but the process's start; the same name joins the one on its way. `sandbox_config` is a
 * copy of what RunPodSandbox was given, for runtimes that forget it; the sandbox's own record counts.
 */
export function createContainer(options: ServiceOptions): RpcHandler<typeof RuntimeService.method.createContainer> {
  const { troupe } = options;
  return async ({ podSandboxId, config }, context) => {
    const { id, spec: sandbox } = listedSandbox(troupe.directory, RPC, podSandboxId);
    const handler = troupe.handlers().find(({ name }) => name === sandbox.handler);
    const spec = translated(RPC, () => {
      if (config?.image !== undefined) imageName('config.image', config.image, troupe.handlers());
      return containerSpec(config, {
        ...options,
        sandboxId: id,
        sandbox,
        recursiveReadOnlyMounts: handler?.recursiveReadOnlyMounts ?? false,
        userNamespaces: handler?.userNamespaces ?? false,
        findTarget: (target) => findTarget(options, target, id),
        findImage: (name) => findImage(options, name),
      });
    });
    return { containerId: await troupe.createContainer(spec, context).catch(tellVolume) };
  };
}

/** What is wrong with an image as volume carries the word that the kubelet looks for (k8s.io/cri-api, pkg/errors). */
function tellVolume(thrown: unknown): never {
  if (!(thrown instanceof FaultError) || thrown.fault.subject !== 'mounts.image') throw thrown;
  throw new FaultError(withKubeletPrefix('ImageVolumeMountFailed', thrown.fault));
}

/** Only within the same sandbox: a debug container must not enter another pod (features.md K, Security). */
function findTarget({ troupe }: ServiceOptions, target: string, sandboxId: SandboxId): ContainerId | undefined {
  const view = findContainer(troupe.directory, RPC, target, 'config.linux.security_context.namespace_options.target_id');
  return view?.spec.key.sandboxId === sandboxId ? view.id : undefined;
}

function findImage({ troupe }: ServiceOptions, name: string): ImageId {
  // the peers restore a checkpoint whose archive stands in an image's place; no reference begins like that
  if (name.startsWith('/')) fail('unsupported', `restore from ${name}: this runtime takes checkpoints and restores none`, { subject: name });
  return troupe.findImage(name)?.id ?? fail('notFound', `image ${name} is not here`, { subject: name });
}
