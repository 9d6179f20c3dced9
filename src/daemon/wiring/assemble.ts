/** Makes every driver and hands all of them to the actors as one object, `Ports`. wire.ts puts the servers on top. */
import { availableParallelism } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { createTroupe } from '../../actors/start-actors.ts';
import { noPlugins } from '../../ports/nri.ts';
import type { Ports } from '../../ports/ports.ts';
import type { ImageRecord, MachineLabels } from '../../ports/specs.ts';
import type { Ledger } from '../../actors/ledger/ledger.ts';
import type { Troupe } from '../../actors/troupe.ts';
import type { Log } from '../../base/log.ts';
import { realClock } from '../../host/clock/clock.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { realRandom } from '../../host/clock/random.ts';
import { isValidLabel, policyLabels, privilegedOf, selinuxIsEnabled } from '../../host/security/selinux.ts';
import { createStatsDriver } from '../../host/usage/stats-driver.ts';
import type { StatsDriver } from '../../host/usage/stats-driver.ts';
import { FlightWriter } from '../../introspection/flight/writer.ts';
import { Recorder } from '../../introspection/recorder.ts';
import { onTransition } from '../../introspection/transitions.ts';
import type { OpenJournal } from '../../journal/journal.ts';
import type { NetworkDriver } from '../../network/driver.ts';
import type { NriDriver } from '../../nri/driver.ts';
import type { LiveRegistries } from '../../oci/images/registry/live-registries.ts';
import type { RegistriesConf } from '../../oci/images/registry/registries-conf.ts';
import { Ingests } from '../../oci/images/registry/ingest.ts';
import { createImagesDriver } from '../../oci/images/driver.ts';
import type { RuntimeDriver } from '../../oci/runtime/driver.ts';
import type { StreamsDriver } from '../../oci/runtime/stream-driver.ts';
import { WritableUsage } from '../../oci/images/store/writable-usage.ts';
import type { LayerStore } from '../../oci/images/store/layer-store.ts';
import { setUpApparmor } from './apparmor.ts';
import type { ApparmorSetup } from './apparmor.ts';
import type { Config, ConfigNow } from '../config/config-schema.ts';
import { flightDirectory, openFlight } from './flight-files.ts';
import { handlersOf } from './handlers.ts';
import { holdNode, journalDirectory } from './hold-node.ts';
import type { BasePorts, Start } from './hold-node.ts';
import { endsOf } from './release-node.ts';
import type { NodeEnds } from './release-node.ts';
import { watchedHost } from './watched-host.ts';
import type { WatchedHost } from './watched-host.ts';
import { lostFacts } from './journal-damage.ts';
import { makePins } from './own-directories.ts';
import { watchNodeFiles } from './node-files.ts';
import type { NodeFiles } from './node-files.ts';
import { networkChoice, networkDriver } from './network.ts';
import { createNri } from './nri.ts';
import type { Observability } from './observability.ts';
import { orLater } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';
import { policyDriver } from './policy.ts';
import { namespacedCredentials, registriesPaths, registryClient } from './registry.ts';
import { checkpointDriver, runtimeDriver } from './runtime.ts';
import { isUsable, openStore, storageDriver, whenUsable } from './storage.ts';
import { transitionLog } from './transition-log.ts';

export interface Assembly extends NodeEnds {
  readonly ports: Ports;
  readonly troupe: Troupe;
  readonly recorder: Recorder;
  readonly observability: Observability;
  readonly streams: StreamsDriver;
  readonly apparmor: ApparmorSetup;
  /** See `NetworkDriver`. */
  readonly usePodCidr: (cidr: string) => Promise<void>;
  readonly journal: Pick<OpenJournal<unknown>, 'probe' | 'diskCall' | 'queued'>;
  /** Undefined if not configured. */
  readonly nri: NriDriver | undefined;
  readonly nodeFiles: NodeFiles;
  /** Whether an additional image store could be read. */
  readonly isUsableStore: (root: string) => boolean;
  /** Calls `adopt` with each additional image store that could not be read, when it can be. */
  whenStoreUsable(adopt: (root: string) => void): void;
  /** Records of the images on the node. */
  images(): readonly ImageRecord[];
  /** What the journal may have lost, as a sentence; undefined if nothing. */
  readonly lostFacts: string | undefined;
  /** The configuration in effect. */
  readonly now: ConfigNow;
  /** Puts another configuration into effect. Rejects, and changes nothing, if it can't be used. */
  reload(fresh: Config): Promise<void>;
}

/** Lets a test wrap the drivers; the daemon does not. */
export type AroundPorts = (ports: Ports) => Ports;

/**
 * Takes the lock, reads the journal, ends the helpers of an earlier daemon before anything is observed or undone, then
 * makes drivers and actors (docs/architecture.md, "Crash story"). Nothing is recovered before `troupe.start()`.
 */
export async function assemble(
  config: Config,
  log: Log,
  around: AroundPorts = (ports) => ports,
  isTakingOver = false,
): Promise<Assembly> {
  let inEffect = config;
  const now: ConfigNow = () => inEffect;
  const handed: BasePorts = { clock: realClock(), random: realRandom(), log };
  const layout = createLayout(config);
  const start = await holdNode(config, layout, handed, isTakingOver);
  const { observability, part, opened } = start;
  const apparmor = setUpApparmor(part, log);
  const drivers = await openDrivers(now, layout, start, handed, apparmor);
  const { nri, runtime, network, live } = drivers;
  const streams = await runtime.streams();
  const { conditions } = observability;
  const nodeFiles = watchNodeFiles(now, { live, network, conditions, clock: handed.clock });
  const ports = around(await portsOf(now, layout, start, handed, drivers));
  const flight = flightWriter(layout, handed, observability);
  const { troupe, recorder } = makeActors(now, ports, opened.state, observability, await machineLabels());
  return {
    ports,
    troupe,
    recorder,
    observability,
    streams,
    nodeFiles,
    usePodCidr: (cidr) => network.usePodCidr(cidr),
    apparmor: await apparmor,
    isUsableStore: (root) => isUsable(root, start.rechecked),
    whenStoreUsable: (adopt) => whenUsable(config.storage.additional_stores, start.rechecked, adopt),
    images: () => [...opened.state.images.values()],
    nri,
    journal: opened,
    lostFacts: lostFacts(opened.report, journalDirectory(layout)),
    now,
    reload: async (fresh) => {
      const useRegistries = await live.prepare(registriesPaths(fresh));
      // refuses handlers that can't be used; whatever follows can't fail
      await runtime.reload(await handlersOf(fresh), fresh.runtime.default_handler);
      const isNetworkChanged = !isDeepStrictEqual(networkChoice(fresh), networkChoice(inEffect));
      inEffect = fresh;
      useRegistries();
      if (isNetworkChanged) network.choose(networkChoice(fresh));
      observability.reload(fresh);
      nodeFiles.noteOwn(new Map());
    },
    ...endsOf({ config, layout, log, start, drivers, streams, nodeFiles, flight }),
  };
}

function flightWriter(layout: Layout, handed: BasePorts, { flight }: Observability): FlightWriter {
  return new FlightWriter({
    ...handed,
    flight,
    pid: process.pid,
    open: () => openFlight(flightDirectory(layout.root)),
  });
}

interface Drivers {
  /** Undefined if not configured. */
  readonly nri: NriDriver | undefined;
  readonly store: LayerStore;
  readonly runtime: RuntimeDriver;
  readonly network: NetworkDriver;
  readonly live: LiveRegistries;
  readonly host: WatchedHost;
  readonly stats: StatsDriver;
}

/** The drivers that hold something open until they are closed. */
async function openDrivers(
  now: ConfigNow,
  layout: Layout,
  start: Start,
  { clock, random, log }: BasePorts,
  apparmor: Promise<ApparmorSetup>,
): Promise<Drivers> {
  const config = now();
  const { observability, part, rechecked, cgroups, live } = start;
  const nri = await createNri(config, layout, part, log);
  const store = await openStore(now, {
    clock,
    random,
    log,
    cgroups,
    conditions: observability.conditions,
    rechecked,
  });
  const [runtime, network] = await Promise.all([
    runtimeDriver(now, layout, start, log, apparmor, nri),
    networkDriver(config, layout, part, log, (run) => observability.metrics.outcomes.ran(run)),
    orLater(part, 'directory of namespaces', () => makePins(layout.pinsDir, rechecked)),
  ]);
  const host = watchedHost(layout, cgroups, store.paths.root, clock, log);
  const stats = createStatsDriver({
    cgroups,
    clock,
    netns: (id) => layout.pin(id, 'net'),
    written: new WritableUsage(store, clock),
    guest: (id) => runtime.guestUsage(id),
  });
  return { nri, store, runtime, network, live, host, stats };
}

/** The actors' ports: the open drivers, and those that are built on them. */
async function portsOf(
  now: ConfigNow,
  layout: Layout,
  start: Start,
  handed: BasePorts,
  drivers: Drivers,
): Promise<Ports> {
  const { clock, random, log } = handed;
  const { observability, part, opened, platform } = start;
  const { nri, store, runtime, network, live, host, stats } = drivers;
  const registries = (): RegistriesConf => live.current;
  const client = registryClient(now, registries, clock, random);
  return {
    clock,
    random,
    log,
    journal: opened.journal,
    runtime,
    checkpoints: await checkpointDriver(now(), runtime, store, part),
    network,
    nri: nri ?? noPlugins,
    host,
    stats,
    storage: storageDriver(store, layout, opened.state, clock),
    policy: policyDriver(now, layout, {
      client,
      registries,
      clock,
      random,
      platform,
      conditions: part.conditions,
      discard: (path) => store.discard(path),
    }),
    images: createImagesDriver({
      client,
      store,
      ingests: ingestsOf(store, part, log),
      clock,
      platform,
      takeCredentials: namespacedCredentials(now, clock),
      onDownloaded: (bytes) => observability.metrics.pulledBytes(bytes),
    }),
  };
}

function ingestsOf(store: LayerStore, { conditions }: PartReport, log: Log): Ingests {
  return new Ingests({
    directory: store.paths.ingest,
    log,
    conditions,
    discard: (path) => store.discard(path),
  });
}

/** The policy's labels for containers; undefined without SELinux. */
async function machineLabels(): Promise<MachineLabels | undefined> {
  if (!(await selinuxIsEnabled())) return undefined;
  const labels = await policyLabels();
  const privileged = privilegedOf(labels.process);
  return { ...labels, privileged: (await isValidLabel(privileged)) ? privileged : undefined };
}

/** Makes the actors on these ports, and connects log, recorder, metrics and traces to their changes of state. */
function makeActors(
  now: ConfigNow,
  ports: Ports,
  ledger: Ledger,
  observability: Observability,
  selinux: MachineLabels | undefined,
): Pick<Assembly, 'troupe' | 'recorder'> {
  const recorder = new Recorder(ports.clock);
  const toLog = transitionLog(ports.log);
  const troupe = createTroupe({
    ports,
    ledger,
    cgroupParent: now().cgroup.parent,
    pinned: () => now().images.pinned,
    processors: availableParallelism(),
    selinux,
    inspect: onTransition(
      (transition) => {
        recorder.note(transition);
        toLog(transition);
        observability.transition(transition);
      },
      (seen, cause) => observability.flight.event(seen, cause),
    ),
  });
  recorder.attach(troupe.directory);
  observability.watch(troupe);
  return { troupe, recorder };
}
