import type { Ports } from '../../ports/ports.ts';
import type { HostPort } from '../../ports/host.ts';
import type { Log } from '../../base/log.ts';
import { WritableWatch } from '../../host/files/writable-watch.ts';
import type { CgroupLayout } from '../../host/kernel-thread/thread-protocol.ts';
import { onMountCallsRefused } from '../../host/mounts/mount-places.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { createHostDriver } from '../../host/sandbox/sandbox-driver.ts';

export type WatchedHost = HostPort & { readonly close: () => void };

/** The host driver, which also reports whether our directories are writable. */
export function watchedHost(
  layout: Layout,
  cgroups: CgroupLayout,
  imagesRoot: string,
  clock: Ports['clock'],
  log: Log,
): WatchedHost {
  const writable = new WritableWatch([layout.root, layout.state, imagesRoot], clock, log);
  writable.start();
  onMountCallsRefused((reason) =>
    log.info({ reason }, 'list mounts by their ids failed, table of mounts read instead'),
  );
  const driver = createHostDriver({
    layout,
    cgroups,
    clock,
    hostResolvConf: '/etc/resolv.conf',
    hostHosts: '/etc/hosts',
  });
  return { ...driver, writeRefusal: () => writable.refusal, close: () => writable.close() };
}
