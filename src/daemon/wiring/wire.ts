/** The composition root: starts the actors of assemble.ts and the servers in front of them. */
import { join } from 'node:path';
import type { Troupe } from '../../actors/troupe.ts';
import { toFault } from '../../base/fault.ts';
import { launchLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { edgeMethods, edgeStreams } from '../../cri/call/edge.ts';
import { startCriServer } from '../../cri/call/server.ts';
import type { CriServer, CriServerOptions } from '../../cri/call/server.ts';
import type { ServiceOptions } from '../../cri/call/service-options.ts';
import { createServices } from '../../cri/services.ts';
import { UnreadUsage } from '../../cri/call/unread-usage.ts';
import type { UrlIssuer } from '../../cri/streaming/server.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import { heapGuard } from '../../host/tuning/memory.ts';
import { listenPrivately } from '../../host/io/private-socket.ts';
import { selinuxIsEnabled } from '../../host/security/selinux.ts';
import { refuseDumps } from '../../host/security/undumpable.ts';
import { shownSpecs } from '../../oci/runtime/container/shown-spec.ts';
import { CAPABILITY_NAMES } from '../../oci/runtime/spec/capabilities.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../../oci/runtime/spec/masked.ts';
import { troupeCharts } from '../../introspection/charts.ts';
import { startIntrospection } from '../../introspection/server.ts';
import type { IntrospectionServer } from '../../introspection/server.ts';
import { startWeb } from '../../introspection/web-server.ts';
import type { WebServer } from '../../introspection/web-server.ts';
import { accessToken } from '../../introspection/web-token.ts';
import type { IntrospectionOptions } from '../../introspection/service.ts';
import { assemble } from './assemble.ts';
import type { AroundPorts, Assembly } from './assemble.ts';
import { introspectionSocket } from '../config/config.ts';
import type { Config } from '../config/config-schema.ts';
import { criSocket } from './cri-socket.ts';
import { nriStartMs } from './nri.ts';
import { LatePart, orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';
import { planReload } from './reload.ts';
import type { ReloadPlan } from './reload.ts';
import { adoptImages } from './other-images.ts';
import { serveStreams } from './streaming.ts';
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
  /** Reports in Status why the configuration can't be reloaded; undefined once it can. */
  noteRefusal(reason: string | undefined): void;
  /** Refuses new calls, waits for those under way; containers go on. */
  stop(): Promise<void>;
}

type ConfigViews = Pick<ServiceOptions, 'configView' | 'configRefusal'>;

/** Starts everything; the socket answers Unavailable until the recovery is done. */
export async function startDaemon(config: Config, log: Log, around?: AroundPorts): Promise<Daemon> {
  refuseDumps();
  const assembly = await assemble(config, log, around);
  const { troupe, release } = assembly;
  let inEffect = config;
  let refusal: string | undefined;
  const views: ConfigViews = { configView: () => inEffect, configRefusal: () => refusal };
  const part = { clock: assembly.ports.clock, conditions: assembly.observability.conditions };
  const late = lateParts(config, assembly, views, part);
  const { introspection, web, nri } = late;
  const urls = serveStreams(config, assembly);
  const taken = Promise.withResolvers<string>();
  const listen = criSocket(config.socket, assembly.ports, ({ pid, uid }) =>
    taken.resolve(`process ${pid} of uid ${uid} listens on ${config.socket} now`),
  );
  const [server, streaming] = await Promise.all([
    urls.then((issuer) => serve(config, assembly, issuer, views, listen)),
    urls,
    introspection.start(),
    web.start(),
  ]).catch(async (thrown: unknown) => {
    // a failed start leaves no mount and no lock of its own; those of existing pods stay
    await Promise.allSettled([introspection.close(), web.close()]);
    await release();
    throw thrown;
  });
  const { additional_stores: stores } = config.storage;
  assembly.whenStoreUsable((root) => void adoptLater(root, assembly));
  await orWithout(
    part,
    'images of additional stores',
    () => adoptImages(stores.filter(assembly.isUsableStore), assembly.ports, assembly.images),
    undefined,
    Infinity,
  );
  await troupe.start();
  // after the recovery, since plugins receive the list of pods and containers. Pods that come now wait for the plugins
  // of the directory. If a required plugin did not start, the validator refuses each container
  await nri.start();
  return {
    troupe,
    pageUrl: web.value?.url,
    socketTaken: taken.promise,
    reload: async (fresh) => {
      const plan = planReload(inEffect, fresh);
      await assembly.reload(plan.config);
      inEffect = plan.config;
      return plan;
    },
    noteDropIns: (problems) => assembly.nodeFiles.noteOwn(problems),
    noteRefusal: (reason) => {
      refusal = reason;
    },
    stop: () => stopAll(assembly, late, server, streaming),
  };
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
  readonly introspection: LatePart<IntrospectionServer>;
  readonly web: LatePart<WebServer | undefined>;
  readonly nri: LatePart<void>;
}

/** The parts that are used whenever they come; none is started here. */
function lateParts(config: Config, assembly: Assembly, views: ConfigViews, part: PartReport): LateParts {
  const { ports } = assembly;
  const options = introspectionOptions(config, assembly, views);
  const again = { againMs: launchLimits.partAgainMs };
  return {
    introspection: new LatePart(
      part,
      'introspection socket',
      () => introspect(config, options, ports.log),
      again,
    ),
    web: new LatePart(part, 'introspection page', () => servePage(config, assembly, options), again),
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
  streaming: Streams,
): Promise<void> {
  await Promise.all([server.drain(), troupe.drain(), streaming.close()]);
  await late.nri.close();
  await nri?.close();
  await Promise.all([server.close(), late.introspection.close(), late.web.close()]);
  await release();
}

async function serve(
  config: Config,
  { ports, troupe, observability, apparmor, lostFacts }: Assembly,
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
    conditions: observability.conditions,
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

function introspect(config: Config, options: IntrospectionOptions, log: Log): Promise<IntrospectionServer> {
  const { clock } = options;
  const path = introspectionSocket(config);
  return startIntrospection({
    ...options,
    listen: (onConnection) => listenPrivately({ path, clock, log, onConnection, allowHalfOpen: true }),
  });
}

function introspectionOptions(
  config: Config,
  { ports, troupe, recorder, lostFacts, observability }: Assembly,
  { configView, configRefusal }: ConfigViews,
): IntrospectionOptions {
  const { clock } = ports;
  return {
    troupe,
    recorder,
    clock,
    charts: troupeCharts,
    activity: troupe.activity,
    version: VERSION,
    process: { pid: process.pid, startedNs: clock.nowNs(), rssBytes: () => process.memoryUsage.rss() },
    socket: config.socket,
    configView,
    configRefusal,
    lostFacts,
    conditions: observability.conditions,
  };
}

/** The page and the metrics, if configured. The log has the path of the token, not the token. */
async function servePage(
  config: Config,
  { ports, observability }: Assembly,
  introspection: IntrospectionOptions,
): Promise<WebServer | undefined> {
  const { http_address: address, metrics: access } = config.introspection;
  if (address === '') return undefined;
  const { random, log } = ports;
  const tokenFile = join(config.state, 'introspection.token');
  const token = await accessToken(tokenFile, random, process.getuid?.() ?? 0);
  const metrics = (): Promise<string> => observability.metrics.text();
  const web = await startWeb({ address, token, introspection, metrics, metricsAreOpen: access === 'open' });
  log.info({ page: web.origin, tokenFile }, 'serving the introspection page');
  return web;
}
