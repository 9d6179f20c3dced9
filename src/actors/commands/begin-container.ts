/** Starts the actor of a new container from the request, its images and its sandbox. */
import { fail } from '../../base/fault.ts';
import type { ContainerId, Digest } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import { imageNameOf } from '../images/admission.ts';
import { sourceNamed } from '../images/catalog.ts';
import type { ProcessIdentity } from '../../ports/journal.ts';
import type { ContainerSpec, ImageRecord, ImageUse } from '../../ports/specs.ts';
import { isRunning } from '../directory/phases.ts';
import type { SandboxView } from '../directory/views.ts';
import { handlerOf } from '../sandbox/sandbox.context.ts';
import { containerLabels } from './selinux.ts';
import { creationNs } from '../effects/times.ts';
import type { ContainerStage } from './container-stage.ts';

/**
 * Starts the actor and returns the new id; from now on the container's layers are kept. Throws to refuse the request.
 */
export function beginContainer(
  stage: ContainerStage,
  spec: ContainerSpec,
  sandbox: SandboxView,
  attempted: string,
  { cause }: Call,
): ContainerId {
  const image = stage.ledger.images.get(spec.imageId);
  if (image === undefined)
    fail('notFound', `${attempted}: image ${spec.imageId}: not found`, { subject: spec.imageId });
  const source = spec.restore?.from;
  // checked in the same turn as the start below, from which on its layer is kept
  if (source !== undefined && 'image' in source && !stage.ledger.images.has(source.image))
    fail('notFound', `${attempted}: image ${source.image}, its checkpoint: not found`, {
      subject: source.image,
    });
  const isArtifact = image.layers.some(({ file }) => file !== undefined);
  if (isArtifact)
    fail(
      'invalidRequest',
      `${attempted}: ${imageRef(stage, image, imageNameOf(spec, image.id))} is an artifact: its files can be mounted but not run`,
      { subject: spec.imageId },
    );
  const others = stage.directory.containers();
  if (others.length >= portLimits.actorsMax) {
    fail('exhausted', `${attempted}: ${portLimits.actorsMax} containers exist`);
  }
  const id = stage.ports.random.id() as ContainerId;
  stage.startContainer({
    id,
    spec: {
      ...spec,
      selinuxLabels: containerLabels(spec, sandbox.spec.selinuxLabels, stage.selinux?.privileged),
    },
    handler: handlerOf(sandbox.spec),
    image: {
      id: image.id,
      ref: imageRef(stage, image, imageNameOf(spec, image.id)),
      layers: diffIds(image),
      ...volumesOf(stage, spec, attempted),
    },
    createdAtNs: creationNs(stage.ports.clock, others),
    entry: 'new',
    making: {
      sandbox: sandbox.spec,
      imageConfig: image.config,
      pidNamespaceOf: pidNamespaceOf(stage, spec, sandbox, attempted),
    },
    begun: [],
    init: undefined,
    effective: undefined,
    startedAtNs: undefined,
    exit: undefined,
    graceMs: 0,
    claimed: false,
    cause,
  });
  return id;
}

function diffIds({ layers }: ImageRecord): readonly Digest[] {
  return layers.map((layer) => layer.diffId);
}

/** The images that the container mounts, each listed once even if several mounts show it. */
function volumesOf(stage: ContainerStage, spec: ContainerSpec, attempted: string): Pick<ImageUse, 'volumes'> {
  const ids = new Set(spec.mounts.flatMap(({ image }) => image?.id ?? []));
  if (ids.size === 0) return {};
  const volumes = [...ids].map((id) => {
    const image =
      stage.ledger.images.get(id) ??
      fail('notFound', `${attempted}: image ${id}, which it mounts: not found`, { subject: id });
    return { id, layers: diffIds(image) };
  });
  return { volumes };
}

/** The digest reference that the pod's name for the image was pulled as; else the image's first one, else its id. */
function imageRef({ ports }: ContainerStage, image: ImageRecord, name: string): string {
  return (
    sourceNamed(image, name, (reference) => ports.images.candidates(reference))?.repoDigest ??
    image.repoDigests[0] ??
    image.id
  );
}

/** The pause process for PID mode `pod`; for `target` the target's init, which must run in the same sandbox. */
function pidNamespaceOf(
  stage: ContainerStage,
  spec: ContainerSpec,
  sandbox: SandboxView,
  attempted: string,
): ProcessIdentity | undefined {
  const { pid, targetId } = spec.security.namespaces;
  if (pid === 'pod') {
    if (sandbox.pause !== undefined) return sandbox.pause;
    return fail(
      'invalidRequest',
      `${attempted}: namespace_options.pid is POD, but the sandbox does not share its PID namespace`,
    );
  }
  if (pid !== 'target') return undefined;
  const target = targetId === undefined ? undefined : stage.directory.container(targetId);
  if (target === undefined || target.spec.key.sandboxId !== sandbox.id) {
    return fail(
      'invalidRequest',
      `${attempted}: namespace_options.target_id names no container of this sandbox`,
    );
  }
  if (!isRunning(target) || target.init === undefined) {
    return fail('wrongState', `${attempted}: target container ${target.id} is ${target.path}, not running`);
  }
  return target.init;
}
