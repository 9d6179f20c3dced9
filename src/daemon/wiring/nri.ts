/** NRI, by the configuration. */
import type { NriPod } from '../../ports/nri.ts';
import { nriLimits } from '../../nri/bounds.ts';
import { driverLimits } from '../../oci/runtime/bounds.ts';
import type { Log } from '../../base/log.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { listenPrivately } from '../../host/io/private-socket.ts';
import { readSmallFile } from '../../host/files/small-file.ts';
import { synchronizeMs } from '../../nri/bounded.ts';
import type { NriDriver } from '../../nri/driver.ts';
import type { OciSpec } from '../../oci/runtime/spec/types.ts';
import type { Config } from '../config/config-schema.ts';
import type { PartReport } from './optional-part.ts';
import { VERSION } from './version.ts';

/**
 * The driver; undefined if neither socket, directory nor validator is configured. Its code is loaded only if one is:
 * most nodes have no plugins, and building its protobuf messages takes time at each start.
 */
export async function createNri(
  { nri }: Config,
  layout: Layout,
  { clock, conditions }: PartReport,
  log: Log,
): Promise<NriDriver | undefined> {
  if (nri.socket === '' && nri.plugin_dir === '' && !nri.default_validator.enable) return undefined;
  const { NriDriver: Driver } = await import('../../nri/driver.ts');
  return new Driver({
    clock,
    log,
    socket: nri.socket,
    pluginDirectory: nri.plugin_dir,
    configDirectory: nri.plugin_config_dir,
    registrationMs: nri.registration_timeout_ms,
    requestMs: nri.request_timeout_ms,
    validator: nri.default_validator,
    runtime: { name: 'troupe', version: VERSION },
    onNotStarted: (what, reason) => conditions.report({ type: 'PartsStarted', subject: what, reason }),
    documentOf: (id) => documentAt(layout.configJson(id)),
    namespacesOf: (pod) => namespacesOf(layout, pod),
    listen: (path, onConnection) => listenPrivately({ path, clock, log, onConnection }),
  });
}

/**
 * ms that a start waits for plugins of the directory to be listed, checked, executed, registered, configured and
 * synchronized.
 */
export function nriStartMs({ nri }: Config): number {
  return (
    2 * nriLimits.directoryMs +
    nri.registration_timeout_ms +
    nri.request_timeout_ms +
    synchronizeMs(nri.request_timeout_ms)
  );
}

async function documentAt(path: string): Promise<OciSpec | undefined> {
  // below the state directory: a reboot deletes it, and so does the removal of its container
  const text = await readSmallFile(path, {
    usualBytes: driverLimits.documentUsualBytes,
    bytesMax: driverLimits.stateFileBytes,
  });
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as OciSpec);
}

function namespacesOf(
  layout: Layout,
  { id, spec }: NriPod,
): readonly { readonly type: string; readonly path: string }[] {
  const { network, ipc, user } = spec.namespaces;
  return [
    ...(network === 'pod'
      ? [
          { type: 'network', path: layout.pin(id, 'net') },
          { type: 'uts', path: layout.pin(id, 'uts') },
        ]
      : []),
    ...(ipc === 'pod' ? [{ type: 'ipc', path: layout.pin(id, 'ipc') }] : []),
    ...(user === undefined ? [] : [{ type: 'user', path: layout.pin(id, 'user') }]),
  ];
}
