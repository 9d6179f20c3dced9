/** The host's device nodes that a container gets. */
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import type { Device } from '../../../../ports/specs.ts';
import { fail } from '../../../../base/fault.ts';
import { specLimits } from '../../bounds.ts';
import { deviceNumbers } from '../../../../host/ffi/constants.ts';
import { isAbsent, missingAs } from '../../../../host/ffi/errno.ts';
import type { OnPath } from './bundle-mounts.ts';
import type { ResolvedDevice } from '../../spec/input.ts';

/**
 * Entries of /dev that are not the host's to share: the runtime makes them for each container, or they are not
 * devices.
 */
const NOT_SHARED: ReadonlySet<string> = new Set([
  'pts',
  'ptmx',
  'shm',
  'mqueue',
  'fd',
  'console',
  '.udev',
  '.lxc',
  '.lxd-mounts',
  'hugepages',
]);

export interface DeviceContext {
  readonly onPath: OnPath;
  readonly remote: ReadonlySet<string>;
  /** Owner of the requested nodes in the container, instead of the host's. */
  readonly owner: { readonly uid?: number; readonly gid?: number };
}

/**
 * The requested devices; for a privileged container all of the host's come first. Throws `invalidRequest`.
 * Directories in `remote` (mount points of file systems that may not answer) are not searched: they hold no devices
 * of this host.
 */
export async function resolveDevices(
  devices: readonly Device[],
  isPrivileged: boolean,
  { onPath, remote, owner }: DeviceContext,
): Promise<readonly ResolvedDevice[]> {
  const byPath = new Map<string, ResolvedDevice>();
  const add = (device: ResolvedDevice): void => {
    byPath.set(device.path, device);
    if (byPath.size > specLimits.devices) {
      fail('exhausted', `collect devices: more than ${specLimits.devices}`, { subject: 'devices' });
    }
  };
  if (isPrivileged) {
    for (const device of await onPath('/dev', 'list the devices of the host', () => hostDevices(remote)))
      add(device);
  }
  const ofHost = new Set(byPath.keys());
  for (const device of devices) {
    const { from, to, permissions } = checked(device);
    if (from !== to && ofHost.has(to)) {
      fail(
        'invalidRequest',
        `use device ${from} as ${to}: a privileged container has the host's device of that name`,
        {
          subject: 'devices.container_path',
        },
      );
    }
    for (const found of await onPath(from, `use device ${from}`, () =>
      requested(from, to, permissions, remote),
    ))
      add({ ...found, ...owner });
  }
  return [...byPath.values()];
}

function checked(device: Device): {
  readonly from: string;
  readonly to: string;
  readonly permissions: string;
} {
  const from = posix.normalize(device.hostPath);
  const to = posix.normalize(device.containerPath === '' ? device.hostPath : device.containerPath);
  const refuse = (field: string, reason: string): never =>
    fail('invalidRequest', `use device ${JSON.stringify(device.hostPath)}: ${reason}`, {
      subject: `devices.${field}`,
    });
  if (!posix.isAbsolute(from) || from.includes('\0')) refuse('host_path', 'not an absolute path');
  if (!posix.isAbsolute(to) || to.includes('\0') || to === '/')
    refuse('container_path', 'not an absolute path in the container');
  if (!/^[rwm]*$/u.test(device.permissions))
    refuse('permissions', `${JSON.stringify(device.permissions)} is not a subset of rwm`);
  // unset means all permissions, as in Docker's --device
  const letters = device.permissions === '' ? 'rwm' : device.permissions;
  return { from, to, permissions: ['r', 'w', 'm'].filter((letter) => letters.includes(letter)).join('') };
}

async function requested(
  from: string,
  to: string,
  permissions: string,
  remote: ReadonlySet<string>,
): Promise<readonly ResolvedDevice[]> {
  const refuse = (reason: string): never =>
    fail('invalidRequest', `use device ${from}: ${reason}`, { subject: 'devices.host_path' });
  try {
    const one = await nodeOf(from, to, permissions);
    if (one !== undefined) return [one];
    if (!(await stat(from)).isDirectory()) return refuse('neither a device nor a directory of devices');
  } catch (error) {
    if (isAbsent(error)) return refuse('not found');
    throw error;
  }
  const found = await nodesBelow(from, to, permissions, { names: new Set(), paths: remote });
  return found.length > 0 ? found : refuse('a directory without a device');
}

function hostDevices(remote: ReadonlySet<string>): Promise<readonly ResolvedDevice[]> {
  return nodesBelow('/dev', '/dev', 'rwm', { names: NOT_SHARED, paths: remote });
}

interface Skipped {
  /** At the first level. */
  readonly names: ReadonlySet<string>;
  /** At every level. */
  readonly paths: ReadonlySet<string>;
}

async function nodesBelow(
  from: string,
  to: string,
  permissions: string,
  skipped: Skipped,
  depth = 1,
): Promise<readonly ResolvedDevice[]> {
  const found: ResolvedDevice[] = [];
  for (const entry of await entries(from)) {
    const [path, place] = [posix.join(from, entry.name), posix.join(to, entry.name)];
    if (skipped.names.has(entry.name) || skipped.paths.has(path)) continue;
    // symbolic links are skipped: their target is listed under its own name, or is not a device of the host
    if (entry.isDirectory() && depth < specLimits.deviceDepth) {
      found.push(
        ...(await nodesBelow(path, place, permissions, { ...skipped, names: new Set() }, depth + 1)),
      );
    } else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
      // devices come and go (USB): one that disappears after the listing is no error
      const node = await missingAs(nodeOf(path, place, permissions), undefined);
      if (node !== undefined) found.push(node);
    }
    if (found.length > specLimits.devices)
      fail('exhausted', `list devices below ${from}: more than ${specLimits.devices}`, { subject: from });
  }
  return found;
}

async function entries(directory: string): Promise<readonly Dirent[]> {
  const found = await missingAs(readdir(directory, { withFileTypes: true }), []);
  return [...found].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The node at a host path; undefined if it is not a device. */
export async function nodeOf(
  from: string,
  to: string,
  permissions: string,
): Promise<ResolvedDevice | undefined> {
  const found = await stat(from, { bigint: true });
  if (!found.isCharacterDevice() && !found.isBlockDevice()) return undefined;
  const { rdev } = found;
  return {
    path: to,
    type: found.isBlockDevice() ? 'b' : 'c',
    ...deviceNumbers(rdev),
    fileMode: Number(found.mode & 0o777n),
    uid: Number(found.uid),
    gid: Number(found.gid),
    permissions,
  };
}
