// Storage drivers by name, for tests and for the programs that tests start.
import { btrfsDriver } from '../../src/oci/storage/drivers/btrfs.ts';
import { erofsDriver } from '../../src/oci/storage/drivers/erofs.ts';
import { fuseOverlayDriver } from '../../src/oci/storage/drivers/fuse-overlayfs.ts';
import { overlayDriver } from '../../src/oci/storage/drivers/overlay.ts';
import type { DriverHost, RootfsDriver } from '../../src/oci/storage/drivers/rootfs-driver.ts';
import { parseDriverName } from '../../src/oci/storage/drivers/select.ts';
import { vfsDriver } from '../../src/oci/storage/drivers/vfs.ts';

/** The driver of that name, with the program that it needs; `onStarted` when one was started that serves a mount. */
export function driverWith(
  name: string,
  program: string,
  onStarted: () => void = () => undefined,
): (host: DriverHost) => RootfsDriver {
  const overlay = { metacopy: false, isVolatile: true };
  switch (parseDriverName(name)) {
    case 'overlay':
      return (host) => overlayDriver(host, overlay);
    case 'vfs':
      return vfsDriver;
    case 'btrfs':
      return (host) => btrfsDriver(host);
    case 'erofs':
      return (host) => erofsDriver(host, { ...overlay, program });
    case 'fuse-overlayfs':
      return (host) =>
        fuseOverlayDriver(host, { program, isVolatile: true, place: () => Promise.resolve(onStarted()) });
  }
}
