/** The composition root's larger half: every driver is made here and nowhere else, and handed to the actors as one object. */
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createTroupe } from '../actors/cast.ts';
import { noCheckpoints } from '../actors/ports/checkpoint.ts';
import type { CheckpointPort } from '../actors/ports/checkpoint.ts';
import { noPlugins } from '../actors/ports/nri.ts';
import type { HostPort } from '../actors/ports/host.ts';
import type { Ports } from '../actors/ports/ports.ts';
import type { SelinuxLabels } from '../actors/ports/specs.ts';
import { ledgerFold } from '../actors/recovery/ledger.ts';
import type { Ledger } from '../actors/recovery/ledger.ts';
import type { Troupe } from '../actors/troupe.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { cgroupDirectories, detectCgroups } from '../host/cgroup-layout.ts';
import type { CgroupLayout } from '../host/cgroup-layout.ts';
import { realClock } from '../host/clock.ts';
import { lockDirectory } from '../host/directory-lock.ts';
import { checkFfi } from '../host/ffi-check.ts';
import { succeed } from '../host/helpers.ts';
import { createLayout } from '../host/layout.ts';
import type { Layout } from '../host/layout.ts';
import { WritableWatch } from '../host/writable-watch.ts';
import { stopKernelThread } from '../host/kernel-thread.ts';
import { namesIfDirectory } from '../host/names-of.ts';
import { preparePinRoot, releasePinRoot } from '../host/namespaces.ts';
import { runTool } from '../host/process-tool.ts';
import { realRandom } from '../host/random.ts';
import { isSlice } from '../host/slices.ts';
import { policyLabels, selinuxIsEnabled } from '../host/selinux.ts';
import { createStatsDriver } from '../host/stats-driver.ts';
import { createHostDriver } from '../host/sandbox-driver.ts';
import { userNamespacesProblem } from '../host/userns-probe.ts';
import type { Chart } from '../introspection/chart.ts';
import { troupeCharts } from '../introspection/charts.ts';
import { Recorder } from '../introspection/recorder.ts';
import { onTransition } from '../introspection/transitions.ts';
import { meteredDisk } from '../introspection/metrics-ports.ts';
import { openDisk } from '../journal/disk.ts';
import { openJournal } from '../journal/journal.ts';
import type { OpenJournal } from '../journal/journal.ts';
import { defaultNetwork } from '../network/default-conflist.ts';
import { createNetworkDriver } from '../network/driver.ts';
import type { NetworkDriver } from '../network/driver.ts';
import type { NriDriver } from '../nri/driver.ts';
import type { LiveRegistries } from '../oci/distribution/live-registries.ts';
import type { RegistriesConf } from '../oci/distribution/registries-conf.ts';
import { Ingests } from '../oci/distribution/ingest.ts';
import { createImagesDriver } from '../oci/image/driver.ts';
import { platformOfMachine } from '../oci/image/platform.ts';
import { probeSpecHost } from '../oci/runtime/bundle-host.ts';
import { createBundleWriter } from '../oci/runtime/bundle.ts';
import { CdiRegistry } from '../oci/runtime/cdi/registry.ts';
import { HookDirectories } from '../oci/runtime/hooks/hook-directories.ts';
import { createRuntimeDriver } from '../oci/runtime/driver.ts';
import type { RuntimeDriver } from '../oci/runtime/driver.ts';
import type { StreamsDriver } from '../oci/runtime/stream-driver.ts';
import { layerDiff } from '../oci/storage/layer-layout.ts';
import { Written } from '../oci/storage/written.ts';
import type { LayerStore } from '../oci/storage/layer-store.ts';
import { setUpApparmor } from './apparmor.ts';
import type { ApparmorSetup } from './apparmor.ts';
import type { Config } from './config-schema.ts';
import { findProgram, TOOL_DIRECTORIES } from './find-program.ts';
import { handlersOf, monitorOf } from './handlers.ts';
import { lostFacts } from './lost-facts.ts';
import { makeDirectories, makeRoots } from './own-directories.ts';
import { machinePlatform } from './machine-platform.ts';
import { watchNodeFiles } from './node-files.ts';
import type { NodeFiles } from './node-files.ts';
import { createNri } from './nri.ts';
import { createObservability } from './observability.ts';
import type { Observability } from './observability.ts';
import { orLater, orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';
import { policyDriver } from './policy.ts';
import { liveRegistries, namespacedCredentials, registriesPaths, registryClient } from './registry.ts';
import { changesOf, openStore, storageDriver } from './storage.ts';
import { systemdOf } from './systemd.ts';
import { transitionLog } from './transition-log.ts';

export interface Assembly {
  readonly ports: Ports;
  readonly troupe: Troupe;
  readonly recorder: Recorder;
  readonly charts: readonly Chart[];
  readonly observability: Observability;
  readonly streams: StreamsDriver;
  readonly apparmor: ApparmorSetup;
  /** Undefined where none is configured. */
  readonly nri: NriDriver | undefined;
  readonly nodeFiles: NodeFiles;
  /** What the journal may have lost, in a sentence. */
  readonly lostFacts: string | undefined;
  /** Puts another configuration into effect, as far as that goes without a restart. Rejects, with nothing changed, for one that can't be used. */
  reload(config: Config): Promise<void>;
  /** After the troupe was drained: ends watches and threads, closes the journal, gives the lock back. */
  release(): Promise<void>;
}

/** What a test puts between the actors and the drivers; the daemon itself nothing. */
export type AroundPorts = (ports: Ports) => Ports;

/**
 * Lock, journal and, before anything is observed or undone, the end of an earlier daemon's helpers, then drivers, actors: in the
 * order of house rule 3.3. Nothing is recovered before `troupe.start()`.
 */
export async function assemble(config: Config, log: Log, around: AroundPorts = (ports) => ports): Promise<Assembly> {
  checkFfi();
  const clock = realClock();
  const random = realRandom();
  const layout = createLayout(config);
  const { lock, charts, observability, part, opened, cgroups, platform } = await takeOver(config, layout, { clock, random, log });
  const apparmor = setUpApparmor(part, log);
  const nri = await createNri(config, layout, part, log);
  const store = await openStore(config, { clock, random, log, cgroups, conditions: observability.conditions });
  const [runtime, network, live] = await Promise.all([
    runtimeDriver(config, layout, cgroups, part, log, apparmor, nri),
    networkDriver(config, layout, part, log),
    liveRegistries(config, clock, log),
    orLater(part, 'directory of namespaces', () => preparePinRoot(layout.pinsDir)),
  ]);
  const host = watchedHost(layout, cgroups, store.paths.root, clock, log);
  const stats = createStatsDriver({ cgroups, clock, netns: (id) => layout.pin(id, 'net'), written: new Written(store, clock), guest: (id) => runtime.guestUsage(id) });
  const streams = await runtime.streams();
  const nodeFiles = watchNodeFiles(config, { live, network, conditions: observability.conditions, clock });
  const registries = (): RegistriesConf => live.current;
  const client = registryClient(config, registries, clock, random);
  const ports = around({
    clock,
    random,
    log,
    journal: opened.journal,
    runtime,
    checkpoints: await checkpointDriver(config, runtime, store, part),
    network,
    nri: nri ?? noPlugins,
    host, stats,
    storage: storageDriver(store, layout, opened.state, clock),
    policy: policyDriver(config, layout, { client, registries, clock, random, platform, conditions: part.conditions, discard: (path) => store.discard(path) }),
    images: createImagesDriver({ client, store, ingests: ingestsOf(store, part, log), clock, platform, takeCredentials: namespacedCredentials(config, clock), onDownloaded: (bytes) => observability.metrics.pulledBytes(bytes) }),
  });
  const { troupe, recorder } = cast(config, ports, opened.state, observability, await machineLabels());
  return {
    ports,
    troupe,
    recorder,
    charts,
    observability,
    streams, nodeFiles,
    apparmor: await apparmor,
    nri, lostFacts: lostFacts(opened.report, journalDirectory(layout)),
    reload: (fresh) => reload(fresh, runtime, live).then(() => nodeFiles.noteOwn(new Map())),
    release: async () => {
      await observability.close();
      for (const one of [streams, runtime, store, live, nodeFiles, stats, host]) one.close();
      await Promise.all([store.driver.close?.(), network.stop(), opened.close(), stopKernelThread()]);
      await tidy(layout, cgroups, config.cgroup.parent);
      await lock.release();
    },
  };
}

/** What a start needs, and the end of an earlier daemon's helpers. */
async function takeOver(config: Config, layout: Layout, handed: Pick<Ports, 'clock' | 'random' | 'log'>) {
  const { clock, log } = handed;
  await makeRoots(layout);
  const lock = await lockDirectory(layout.root);
  const movedAside = await makeDirectories(layout);
  const charts = troupeCharts();
  const observability = createObservability(config, charts, handed);
  const { conditions } = observability;
  const part: PartReport = { clock, conditions };
  for (const degradation of movedAside) conditions.report(degradation);
  const [opened, cgroups, platform] = await Promise.all([
    journalOf(layout, clock, log, observability),
    detectCgroups(),
    orWithout(part, 'processor features', machinePlatform, platformOfMachine(process.arch, '')),
    orWithout(part, 'helpers of an earlier run', () => succeed({ file: layout.helpersFile, ...handed }), undefined, Infinity),
  ]);
  return { lock, charts, observability, part, opened, cgroups, platform };
}

function ingestsOf(store: LayerStore, { conditions }: PartReport, log: Log): Ingests {
  return new Ingests({ directory: store.paths.ingest, log, conditions, discard: (path) => store.discard(path) });
}

async function reload(fresh: Config, runtime: RuntimeDriver, live: LiveRegistries): Promise<void> {
  const apply = await live.prepare(registriesPaths(fresh));
  await runtime.reload(await handlersOf(fresh), fresh.runtime.default_handler);
  apply();
}

function journalDirectory({ root }: Layout): string {
  return join(root, 'journal');
}

async function journalOf(layout: Layout, clock: Ports['clock'], log: Log, { metrics }: Observability): Promise<OpenJournal<Ledger>> {
  const disk = await openDisk(journalDirectory(layout));
  return openJournal({ disk: meteredDisk(disk, clock, (ms, isOk) => metrics.journalSync(ms, isOk)), fold: ledgerFold, log, clock });
}

/** The policy's labels for containers; undefined where there is no SELinux. */
async function machineLabels(): Promise<SelinuxLabels | undefined> {
  return (await selinuxIsEnabled()) ? policyLabels() : undefined;
}

/** The actors over these ports, and who is told of what they do. */
function cast(
  config: Config, ports: Ports, ledger: Ledger, observability: Observability, selinux: SelinuxLabels | undefined,
): Pick<Assembly, 'troupe' | 'recorder'> {
  const recorder = new Recorder(ports.clock);
  const toLog = transitionLog(ports.log);
  const troupe = createTroupe({
    ports,
    ledger,
    cgroupParent: config.cgroup.parent,
    pinned: config.images.pinned,
    selinux,
    inspect: onTransition((transition) => {
      recorder.note(transition);
      toLog(transition);
      observability.transition(transition);
    }),
  });
  recorder.attach(troupe.directory);
  observability.watch(troupe);
  return { troupe, recorder };
}

/** What only pods need goes when there are none; while there are, both refuse and stay. */
async function tidy(layout: Layout, cgroups: CgroupLayout, cgroupParent: string): Promise<void> {
  // what could not be made at the start, or can't be read, keeps nobody from stopping
  const pins = await namesIfDirectory(layout.pinsDir).catch(() => ['unknown']);
  if (pins.length === 0) await releasePinRoot(layout.pinsDir).catch(() => undefined);
  // a slice is systemd's
  if (isSlice(cgroupParent)) return;
  for (const directory of cgroupDirectories(cgroups, cgroupParent)) await rmdir(directory).catch(() => undefined);
}

/** The host driver, which also knows whether our directories take writes. */
function watchedHost(layout: Layout, cgroups: CgroupLayout, imagesRoot: string, clock: Ports['clock'], log: Log): HostPort & { readonly close: () => void } {
  const writable = new WritableWatch([layout.root, layout.state, imagesRoot], clock, log);
  writable.start();
  const driver = createHostDriver({ layout, cgroups, clock, hostResolvConf: '/etc/resolv.conf', hostHosts: '/etc/hosts' });
  return { ...driver, writeRefusal: () => writable.refusal, close: () => writable.close() };
}

async function runtimeDriver(
  config: Config, layout: Layout, cgroups: CgroupLayout, { clock, conditions }: PartReport, log: Log, apparmor: Promise<ApparmorSetup>,
  nri: NriDriver | undefined,
): Promise<RuntimeDriver> {
  const bundles = createBundleWriter({
    ownDevices: config.runtime.device_ownership_from_security_context,
    node: { hooks: new HookDirectories(config.runtime.hooks_dirs), cdi: new CdiRegistry(config.runtime.cdi_dirs) },
    layout, clock, log,
    apparmor: (await apparmor).apparmor,
    host: await probeSpecHost({ rlimits: config.runtime.rlimits, log }),
    handlerFeatures: (name) => driver.specHandler(name),
    ...(nri === undefined ? {} : { adjust: (input, document, limitsOf, fx) => nri.adjust(input, document, limitsOf, fx) }),
  });
  const driver = createRuntimeDriver({
    clock, log, layout, bundles, cgroups, conditions,
    handlers: await handlersOf(config),
    monitorPath: await monitorOf(config),
    ...(config.runtime.log_size_max === 'unlimited' ? {} : { logBytesMax: config.runtime.log_size_max }),
    toolPath: TOOL_DIRECTORIES.join(':'),
    defaultHandler: config.runtime.default_handler,
    ...(await systemdOf(config, clock)),
    userNamespaces: async () => {
      const problem = await userNamespacesProblem({ program: layout.usernsProgram, directory: layout.root, clock });
      if (problem !== undefined) log.info({ problem }, 'no user namespaces for pods on this machine');
      return problem === undefined;
    },
  });
  await driver.open();
  return driver;
}

/** Off unless CRIU is named: an archive holds a container's whole memory, and fills the disk (S57). */
async function checkpointDriver(config: Config, runtime: RuntimeDriver, store: LayerStore, part: PartReport): Promise<CheckpointPort> {
  const { criu, restore } = config.runtime;
  if (criu === '') return noCheckpoints;
  const found = await findProgram(criu, 'checkpoints').then((path) => ({ path }), (thrown: unknown) => ({ missing: toFault(thrown).message }));
  const driver = runtime.checkpoints({ criu: found, restores: restore, upperOf: (id) => changesOf(config, store, id), layerOf: (diffId) => layerDiff(store.paths, diffId) });
  // what earlier ones left; those to come have names of their own
  await orLater(part, 'checkpoints of an earlier run', () => driver.open());
  return driver;
}

async function networkDriver(config: Config, layout: Layout, part: PartReport, log: Log): Promise<NetworkDriver> {
  const { network } = config;
  const { clock } = part;
  const driver = createNetworkDriver({
    confDir: network.config_dir,
    networkName: network.name,
    pluginDirs: network.plugin_dirs,
    cacheDir: join(layout.root, 'cni', 'cache'),
    provenFile: join(layout.state, 'network.proven'),
    netnsPath: (id) => layout.pin(id, 'net'),
    netnsDir: network.netns_dir,
    fallback: defaultNetwork({
      bridge: network.default_bridge,
      subnet: network.default_subnet,
      leaseDir: join(layout.root, 'cni', 'leases'),
    }),
    runTool: (call) => runTool({ ...call, clock }),
    clock,
    log,
  });
  // a directory that does not answer makes NetworkReady false until it does
  await orLater(part, 'network configuration', () => driver.start());
  return driver;
}
