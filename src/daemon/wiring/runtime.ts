/** The drivers for containers and checkpoints, by the configuration. */
import { noCheckpoints } from '../../ports/checkpoint.ts';
import type { CheckpointPort } from '../../ports/checkpoint.ts';
import { derived } from '../../base/derived.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import type { CgroupLayout } from '../../host/kernel-thread/thread-protocol.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { userNamespacesProblem } from '../../host/namespaces/userns-probe.ts';
import type { NriDriver } from '../../nri/driver.ts';
import { probeOwnLimits, probeSpecHost } from '../../oci/runtime/bundle/host/bundle-host.ts';
import { rlimitsFor } from '../../oci/runtime/bundle/host/rlimits.ts';
import { createBundleWriter } from '../../oci/runtime/bundle/bundle.ts';
import { CdiRegistry } from '../../oci/runtime/bundle/cdi/registry.ts';
import { HookDirectories } from '../../oci/runtime/bundle/hooks/hook-directories.ts';
import { createRuntimeDriver } from '../../oci/runtime/driver.ts';
import type { RuntimeDriver } from '../../oci/runtime/driver.ts';
import { layerDiff } from '../../oci/images/store/records/layer-layout.ts';
import type { LayerStore } from '../../oci/images/store/layer-store.ts';
import type { ApparmorSetup } from './apparmor.ts';
import type { Config, ConfigNow } from '../config/config-schema.ts';
import { findProgram, TOOL_DIRECTORIES } from './find-program.ts';
import { handlersOf, monitorOf } from './handlers.ts';
import { orLater } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';
import { changesOf } from './storage.ts';
import { systemdOf } from './systemd.ts';

/** Makes and opens the runtime driver: probes its handlers, watches exits. */
export async function runtimeDriver(
  now: ConfigNow,
  layout: Layout,
  {
    cgroups,
    part: { clock, conditions },
    heldSessions,
  }: {
    readonly cgroups: CgroupLayout;
    readonly part: PartReport;
    readonly heldSessions?: Promise<void> | undefined;
  },
  log: Log,
  apparmor: Promise<ApparmorSetup>,
  nri: NriDriver | undefined,
): Promise<RuntimeDriver> {
  const config = now();
  const bundles = createBundleWriter({
    ownDevices: () => now().runtime.device_ownership_from_security_context,
    node: {
      hooks: new HookDirectories(() => now().runtime.hooks_dirs),
      cdi: new CdiRegistry(() => now().runtime.cdi_dirs),
    },
    layout,
    clock,
    log,
    apparmor: (await apparmor).apparmor,
    host: await probeSpecHost(),
    rlimits: await rlimitsNow(now, log),
    handlerFeatures: (name) => driver.specHandler(name),
    ...(nri === undefined
      ? {}
      : { adjust: (input, document, limitsOf, fx) => nri.adjust(input, document, limitsOf, fx) }),
  });
  const driver = createRuntimeDriver({
    clock,
    log,
    layout,
    bundles,
    cgroups,
    conditions,
    heldSessions,
    handlers: await handlersOf(config),
    monitorPath: await monitorOf(config),
    logBytesMax: () => {
      const { log_size_max: most } = now().runtime;
      return most === 'unlimited' ? undefined : most;
    },
    toolPath: TOOL_DIRECTORIES.join(':'),
    defaultHandler: config.runtime.default_handler,
    checkpoints: { taken: config.runtime.criu !== '', restored: config.runtime.restore },
    ...(await systemdOf(config, clock)),
    userNamespaces: () => supportsUserNamespaces(layout, clock, log),
  });
  await driver.open();
  return driver;
}

async function supportsUserNamespaces(
  { usernsProgram, root }: Layout,
  clock: PartReport['clock'],
  log: Log,
): Promise<boolean> {
  const problem = await userNamespacesProblem({ program: usernsProgram, directory: root, clock });
  if (problem !== undefined) log.info({ problem }, 'user namespaces of pods: not available on this machine');
  return problem === undefined;
}

/** The configured limits of containers' processes; a change is logged where this daemon may not set as much. */
async function rlimitsNow(now: ConfigNow, log: Log) {
  const own = await probeOwnLimits();
  const present = derived(
    () => now().runtime.rlimits,
    (configured) => {
      const { rlimits, conditions } = rlimitsFor(configured, own);
      for (const condition of conditions) log.warn({}, condition);
      return rlimits;
    },
  );
  present();
  return present;
}

/** Off unless CRIU is configured: an archive holds a container's whole memory, and can fill the disk (S57). */
export async function checkpointDriver(
  config: Config,
  runtime: RuntimeDriver,
  store: LayerStore,
  part: PartReport,
): Promise<CheckpointPort> {
  const { criu, restore } = config.runtime;
  if (criu === '') return noCheckpoints;
  const found = await findProgram(criu, 'checkpoints').then(
    (path) => ({ path }),
    (thrown: unknown) => ({ missing: toFault(thrown).message }),
  );
  const driver = runtime.checkpoints({
    criu: found,
    restores: restore,
    upperOf: (id) => changesOf(config, store, id),
    layerOf: (diffId) => layerDiff(store.paths, diffId),
  });
  // each has the directory of its container, which a new checkpoint needs, too: that one waits for the undo
  await orLater(part, 'checkpoints of an earlier boot', () => driver.open());
  return driver;
}
