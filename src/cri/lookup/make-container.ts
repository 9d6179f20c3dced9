/** Creates a container from a ContainerConfig: CreateContainer creates one, RestorePod one for each config. */
import type { RestoreSource } from '../../ports/specs.ts';
import type { ContainerId, ImageId, SandboxId } from '../../base/ids.ts';
import { fail, FaultError } from '../../base/fault.ts';
import type { ContainerConfig } from '../../gen/runtime/v1/api_pb.ts';
import type { RpcContext } from '../call/edge.ts';
import { findContainer, listedSandbox } from './lookup.ts';
import type { ServiceOptions } from '../call/service-options.ts';
import { forKubelet, withKubeletPrefix } from '../call/status.ts';
import { absolutePath, quoted, refuse, translated } from '../validate/check.ts';
import { containerSpec } from '../validate/container.ts';
import { imageName } from '../validate/image.ts';
import { restored } from '../validate/restore.ts';

export interface MakeContainerRequest {
  readonly rpc: string;
  readonly sandboxId: SandboxId;
  readonly config: ContainerConfig | undefined;
  /** Whether the pod has a privileged container now; its sandbox may have been made for one that had none. */
  readonly isPrivilegedPod?: boolean;
  /**
   * Path of the checkpoint to restore from; it was taken from a container of the config's image. Absent: the config's
   * image may be a checkpoint.
   */
  readonly archive?: string;
}

/**
 * Creates a container in a listed sandbox and returns its id. As with the peers, the config's image may be a
 * checkpoint: the path of an archive, or an image that holds one. Such a container is restored when it is started; all
 * else is as its config says.
 */
export async function makeContainer(
  options: ServiceOptions,
  { rpc, sandboxId, config, isPrivilegedPod = false, archive }: MakeContainerRequest,
  context: RpcContext,
): Promise<ContainerId> {
  const { troupe } = options;
  const { spec: sandbox } = listedSandbox(troupe.directory, rpc, sandboxId);
  // the sandbox keeps the handler that it was created with, whatever the default is now
  const handler = troupe.handlers().find(({ name }) => name === (sandbox.runtime?.name ?? sandbox.handler));
  const name = translated(rpc, () =>
    config?.image === undefined ? '' : imageName('config.image', config.image, troupe.handlers()),
  );
  const reference = config?.image?.userSpecifiedImage || name;
  const from =
    archive === undefined ? translated(rpc, () => checkpointIn(options, name, reference)) : { archive };
  const facts =
    from === undefined
      ? undefined
      : await troupe.describeCheckpoint(
          { attempted: `${rpc} from ${archive ?? name}`, sandboxId, from },
          context,
        );
  const spec = translated(rpc, () => {
    const requested = containerSpec(config, {
      ...options,
      sandboxId,
      sandbox,
      isPrivilegedPod: isPrivilegedPod || sandbox.privileged,
      recursiveReadOnlyMounts: handler?.recursiveReadOnlyMounts ?? false,
      userNamespaces: handler?.userNamespaces ?? false,
      findTarget: (target) => findTarget(options, rpc, target, sandboxId),
      // mounts may name other images
      findImage: (asked) =>
        findImage(
          options,
          facts !== undefined && archive === undefined && asked === name ? facts.images : [asked],
        ),
    });
    if (from === undefined || facts === undefined) return requested;
    if (requested.imageId !== findImage(options, facts.images))
      refuse(
        'config.image',
        `${quoted(name)} is not the image of the checkpoint, ${facts.images.slice(0, 1).map(quoted).join('')}`,
      );
    return restored(requested, sandbox, from, facts);
  });
  return troupe.createContainer(spec, context).catch(throwForKubelet);
}

/**
 * The checkpoint that an image name refers to; undefined for an ordinary image, and for one that is not present. Only
 * the manifest pulled by the pod's own reference marks an image as a checkpoint: neither a manifest that another pod
 * pulled nor an image id does (S86).
 */
function checkpointIn(
  { troupe, restoresCheckpoints }: ServiceOptions,
  name: string,
  reference: string,
): RestoreSource['from'] | undefined {
  // an image reference never begins with a slash
  if (name.startsWith('/')) return { archive: absolutePath('config.image.image', name) };
  const image = name === '' || !restoresCheckpoints ? undefined : troupe.findImage(name);
  if (image === undefined || troupe.sourceOf(image, reference)?.checkpointOf === undefined) return undefined;
  const [layer, ...more] = image.layers;
  if (layer === undefined || more.length > 0)
    refuse(
      'config.image.image',
      `${quoted(name)} is a checkpoint of ${image.layers.length} layers, not of one`,
    );
  return { image: image.id, layer: layer.diffId };
}

/**
 * Rethrows with the prefix that the kubelet expects for pulls, and for images mounted as volumes (k8s.io/cri-api,
 * pkg/errors).
 */
function throwForKubelet(thrown: unknown): never {
  if (!(thrown instanceof FaultError) || thrown.fault.subject !== 'mounts.image') throw forKubelet(thrown);
  throw new FaultError(withKubeletPrefix('ImageVolumeMountFailed', thrown.fault));
}

/**
 * The container of a target_id, within the same sandbox only: a debug container must not join the PID namespace of
 * another pod.
 */
function findTarget(
  { troupe }: ServiceOptions,
  rpc: string,
  target: string,
  sandboxId: SandboxId,
): ContainerId | undefined {
  const view = findContainer(
    troupe.directory,
    rpc,
    target,
    'config.linux.security_context.namespace_options.target_id',
  );
  return view?.spec.key.sandboxId === sandboxId ? view.id : undefined;
}

/**
 * The first of these images that is present. A checkpoint names its image only for this: the name causes no pull and no
 * new tag (S30).
 */
function findImage({ troupe }: ServiceOptions, names: readonly string[]): ImageId {
  for (const name of names) {
    const found = troupe.findImage(name);
    if (found !== undefined) return found.id;
  }
  const many = names.find((name) => troupe.isAmbiguousImage(name));
  if (many !== undefined)
    fail('invalidRequest', `image ${many}: it is a prefix of several ids`, { subject: many });
  const [first = ''] = names;
  return fail('notFound', `image ${first}: not found`, { subject: first });
}
