/** The composition root: starts the actors of assemble.ts and the servers in front of them. */
import type { Troupe } from '../../actors/troupe.ts';
import { toFault } from '../../base/fault.ts';
import { launchLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { edgeMethods, edgeStreams } from '../../cri/call/edge.ts';
import { startCriServer } from '../../cri/call/server.ts';
import type { CriServer, CriServerOptions } from '../../cri/call/server.ts';
import { createServices } from '../../cri/services.ts';
import { UnreadUsage } from '../../cri/call/unread-usage.ts';
import type { UrlIssuer } from '../../cri/streaming/server.ts';
import { hostLimits } from '../../host/bounds.ts';
import { within } from '../../host/clock/wait.ts';
import { DiskSpaces } from '../../host/files/disk-spaces.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import { heapGuard } from '../../host/tuning/memory.ts';
import { bootId } from '../../host/process/process-identity.ts';
import { listenPrivately } from '../../host/io/private-socket.ts';
import { selinuxIsEnabled } from '../../host/security/selinux.ts';
import { refuseDumps } from '../../host/security/undumpable.ts';
import { shownSpecs } from '../../oci/runtime/container/shown-spec.ts';
import { CAPABILITY_NAMES } from '../../oci/runtime/spec/capabilities.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../../oci/runtime/spec/masked.ts';
import { troupeCharts } from '../../introspection/charts.ts';
import { FlightHistory } from '../../introspection/flight/history.ts';
import type { MetricsServer } from '../../introspection/metrics-server.ts';
import { startIntrospection } from '../../introspection/server.ts';
import type { IntrospectionServer } from '../../introspection/server.ts';
import type { WebServer } from '../../introspection/web-server.ts';
import type { IntrospectionOptions } from '../../introspection/service.ts';
import { assemble } from './assemble.ts';
import type { AroundPorts, Assembly } from './assemble.ts';
import { introspectionSocket } from '../config/config.ts';
import type { Config } from '../config/config-schema.ts';
import { criSocket } from './cri-socket.ts';
import { flightDirectory, pastFlight } from './flight-files.ts';
import { nriStartMs } from './nri.ts';
import { socketsOfSystemd } from './listening-sockets.ts';
import type { ListeningSockets } from './listening-sockets.ts';
import { daemonLife } from './life.ts';
import type { ListenerPart } from './listener-part.ts';
import { metricsListener, tokenFile } from './metrics.ts';
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
  /** Applies the reloadable keys of another configuration. Rejects, and changes nothing, if it can't be used. */
  reload(fresh: Config): Promise<ReloadPlan>;
  /** Reports errors in the configuration's drop-ins, by path; until the next reload. */
  noteDropIns(problems: ReadonlyMap<string, string>): void;
  /** The files that the configuration in effect is from, for Status. */
  noteFiles(files: readonly string[]): void;
  /** Reports in Status why the configuration can't be reloaded; undefined once it can. */
  noteRefusal(reason: string | undefined): void;
  /** Refuses new calls, waits for those under way; containers go on. */
  stop(): Promise<void>;
}

type ConfigViews = Pick<
  IntrospectionOptions,
  'configView' | 'configRefusal' | 'configWaiting' | 'configFiles'
> & {
  readonly configView: () => Config;
};

/** Starts everything; the socket answers Unavailable until the recovery is done. */
export async function startDaemon(
  config: Config,
  log: Log,
  around?: AroundPorts,
  sockets: ListeningSockets = socketsOfSystemd(log),
  onAssembled: (parts: Assembly & { sessions(): number }) => void = () => undefined,
): Promise<Daemon> {
  refuseDumps();
  checkStreaming(config);
  const assembly = await assemble(config, log, around);
  const { troupe, release } = assembly;
  const last: LastReload = { refusal: undefined, waiting: [], files: [] };
  const views = configViews(assembly.now, last);
  const part = { clock: assembly.ports.clock, conditions: assembly.observability.conditions };
  const late = lateParts(config, assembly, views, { part, sockets });
  const { streaming, introspection, web, metrics, nri } = late;
  onAssembled({ ...assembly, sessions: () => streaming.sessions });
  const taken = Promise.withResolvers<string>();
  const listen = criSocket(config.socket, assembly.ports, sockets, ({ pid, uid }) =>
    taken.resolve(`process ${pid} of uid ${uid} listens on ${config.socket} now`),
  );
  const opening = serve(config, assembly, streaming, views, listen);
  await Promise.all([
    sockets.isPassed('cri') ? noted(opening) : opening,
    introspection.start(),
    web.start(),
    metrics.start(),
  ]).catch(async (thrown: unknown) => {
    // a failed start leaves no mount and no lock of its own; those of existing pods stay
    await Promise.allSettled([introspection.close(), web.close(), metrics.close()]);
    await release();
    throw thrown;
  });
  await adoptStores(config, assembly, part);
  await troupe.start();
  sockets.noteRecovered();
  const server = await opening;
  // after the recovery, since plugins receive the list of pods and containers. Pods that come now wait for the plugins
  // of the directory. If a required plugin did not start, the validator refuses each container
  await nri.start();
  // last: no list of pods needs it, and a request for a URL starts it before
  await streaming.start();
  const endLife = daemonLife(assembly);
  return {
    troupe,
    pageUrl: web.value?.url,
    socketTaken: taken.promise,
    reload: (fresh) => reload(fresh, assembly, late, last),
    noteDropIns: (problems) => assembly.nodeFiles.noteOwn(problems),
    noteFiles: (files) => void (last.files = files),
    noteRefusal: (reason) => {
      last.refusal = reason;
      assembly.observability.metrics.outcomes.reloaded(reason === undefined);
    },
    stop: () => {
      endLife();
      return stopAll(assembly, late, server);
    },
  };
}

/** For a promise that is awaited later: until then its failure is no unhandled one. */
function noted(later: Promise<unknown>): void {
  later.catch(() => undefined);
}

function configViews(now: () => Config, last: LastReload): ConfigViews {
  return {
    configView: now,
    configRefusal: () => last.refusal,
    configWaiting: () => last.waiting,
    configFiles: () => last.files,
  };
}

/** What Status and the introspection show of the last reload. */
interface LastReload {
  refusal: string | undefined;
  waiting: readonly string[];
  /** The files that the configuration is from. */
  files: readonly string[];
}

async function reload(
  fresh: Config,
  assembly: Assembly,
  { streaming, web, metrics }: Pick<LateParts, 'streaming' | 'web' | 'metrics'>,
  last: LastReload,
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
  { part, sockets }: { readonly part: PartReport; readonly sockets: ListeningSockets },
): LateParts {
  const { ports } = assembly;
  const options = introspectionOptions(config, assembly, views, () => page.value);
  const again = { againMs: launchLimits.partAgainMs };
  const page = pageListener(config, assembly, () => options, views.configView);
  return {
    streaming: lateStreams(assembly.now, assembly, sockets),
    introspection: new LatePart(
      part,
      'introspection socket',
      () => introspect(config, options, ports.log, sockets),
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

/** Drains calls and actors, closes the servers, then releases the drivers. */
async function stopAll(
  { troupe, nri, release }: Assembly,
  late: LateParts,
  server: CriServer,
): Promise<void> {
  await Promise.all([server.drain(), troupe.drain(), late.streaming.close()]);
  await late.nri.close();
  await nri?.close();
  await Promise.all([server.close(), late.introspection.close(), late.web.close(), late.metrics.close()]);
  await release();
}

async function serve(
  config: Config,
  { ports, troupe, observability, apparmor, lostFacts, usePodCidr }: Assembly,
  urls: UrlIssuer,
  views: ConfigViews,
  listen: CriServerOptions['listen'],
): Promise<CriServer> {
  const { clock, random, log } = ports;
  const services = createServices({
    troupe,
    clock,
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
    urls,
  });
  const edge = {
    clock,
    random,
    log,
    notReadyReason: () => troupe.notReadyReason(),
    memoryRefusal: heapGuard(clock),
    observer: observability.rpc,
    ...services,
  };
  return startCriServer({ listen, methods: edgeMethods(edge), streams: edgeStreams(edge), clock, log });
}

function introspect(
  config: Config,
  options: IntrospectionOptions,
  log: Log,
  sockets: ListeningSockets,
): Promise<IntrospectionServer> {
  const { clock } = options;
  const path = introspectionSocket(config);
  return startIntrospection({
    ...options,
    listen: (onConnection) =>
      listenPrivately({
        path,
        clock,
        log,
        onConnection,
        allowHalfOpen: true,
        ...sockets.optionsFor('introspection'),
      }),
  });
}

function introspectionOptions(
  config: Config,
  { ports, troupe, recorder, lostFacts, observability }: Assembly,
  views: ConfigViews,
  web: () => WebServer | undefined,
): IntrospectionOptions {
  const { clock } = ports;
  return {
    troupe,
    recorder,
    flight: observability.flight,
    history: new FlightHistory({
      segments: pastFlight(flightDirectory(config.root)),
      clock,
      bootId: bootId(),
    }),
    clock,
    charts: troupeCharts,
    activity: troupe.activity,
    version: VERSION,
    process: { pid: process.pid, startedNs: clock.nowNs(), rssBytes: () => process.memoryUsage.rss() },
    socket: config.socket,
    ...views,
    lostFacts,
    changesDropped: (changes) => observability.metrics.outcomes.dropped('Watch', changes),
    conditions: observability.conditions,
    disks: diskFigures(config, clock),
    page: () => {
      const origin = web()?.origin;
      return origin === undefined ? undefined : { origin, tokenFile: tokenFile(config) };
    },
  };
}

/**
 * Of the disks of state, pods and images, a few seconds old at most: of one that does not answer the last ones. The
 * first reading starts now.
 */
function diskFigures(
  { state, root, storage }: Config,
  clock: Assembly['ports']['clock'],
): IntrospectionOptions['disks'] {
  const images = storage.image_store === '' ? root : storage.image_store;
  const disks = new DiskSpaces(
    [
      { path: root, holds: 'pods' },
      { path: images, holds: 'images' },
      { path: state, holds: 'state' },
    ],
    clock,
  );
  void disks.read();
  return async () => {
    await within({ clock, timeoutMs: hostLimits.diskAnswerMs }, disks.renew());
    return disks.figures();
  };
}
