/** Mounts and devices of a container. Pure: the bundle writer checks whether a source exists. */
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
  /** Whether the sandbox's handler supports recursive read-only mounts. */
  readonly recursiveReadOnlyMounts: boolean;
  /** Whether the sandbox's handler supports user namespaces and ID-mapped mounts. */
  readonly userNamespaces: boolean;
  readonly sandbox: { readonly namespaces: Pick<Namespaces, 'user'> };
  /** Finds the image of that name; throws `notFound`. */
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

function containerPathOf(field: string, mount: MountMessage): string {
  const containerPath = absolutePath(`${field}.container_path`, mount.containerPath);
  return /^\/[/.]*$/u.test(containerPath)
    ? refuse(`${field}.container_path`, 'is the root directory')
    : containerPath;
}

/**
 * An image volume (KEP-4639): a read-only directory of an image that the kubelet has pulled. Mappings are ignored: in a
 * user namespace its files belong to the pod's ids, as those of the container's own image do.
 */
function imageMount(field: string, mount: MountMessage, policy: MountPolicy): Mount {
  unset(`${field}.host_path`, mount.hostPath === '', 'a host path beside an image is');
  const containerPath = containerPathOf(field, mount);
  if (!mount.readonly) refuse(`${field}.readonly`, 'is not set, but an image volume is read-only');
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

/** A relative path. It is resolved within the image, symbolic links included (S45). */
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
    containerPath: containerPathOf(field, mount),
    hostPath: absolutePath(`${field}.host_path`, mount.hostPath),
    readonly: mount.readonly,
    recursiveReadOnly: mount.recursiveReadOnly,
    propagation: word(`${field}.propagation`, mount.propagation, PROPAGATION),
    selinuxRelabel: mount.selinuxRelabel,
    ...mapped(field, mount, policy),
    ...options(`${field}.mount_options`, mount.mountOptions),
  };
  // mounts in a user namespace never propagate to the host (mount_namespaces(7)): the option would silently do nothing
  if (parsed.propagation === 'bidirectional' && policy.sandbox.namespaces.user !== undefined) {
    refuse(`${field}.propagation`, 'PROPAGATION_BIDIRECTIONAL is not possible in a user namespace');
  }
  if (parsed.recursiveReadOnly) checkRecursive(`${field}.recursive_read_only`, parsed, policy);
  return parsed;
}

/**
 * ID mappings of a volume, which the kubelet sets for pods with a user namespace. Without them files keep their owners.
 */
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
        'ID-mapped mounts are not supported by the runtime handler or the kernel',
      );
}

const OPTIONS: readonly string[] = ['noexec', 'nodev', 'nosuid'] satisfies readonly MountOption[];

/** Mount options of the contract only: an option such as `exec` or `rbind` would override other fields of the mount. */
function options(field: string, asked: readonly string[]): Pick<Mount, 'options'> {
  const known = (option: string): option is MountOption => OPTIONS.includes(option);
  const checked = each(field, asked, (at, option) =>
    known(option) ? option : refuse(at, `${quoted(option)} is not one of ${OPTIONS.join(', ')}`),
  );
  return checked.length === 0 ? {} : { options: [...new Set(checked)].toSorted() };
}

function checkRecursive(field: string, mount: Mount, policy: MountPolicy): void {
  if (!mount.readonly) refuse(field, 'is set, but readonly is not');
  if (mount.propagation !== 'private') refuse(field, 'is set, but propagation is not PROPAGATION_PRIVATE');
  if (policy.recursiveReadOnlyMounts) return;
  const cannot = fault('invalidRequest', `${field}: not supported by the runtime handler`, {
    subject: field,
  });
  throw new FaultError(withKubeletPrefix('RROUnsupported', cannot));
}

/** Devices of the host, by path. */
export function devices(
  field: string,
  asked: readonly DeviceMessage[],
  { user }: Namespaces,
): readonly Device[] {
  return each(field, asked, (at, device) => {
    const { containerPath, hostPath } = device;
    // device nodes can't be created in a user namespace: runc bind-mounts the host's node at the same path
    if (user !== undefined && containerPath !== hostPath) {
      refuse(`${at}.container_path`, 'differs from host_path, which is not possible in a user namespace');
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
  return isSubset ? value : refuse(field, `${quoted(value)} is not a set of r, w and m`);
}
