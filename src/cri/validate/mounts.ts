/** Mounts and devices of a container. Pure: whether a source exists is the bundle writer's to find out. */
import type { Device, Mount, MountOption, Namespaces } from '../../ports/specs.ts';
import { fault, FaultError, toFault } from '../../base/fault.ts';
import type { ImageId } from '../../base/ids.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Device as DeviceMessage, Mount as MountMessage } from '../../gen/runtime/v1/api_pb.ts';
import { MountPropagation } from '../../gen/runtime/v1/api_pb.ts';
import { withKubeletPrefix } from '../call/status.ts';
import { absolutePath, each, line, path, quoted, refuse, unset, word } from './check.ts';
import { mountMappings } from './userns.ts';

export interface MountPolicy {
  /** Of the sandbox's handler. */
  readonly recursiveReadOnlyMounts: boolean;
  /** Of the same: whether it can show a source's files with other owners. */
  readonly userNamespaces: boolean;
  readonly sandbox: { readonly namespaces: Pick<Namespaces, 'user'> };
  /** The image of that name; throws when it is not here. */
  readonly findImage: (name: string) => ImageId;
}

const PROPAGATION = {
  [MountPropagation.PROPAGATION_PRIVATE]: 'private',
  [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: 'hostToContainer',
  [MountPropagation.PROPAGATION_BIDIRECTIONAL]: 'bidirectional',
} as const;

/** Bind mounts of host paths, and of images. */
export function mounts(field: string, asked: readonly MountMessage[], policy: MountPolicy): readonly Mount[] {
  return each(field, asked, (at, mount) =>
    mount.image === undefined || mount.image.image === ''
      ? bindMount(at, mount, policy)
      : imageMount(at, mount, policy),
  );
}

function placeOf(field: string, mount: MountMessage): string {
  const containerPath = absolutePath(`${field}.container_path`, mount.containerPath);
  return /^\/[/.]*$/u.test(containerPath)
    ? refuse(`${field}.container_path`, 'is the root directory')
    : containerPath;
}

/**
 * An image as a directory (KEP-4639): always read-only, from the image that the kubelet has had pulled. Mappings are not
 * looked at: in a user namespace its files belong to the pod's ids, as those of the container's own image do.
 */
function imageMount(field: string, mount: MountMessage, policy: MountPolicy): Mount {
  unset(`${field}.host_path`, mount.hostPath === '', 'a host path beside an image is');
  const containerPath = placeOf(field, mount);
  if (!mount.readonly) refuse(`${field}.readonly`, 'is not set, but an image cannot be written to');
  if (word(`${field}.propagation`, mount.propagation, PROPAGATION) !== 'private')
    refuse(`${field}.propagation`, 'is not PROPAGATION_PRIVATE: nothing is mounted below an image');
  return {
    containerPath,
    hostPath: '',
    readonly: true,
    recursiveReadOnly: mount.recursiveReadOnly,
    propagation: 'private',
    selinuxRelabel: false,
    ...options(`${field}.mount_options`, mount.mountOptions),
    image: {
      subPath: subPath(`${field}.image_sub_path`, mount.imageSubPath),
      id: imageOf(`${field}.image`, mount, policy),
    },
  };
}

/** Relative, and within the image whatever links it has (S45). */
function subPath(field: string, value: string): string {
  if (value === '') return '';
  if (value.startsWith('/')) refuse(field, `${quoted(value)} is absolute`);
  return path(field, value);
}

function imageOf(field: string, { image }: MountMessage, { findImage }: MountPolicy): ImageId {
  try {
    return findImage(line(`${field}.image`, image?.image ?? '', portLimits.imageNameBytes));
  } catch (thrown) {
    if (!(thrown instanceof FaultError) || thrown.fault.kind !== 'notFound') throw thrown;
    throw new FaultError(withKubeletPrefix('ImageVolumeMountFailed', toFault(thrown, field)));
  }
}

function bindMount(field: string, mount: MountMessage, policy: MountPolicy): Mount {
  unset(`${field}.image_sub_path`, mount.imageSubPath === '', 'a sub-path without an image is');
  const parsed: Mount = {
    containerPath: placeOf(field, mount),
    hostPath: absolutePath(`${field}.host_path`, mount.hostPath),
    readonly: mount.readonly,
    recursiveReadOnly: mount.recursiveReadOnly,
    propagation: word(`${field}.propagation`, mount.propagation, PROPAGATION),
    selinuxRelabel: mount.selinuxRelabel,
    ...mapped(field, mount, policy),
    ...options(`${field}.mount_options`, mount.mountOptions),
  };
  // mounts of a user namespace never reach the one above (mount_namespaces(7)): it would be lost without a word
  if (parsed.propagation === 'bidirectional' && policy.sandbox.namespaces.user !== undefined) {
    refuse(`${field}.propagation`, 'PROPAGATION_BIDIRECTIONAL cannot be in a user namespace');
  }
  if (parsed.recursiveReadOnly) checkRecursive(`${field}.recursive_read_only`, parsed, policy);
  return parsed;
}

/** Volumes of pods with a user namespace, which the kubelet maps; a mount without keeps its owners. */
function mapped(
  field: string,
  { uidMappings, gidMappings }: MountMessage,
  policy: MountPolicy,
): Pick<Mount, 'idMappings'> {
  const idMappings = mountMappings(field, uidMappings, gidMappings);
  if (idMappings === undefined) return {};
  return policy.userNamespaces
    ? { idMappings }
    : refuse(
        `${field}.uidMappings`,
        'an id-mapped mount is more than the runtime handler or the kernel can do',
      );
}

const OPTIONS: readonly string[] = ['noexec', 'nodev', 'nosuid'] satisfies readonly MountOption[];

/** Those of the contract and no other: an option such as `exec` or `rbind` would undo what the rest of the mount says. */
function options(field: string, asked: readonly string[]): Pick<Mount, 'options'> {
  const known = (option: string): option is MountOption => OPTIONS.includes(option);
  const checked = each(field, asked, (at, option) =>
    known(option) ? option : refuse(at, `${quoted(option)} is none of ${OPTIONS.join(', ')}`),
  );
  return checked.length === 0 ? {} : { options: [...new Set(checked)].toSorted() };
}

function checkRecursive(field: string, mount: Mount, policy: MountPolicy): void {
  if (!mount.readonly) refuse(field, 'is set, but readonly is not');
  if (mount.propagation !== 'private') refuse(field, 'is set, but propagation is not PROPAGATION_PRIVATE');
  if (policy.recursiveReadOnlyMounts) return;
  const cannot = fault('invalidRequest', `${field}: the runtime handler cannot do it`, { subject: field });
  throw new FaultError(withKubeletPrefix('RROUnsupported', cannot));
}

/** Devices of the host. */
export function devices(
  field: string,
  asked: readonly DeviceMessage[],
  { user }: Namespaces,
): readonly Device[] {
  return each(field, asked, (at, device) => {
    const { containerPath, hostPath } = device;
    // nodes can't be made in a user namespace: runtimes bind the one that the host has at the same path (runc)
    if (user !== undefined && containerPath !== hostPath) {
      refuse(`${at}.container_path`, 'is not the host path, as it must be in a user namespace');
    }
    return {
      containerPath: absolutePath(`${at}.container_path`, containerPath),
      hostPath: absolutePath(`${at}.host_path`, hostPath),
      permissions: permissions(`${at}.permissions`, device.permissions),
    };
  });
}

function permissions(field: string, value: string): string {
  const isSubset = /^[rwm]{0,3}$/u.test(value) && new Set(value).size === value.length;
  return isSubset ? value : refuse(field, `${quoted(value)} is not made of r, w and m, each once at most`);
}
