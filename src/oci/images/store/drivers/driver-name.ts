/** Names of storage drivers. Pure, and quick to load. */
import { fail } from '../../../../base/fault.ts';
import type { DriverName } from './rootfs-driver.ts';

const NAMES: readonly DriverName[] = ['overlay', 'fuse-overlayfs', 'vfs', 'btrfs', 'erofs'];

/** Drivers of other runtimes, with the reason why they are refused. */
const REFUSED: Readonly<Record<string, string>> = {
  devicemapper: 'not supported: containers/storage and Docker have removed it; use overlay',
  aufs: 'not supported: aufs is not part of Linux, and Debian and Docker have removed it; use overlay',
  zfs: 'not supported: use overlay, which works on zfs 2.2 and later',
  overlay2: 'not supported: the name is overlay',
};

/** Why no driver has this name; undefined if one has. */
export function driverNameRefusal(name: string): string | undefined {
  if (NAMES.some((one) => one === name)) return undefined;
  return Object.hasOwn(REFUSED, name) ? REFUSED[name] : `unknown driver; known drivers: ${NAMES.join(', ')}`;
}

/** Parses a driver's name. Throws `invalidRequest` with the reason. */
export function parseDriverName(name: string): DriverName {
  const reason = driverNameRefusal(name);
  if (reason === undefined) return name as DriverName;
  return fail('invalidRequest', `use storage driver ${name}: ${reason}`, { subject: 'storage.driver' });
}
