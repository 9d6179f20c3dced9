/** ContainerView → CRI messages. Pure. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import { isId } from '../../actors/images/admission.ts';
import { isOf } from '../../actors/ledger/sources.ts';
import type { ExitFact } from '../../ports/journal.ts';
import type { ImageRecord, Mount, Resources } from '../../ports/specs.ts';
import type { ContainerView } from '../../actors/directory/views.ts';
import type { ImageId } from '../../base/ids.ts';
import type {
  ContainerStatusSchema,
  LinuxContainerResourcesSchema,
  MountSchema,
} from '../../gen/runtime/v1/api_pb.ts';
import { ContainerSchema, ContainerState, MountPropagation } from '../../gen/runtime/v1/api_pb.ts';
import { criSignal } from '../validate/signals.ts';
import { ListBytes } from './list-bytes.ts';

const STATE = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
} as const;

const PROPAGATION = {
  private: MountPropagation.PROPAGATION_PRIVATE,
  hostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
} as const;

type ImageNames = Pick<ImageRecord, 'repoTags' | 'repoDigests'>;
/** The names of an image; undefined for an image that was removed. */
export type ImageOf = (id: ImageId) => ImageNames | undefined;

/** Exit code of a container whose exit code is lost; containerd reports the same. */
const UNKNOWN_EXIT_CODE = 255;

/** Encodes the answers of ListContainers. */
export const containerList = new ListBytes<ContainerView>((view) =>
  toBinary(
    ContainerSchema,
    create(ContainerSchema, { ...shared(view), podSandboxId: view.spec.key.sandboxId }),
  ),
);

export function containerState(view: ContainerView): ContainerState {
  return STATE[view.criState];
}

/**
 * Fields of both list and status. They differ in `image` where the request named it by id: lists have the id, as
 * containerd's do.
 */
function shared(view: ContainerView) {
  const { key, labels, annotations, imageRequested, imageUserSpecified } = view.spec;
  return {
    id: view.id,
    metadata: { name: key.name, attempt: key.attempt },
    image: { image: imageRequested, userSpecifiedImage: imageUserSpecified },
    imageRef: view.image.ref,
    imageId: view.image.id,
    state: containerState(view),
    createdAt: view.createdAtNs,
    labels,
    annotations,
  };
}

/**
 * The image name that the kubelet copies into the pod's status. The kubelet requests an image by its id; then the name
 * is the user's own, else one that ends like it (short names), else one of the repository that the container was
 * created from, else the image's first name, as in containerd. Names under which others pulled the image come last
 * (S86).
 */
function imageName(
  { spec: { imageRequested, imageUserSpecified }, image: { id, ref } }: ContainerView,
  imageOf: ImageOf,
): string {
  if (!isId(imageRequested, id)) return imageRequested;
  const image = imageOf(id);
  const names = [...(image?.repoTags ?? []), ...(image?.repoDigests ?? [])];
  const wanted = [imageUserSpecified, `${imageUserSpecified}:latest`];
  return (
    names.find((name) => wanted.includes(name)) ??
    names.find((name) => wanted.some((end) => name.endsWith(`/${end}`))) ??
    names.find((name) => name === ref || isOf(name, ref)) ??
    names[0] ??
    (imageUserSpecified || imageRequested)
  );
}

export function containerStatusMessage(
  view: ContainerView,
  imageOf: ImageOf,
): MessageInitShape<typeof ContainerStatusSchema> {
  const { spec, effective } = view;
  const exit = exitOf(view);
  // the request's own signal name is echoed (SIGCLD and SIGCHLD are one number); without one, the signal that will be
  // sent
  const stopSignal = spec.stopSignal === '' ? (effective?.stopSignal ?? '') : spec.stopSignal;
  return {
    ...shared(view),
    image: { image: imageName(view, imageOf), userSpecifiedImage: spec.imageUserSpecified },
    startedAt: view.startedAtNs ?? 0n,
    finishedAt: exit?.finishedAtNs ?? 0n,
    exitCode: exit?.exitCode ?? 0,
    reason: exit?.reason ?? '',
    message: exit?.message ?? '',
    mounts: spec.mounts.map((mount) => mountOf(mount, imageOf)),
    logPath: effective?.logPath ?? '',
    resources: { linux: resourcesOf(spec.resources) },
    stopSignal: criSignal(stopSignal),
    ...(effective === undefined ? {} : { user: { linux: userOf(effective) } }),
  };
}

/**
 * The statuses of a pod's listed containers, the newest first: of several attempts under one name the kubelet's evented
 * PLEG takes the first for the present one (GetPodStatus, which does not sort them).
 */
export function statusesOfPod(
  containers: readonly ContainerView[],
  imageOf: ImageOf,
): MessageInitShape<typeof ContainerStatusSchema>[] {
  return containers
    .filter(({ listed }) => listed)
    .toSorted((a, b) => Number(b.createdAtNs - a.createdAtNs))
    .map((one) => containerStatusMessage(one, imageOf));
}

/** The exit of an ended container; without a recorded exit, its time and exit code are placeholders. */
function exitOf(
  view: ContainerView,
): Pick<ExitFact, 'exitCode' | 'finishedAtNs' | 'reason' | 'message'> | undefined {
  if (view.criState !== 'exited') return undefined;
  return (
    view.exit ?? {
      exitCode: UNKNOWN_EXIT_CODE,
      finishedAtNs: view.startedAtNs ?? view.createdAtNs,
      reason: 'Unknown',
      message: 'exit code not known',
    }
  );
}

function userOf({ uid, gid, supplementalGroups }: NonNullable<ContainerView['effective']>) {
  return { uid: BigInt(uid), gid: BigInt(gid), supplementalGroups: supplementalGroups.map(BigInt) };
}

function mountOf(mount: Mount, imageOf: ImageOf): MessageInitShape<typeof MountSchema> {
  const {
    containerPath,
    hostPath,
    readonly,
    recursiveReadOnly,
    propagation,
    selinuxRelabel,
    idMappings,
    options,
    image,
  } = mount;
  return {
    containerPath,
    hostPath,
    readonly,
    recursiveReadOnly,
    selinuxRelabel,
    propagation: PROPAGATION[propagation],
    ...(options === undefined ? {} : { mountOptions: [...options] }),
    // exactly the id of Image.id: the kubelet's image garbage collection compares them to see that the image is in use;
    // image_ref has the form of ContainerStatus.image_ref
    ...(image === undefined
      ? {}
      : {
          image: { image: image.id, imageRef: imageOf(image.id)?.repoDigests[0] ?? image.id },
          imageSubPath: image.subPath,
        }),
    ...(idMappings === undefined ? {} : { uidMappings: [idMappings.uids], gidMappings: [idMappings.gids] }),
  };
}

function resourcesOf(resources: Resources): MessageInitShape<typeof LinuxContainerResourcesSchema> {
  return {
    cpuPeriod: resources.cpuPeriod ?? 0n,
    cpuQuota: resources.cpuQuota ?? 0n,
    cpuShares: resources.cpuShares ?? 0n,
    memoryLimitInBytes: resources.memoryLimitBytes ?? 0n,
    memorySwapLimitInBytes: resources.memorySwapLimitBytes ?? 0n,
    oomScoreAdj: BigInt(resources.oomScoreAdj),
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
    hugepageLimits: resources.hugepageLimits.map(({ pageSize, limitBytes }) => ({
      pageSize,
      limit: limitBytes,
    })),
    unified: resources.unified,
  };
}
