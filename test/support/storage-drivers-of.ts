// Storage drivers by name, for tests and for the programs that tests start.
import { btrfsDriver } from '../../src/oci/images/store/drivers/btrfs.ts';
import { erofsDriver } from '../../src/oci/images/store/drivers/erofs.ts';
import { fuseOverlayDriver } from '../../src/oci/images/store/drivers/fuse-overlayfs.ts';
import { overlayDriver } from '../../src/oci/images/store/drivers/overlay.ts';
import type { DriverHost, RootfsDriver } from '../../src/oci/images/store/drivers/rootfs-driver.ts';
import { parseDriverName } from '../../src/oci/images/store/drivers/driver-name.ts';
import { vfsDriver } from '../../src/oci/images/store/drivers/vfs.ts';

/** The driver of that name, with the program that it needs; `onStarted` when one was started that serves a mount. */
export function driverWith(
  name: string,
  program: string,
  onStarted: () => void = () => undefined,
): (host: DriverHost) => RootfsDriver {
  const overlay = { metacopy: false, isVolatile: () => true };
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
        fuseOverlayDriver(host, {
          program,
          isVolatile: () => true,
          moveToCgroup: () => Promise.resolve(onStarted()),
        });
  }
}
