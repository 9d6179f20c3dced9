/** The composition root: starts the actors of assemble.ts and the servers in front of them. */
import type { Troupe } from '../../actors/troupe.ts';
import { toFault } from '../../base/fault.ts';
import { launchLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { edgeMethods, edgeStreams } from '../../cri/call/edge.ts';
import { RecoveryWait } from '../../cri/call/recovery-wait.ts';
import { startCriServer } from '../../cri/call/server.ts';
import type { CriServer } from '../../cri/call/server.ts';
import { CallSwitch } from '../../cri/call/call-switch.ts';
import type { EventFeed } from '../../cri/call/event-feed.ts';
import { createServices } from '../../cri/services.ts';
import { UnreadUsage } from '../../cri/call/unread-usage.ts';
import type { UrlIssuer } from '../../cri/streaming/server.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import { heapGuard } from '../../host/tuning/memory.ts';
import { checkFfi } from '../../host/ffi/check.ts';
import { selinuxIsEnabled } from '../../host/security/selinux.ts';
import { refuseDumps } from '../../host/security/undumpable.ts';
import { shownSpecs } from '../../oci/runtime/container/shown-spec.ts';
import { CAPABILITY_NAMES } from '../../oci/runtime/spec/capabilities.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../../oci/runtime/spec/masked.ts';
import type { MetricsServer } from '../../introspection/metrics-server.ts';
import { startIntrospection } from '../../introspection/server.ts';
import type { IntrospectionServer } from '../../introspection/server.ts';
import type { WebServer } from '../../introspection/web-server.ts';
import { assemble } from './assemble.ts';
import type { AroundPorts, Assembly } from './assemble.ts';
import type { Config } from '../config/config-schema.ts';
import { programIdentity } from '../takeover/own-program.ts';
import { startStarter } from '../takeover/starter.ts';
import type { Inheritance } from '../takeover/taking.ts';
import type { Left } from '../takeover/after-hand-over.ts';
import type { HandOver } from './hand-over.ts';
import type { HeldSocket } from './held-socket.ts';
import { introspectionOptions } from './introspected.ts';
import type { ConfigViews } from './introspected.ts';
import { handOverOf, socketsOf, takeOverFrom } from './take-over.ts';
import type { Sockets } from './take-over.ts';
import { nriStartMs } from './nri.ts';
import { socketsOfSystemd } from './listening-sockets.ts';
import type { ListeningSockets } from './listening-sockets.ts';
import { DaemonLife } from './life.ts';
import type { ListenerPart } from './listener-part.ts';
import { metricsListener } from './metrics.ts';
import { LatePart, orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';
import { pageListener } from './page.ts';
import { planReload } from './reload.ts';
import type { ReloadPlan } from './reload.ts';
import { adoptImages } from './other-images.ts';
import { checkStreaming, lateStreams } from './streaming.ts';
import type { Streams } from './streaming.ts';
import { VERSION } from './version.ts';

export interface Daemon {
  readonly troupe: Troupe;
  /** URL of the page with its token; undefined when not configured. Must not be logged. */
  readonly pageUrl: string | undefined;
  /** Resolves to the reason when another process listens at the CRI socket's path (F90). */
  readonly socketTaken: Promise<string>;
  /**
   * Applies the reloadable keys of another configuration. Rejects, and changes nothing, if it can't be used. Undefined
   * where this daemon has handed over: it has asked the one that serves.
   */
  reload(load: () => Promise<Config>): Promise<ReloadPlan | undefined>;
  /** Reports errors in the configuration's drop-ins, by path; until the next reload. */
  noteDropIns(problems: ReadonlyMap<string, string>): void;
  /** The files that the configuration in effect is from, for Status. */
  noteFiles(files: readonly string[]): void;
  /** Reports in Status why the configuration can't be reloaded; undefined once it can. */
  noteRefusal(reason: string | undefined): void;
  /** Settles once another daemon serves, and this one holds nothing of before any more; or once none has come. */
  readonly left: Promise<Left>;
  /** Refuses new calls, waits for those under way; containers go on. */
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly around?: AroundPorts | undefined;
  /** Takes over from the daemon that runs on the same directories, if one does. */
  readonly isTakingOver?: boolean;
  readonly listening?: ListeningSockets;
  /** Called when the parts are there, before the recovery. */
  readonly onAssembled?: (parts: Assembly & { sessions(): number }) => void;
  /** Called before a client, a former daemon and systemd hear that this one serves: then SIGTERM asks for a drain. */
  readonly onServing?: () => void;
}

/**
 * Starts everything; calls wait for the recovery, and get Unavailable if it takes long. Throws TakeOverRefused where
 * the daemon that runs does not hand over: it goes on.
 */
export async function startDaemon(config: Config, log: Log, options: StartOptions = {}): Promise<Daemon> {
  const { around, isTakingOver = false, listening = socketsOfSystemd(log) } = options;
  refuseDumps();
  checkStreaming(config);
  checkFfi();
  const own = { program: programIdentity(), starter: await startStarter(log) };
  const inherited = await takeOverFrom(config, log, listening, isTakingOver);
  const assembly = await assemble(config, log, around, isTakingOver || inherited !== undefined);
  const { troupe, release } = assembly;
  const last: Shown = { refusal: undefined, waiting: [], files: [], formerDaemons: () => [] };
  const views = configViews(assembly.now, last);
  const part = { clock: assembly.ports.clock, conditions: assembly.observability.conditions };
  const taken = Promise.withResolvers<string>();
  const sockets = socketsOf(config, assembly, listening, inherited !== undefined, taken.resolve);
  const late = lateParts(config, assembly, views, { part, listening, sockets, inherited });
  const { streaming, web, nri } = late;
  options.onAssembled?.({ ...assembly, sessions: () => streaming.sessions });
  const recovery = new RecoveryWait(part.clock);
  const opening = serve(config, assembly, streaming, views, { socket: sockets.cri, recovery, inherited });
  await startServers(opening, late, release);
  await adoptStores(config, assembly, part);
  await troupe.start().finally(() => recovery.end());
  // in the turn in which the recovery ends: a client that has had an answer may stop the daemon. A daemon that takes
  // over is the former one's to end until it serves
  if (inherited === undefined) options.onServing?.();
  const served = await opening;
  // after the recovery, since plugins receive the list of pods and containers. Pods that come now wait for the plugins
  // of the directory. If a required plugin did not start, the validator refuses each container
  await nri.start();
  // last: no list of pods needs it, and a request for a URL starts it before
  await streaming.start();
  const life = new DaemonLife(assembly);
  served.events.announce();
  await inherited?.pass();
  const ends = { closeRest: () => closeRest(assembly, late), endViews: () => late.introspection.close() };
  const parts = { config, assembly, streaming, listening, life, former: inherited?.former };
  const handOver = await handOverOf({ ...parts, ...served, ...sockets, ...own, ...ends });
  await sockets.cri.begin();
  last.formerDaemons = () => handOver.formerDaemons();
  assembly.observability.metrics.watchFormer(last.formerDaemons);
  if (inherited !== undefined) options.onServing?.();
  await becomeMain(inherited, listening, life);
  return {
    troupe,
    pageUrl: web.value?.url,
    socketTaken: taken.promise,
    left: handOver.left,
    reload: (load) => handOver.reload(load, (fresh) => reload(fresh, assembly, late, last)),
    ...notesOf(assembly, last),
    stop: () => {
      life.end();
      return stopAll(assembly, late, served.server, handOver);
    },
  };
}

/** From here on systemd takes this process for the unit's main one. */
async function becomeMain(
  inherited: Inheritance | undefined,
  listening: ListeningSockets,
  life: DaemonLife,
): Promise<void> {
  await inherited?.serving();
  listening.report();
  life.begin();
}

function notesOf(assembly: Assembly, last: Shown): Pick<Daemon, 'noteDropIns' | 'noteFiles' | 'noteRefusal'> {
  return {
    noteDropIns: (problems) => assembly.nodeFiles.noteOwn(problems),
    noteFiles: (files) => void (last.files = files),
    noteRefusal: (reason) => {
      last.refusal = reason;
      assembly.observability.metrics.outcomes.reloaded(reason === undefined);
    },
  };
}

/** A failed start leaves no mount and no lock of its own; those of existing pods stay. */
async function startServers(
  opening: Promise<unknown>,
  { introspection, web, metrics }: LateParts,
  release: () => Promise<void>,
): Promise<void> {
  try {
    await Promise.all([opening, introspection.start(), web.start(), metrics.start()]);
  } catch (thrown) {
    await Promise.allSettled([introspection.close(), web.close(), metrics.close()]);
    await release();
    throw thrown;
  }
}

function configViews(now: () => Config, last: Shown): ConfigViews {
  return {
    configView: now,
    configRefusal: () => last.refusal,
    configWaiting: () => last.waiting,
    configFiles: () => last.files,
    formerDaemons: () => last.formerDaemons(),
  };
}

/** What Status and the introspection show of the last reload, and of daemons before this one. */
interface Shown {
  formerDaemons: HandOver['formerDaemons'];
  refusal: string | undefined;
  waiting: readonly string[];
  /** The files that the configuration is from. */
  files: readonly string[];
}

async function reload(
  fresh: Config,
  assembly: Assembly,
  { streaming, web, metrics }: Pick<LateParts, 'streaming' | 'web' | 'metrics'>,
  last: Shown,
): Promise<ReloadPlan> {
  const plan = planReload(assembly.now(), fresh);
  const useStreams = await streaming.prepare(plan.config);
  await assembly.reload(plan.config);
  useStreams();
  await web.reload(plan.config);
  await metrics.reload(plan.config);
  last.waiting = plan.waiting;
  return plan;
}

async function adoptStores({ storage }: Config, assembly: Assembly, part: PartReport): Promise<void> {
  const { additional_stores: stores } = storage;
  assembly.whenStoreUsable((root) => void adoptLater(root, assembly));
  await orWithout(
    part,
    'images of additional stores',
    () => adoptImages(stores.filter(assembly.isUsableStore), assembly.ports, assembly.images),
    undefined,
    Infinity,
  );
}

/** Lists the images of a store that could be read only later. A failure is logged, and the next start tries again. */
async function adoptLater(root: string, { ports, images }: Assembly): Promise<void> {
  try {
    await adoptImages([root], ports, images);
  } catch (thrown) {
    ports.log.warn({ store: root, fault: toFault(thrown) }, 'list images of an additional store: failed');
  }
}

interface LateParts {
  readonly streaming: Streams;
  readonly introspection: LatePart<IntrospectionServer>;
  readonly web: ListenerPart<WebServer>;
  readonly metrics: ListenerPart<MetricsServer>;
  readonly nri: LatePart<void>;
}

/** The parts that are used whenever they come; none is started here. */
function lateParts(
  config: Config,
  assembly: Assembly,
  views: ConfigViews,
  {
    part,
    listening,
    sockets,
    inherited,
  }: {
    readonly part: PartReport;
    readonly listening: ListeningSockets;
    readonly sockets: Sockets;
    readonly inherited: Inheritance | undefined;
  },
): LateParts {
  const options = introspectionOptions(config, assembly, views, () => page.value);
  const again = { againMs: launchLimits.partAgainMs };
  const page = pageListener(config, assembly, () => options, views.configView);
  return {
    streaming: lateStreams(assembly.now, assembly, listening, inherited?.tokens ?? []),
    introspection: new LatePart(
      part,
      'introspection socket',
      () => startIntrospection({ ...options, listen: sockets.introspection.listen }),
      again,
    ),
    web: page,
    metrics: metricsListener(config, assembly, views.configView),
    nri: new LatePart(part, 'nri', () => assembly.nri?.start() ?? Promise.resolve(), {
      ...again,
      reportedMs: nriStartMs(config),
    }),
  };
}

/** Closes what another daemon that takes over binds anew: page, metrics, plugins' socket. */
async function closeRest({ nri }: Assembly, late: LateParts): Promise<void> {
  await late.nri.close();
  await Promise.all([nri?.close(), late.web.close(), late.metrics.close()]);
}

/** Drains calls and actors, closes the servers, then releases the drivers. */
async function stopAll(
  { troupe, nri, release }: Assembly,
  late: LateParts,
  server: CriServer,
  handOver: HandOver,
): Promise<void> {
  await handOver.stop();
  // the actors of a daemon that has handed over do not settle any more
  const { canDrain } = handOver;
  const drained = canDrain ? troupe.drain() : undefined;
  await Promise.all([server.drain(canDrain ? undefined : 0), drained, late.streaming.close()]);
  await late.nri.close();
  await nri?.close();
  await Promise.all([server.close(), late.introspection.close(), late.web.close(), late.metrics.close()]);
  await release();
}

interface Served {
  readonly server: CriServer;
  readonly calls: CallSwitch;
  readonly events: EventFeed;
}

interface CallsFrom {
  readonly socket: HeldSocket;
  readonly recovery: RecoveryWait;
  readonly inherited: Inheritance | undefined;
}

async function serve(
  config: Config,
  { ports, troupe, observability, apparmor, lostFacts, usePodCidr }: Assembly,
  urls: UrlIssuer,
  views: ConfigViews,
  { socket, recovery, inherited }: CallsFrom,
): Promise<Served> {
  const { clock, random, log } = ports;
  const services = createServices({
    troupe,
    clock,
    random,
    version: VERSION,
    cgroupDriver: config.cgroup.driver,
    selinuxEnabled: await selinuxIsEnabled(),
    // read at each use: the kernel may answer late
    get apparmorEnabled() {
      return apparmor.apparmor !== undefined;
    },
    get apparmorDefault() {
      return apparmor.defaultProfile;
    },
    capabilityNames: CAPABILITY_NAMES,
    defaultMaskedPaths: DEFAULT_MASKED_PATHS,
    defaultReadonlyPaths: DEFAULT_READONLY_PATHS,
    ...views,
    lostFacts,
    restoresCheckpoints: config.runtime.restore,
    usePodCidr,
    conditions: observability.conditions,
    eventsDropped: (events) => observability.metrics.outcomes.dropped('GetContainerEvents', events),
    unread: new UnreadUsage(log, clock),
    specs: shownSpecs(createLayout(config)),
    eventsBefore: inherited?.events,
    urls,
  });
  const { events, ...handlers } = services;
  const edge = {
    clock,
    random,
    log,
    notReadyReason: () => troupe.notReadyReason(),
    recovery: recovery.pending,
    memoryRefusal: heapGuard(clock),
    observer: observability.rpc,
    ...handlers,
  };
  const calls = new CallSwitch();
  const server = await startCriServer({
    listen: socket.listen,
    methods: calls.methods(edgeMethods(edge)),
    streams: calls.streams(edgeStreams(edge)),
    clock,
    log,
  });
  return { server, calls, events };
}
