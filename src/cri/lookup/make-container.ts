/** The container of a config: what CreateContainer makes one of, and RestorePod each of its. */
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

export interface ContainerWish {
  readonly rpc: string;
  readonly sandboxId: SandboxId;
  readonly config: ContainerConfig | undefined;
  /** Path of the checkpoint that it is restored from, of the image in the config; left out where the image may be one. */
  readonly archive?: string;
}

/**
 * The container of a config in a listed sandbox. As with the peers, the archive of a checkpoint may stand in the image's
 * place, by its path or as an image: then it is restored by its start, in all else as the config has it.
 */
export async function makeContainer(
  options: ServiceOptions,
  { rpc, sandboxId, config, archive }: ContainerWish,
  context: RpcContext,
): Promise<ContainerId> {
  const { troupe } = options;
  const { spec: sandbox } = listedSandbox(troupe.directory, rpc, sandboxId);
  const handler = troupe.handlers().find(({ name }) => name === sandbox.handler);
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
    const wish = containerSpec(config, {
      ...options,
      sandboxId,
      sandbox,
      recursiveReadOnlyMounts: handler?.recursiveReadOnlyMounts ?? false,
      userNamespaces: handler?.userNamespaces ?? false,
      findTarget: (target) => findTarget(options, rpc, target, sandboxId),
      // its mounts may name others
      findImage: (asked) =>
        findImage(
          options,
          facts !== undefined && archive === undefined && asked === name ? facts.images : [asked],
        ),
    });
    if (from === undefined || facts === undefined) return wish;
    if (wish.imageId !== findImage(options, facts.images))
      refuse(
        'config.image',
        `${quoted(name)} is not the image of the checkpoint, ${facts.images.slice(0, 1).map(quoted).join('')}`,
      );
    return restored(wish, sandbox, from, facts);
  });
  return troupe.createContainer(spec, context).catch(tellKubelet);
}

/**
 * The checkpoint that an image's name stands for; undefined for an image of programs, and for one that is not here. It is
 * one by the manifest that the pod's own reference brought: another's manifest, or an id, makes no image a checkpoint (S86).
 */
function checkpointIn(
  { troupe, restoresCheckpoints }: ServiceOptions,
  name: string,
  reference: string,
): RestoreSource['from'] | undefined {
  // no reference begins like that
  if (name.startsWith('/')) return { archive: absolutePath('config.image.image', name) };
  const image = name === '' || !restoresCheckpoints ? undefined : troupe.findImage(name);
  if (image === undefined || troupe.sourceOf(image, reference)?.checkpointOf === undefined) return undefined;
  const [layer, ...more] = image.layers;
  if (layer === undefined || more.length > 0)
    refuse(
      'config.image.image',
      `${quoted(name)} is a checkpoint of ${image.layers.length} layers, and is to have one`,
    );
  return { image: image.id, layer: layer.diffId };
}

/** What is wrong with an image, above all with one as volume, carries the word that the kubelet looks for (k8s.io/cri-api, pkg/errors). */
function tellKubelet(thrown: unknown): never {
  if (!(thrown instanceof FaultError) || thrown.fault.subject !== 'mounts.image') throw forKubelet(thrown);
  throw new FaultError(withKubeletPrefix('ImageVolumeMountFailed', thrown.fault));
}

/** Only within the same sandbox: a debug container must not enter another pod (features.md K, Security). */
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

/** The first that is here. A checkpoint names its image only to find it: nothing is pulled or named by it (S30). */
function findImage({ troupe }: ServiceOptions, names: readonly string[]): ImageId {
  for (const name of names) {
    const found = troupe.findImage(name);
    if (found !== undefined) return found.id;
  }
  const [first = ''] = names;
  return fail('notFound', `image ${first} is not here`, { subject: first });
}
