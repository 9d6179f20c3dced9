/** The start of a new container's actor: what the request, its images and its sandbox come to. */
import { fail } from '../../base/fault.ts';
import type { ContainerId, Digest } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Call } from '../directory/ask.ts';
import { nameOf } from '../images/admission.ts';
import { sourceNamed } from '../images/catalog.ts';
import type { ProcessIdentity } from '../../ports/journal.ts';
import type { ContainerSpec, ImageRecord, ImageUse } from '../../ports/specs.ts';
import { isRunning } from '../directory/phases.ts';
import type { SandboxView } from '../directory/views.ts';
import { handlerOf } from '../sandbox/sandbox.context.ts';
import { containerLabels } from './selinux.ts';
import { creationNs } from '../effects/times.ts';
import type { ContainerStage } from './container-stage.ts';

/** Its id; from here on its layers are held. Throws what refuses the request. */
export function beginContainer(
  stage: ContainerStage,
  spec: ContainerSpec,
  sandbox: SandboxView,
  attempted: string,
  { cause }: Call,
): ContainerId {
  const image = stage.ledger.images.get(spec.imageId);
  if (image === undefined)
    fail('notFound', `${attempted}: image ${spec.imageId} is not here`, { subject: spec.imageId });
  const source = spec.restore?.from;
  // from here on its layer is held
  if (source !== undefined && 'image' in source && !stage.ledger.images.has(source.image))
    fail('notFound', `${attempted}: image ${source.image}, its checkpoint, is not here`, {
      subject: source.image,
    });
  const isArtifact = image.layers.some(({ file }) => file !== undefined);
  if (isArtifact)
    fail(
      'invalidRequest',
      `${attempted}: ${imageRef(stage, image, nameOf(spec, image.id))} is an artifact, whose files can be mounted and not be run`,
      { subject: spec.imageId },
    );
  const others = stage.directory.containers();
  if (others.length >= portLimits.actorsMax) {
    fail('exhausted', `${attempted}: ${portLimits.actorsMax} containers exist`);
  }
  const id = stage.ports.random.id() as ContainerId;
  stage.startContainer({
    id,
    spec: { ...spec, selinuxLabels: containerLabels(spec, sandbox.spec.selinuxLabels) },
    handler: handlerOf(sandbox.spec),
    image: {
      id: image.id,
      ref: imageRef(stage, image, nameOf(spec, image.id)),
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

/** The images that it mounts, each once however many mounts show it. */
function volumesOf(stage: ContainerStage, spec: ContainerSpec, attempted: string): Pick<ImageUse, 'volumes'> {
  const ids = new Set(spec.mounts.flatMap(({ image }) => image?.id ?? []));
  if (ids.size === 0) return {};
  const volumes = [...ids].map((id) => {
    const image =
      stage.ledger.images.get(id) ??
      fail('notFound', `${attempted}: image ${id}, which it mounts, is not here`, { subject: id });
    return { id, layers: diffIds(image) };
  });
  return { volumes };
}

/** Of the name that the pod has for it, where that brought a manifest; else of the first that came. */
function imageRef({ ports }: ContainerStage, image: ImageRecord, name: string): string {
  return (
    sourceNamed(image, name, (reference) => ports.images.candidates(reference))?.repoDigest ??
    image.repoDigests[0] ??
    image.id
  );
}

/** The pause process for pid mode `pod`, the target's init for `target`; it must run in the same sandbox. */
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
