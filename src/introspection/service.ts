/** The introspection service: read-only calls, and the stream of changes. */
import { Code, ConnectError } from '@connectrpc/connect';
import type { ConnectRouter, HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { onAbort } from '../base/abort.ts';
import { Fifo } from '../base/fifo.ts';
import { RELOAD_REFUSED } from '../base/conditions.ts';
import type { Conditions } from '../base/conditions.ts';
import { FaultError, toFault } from '../base/fault.ts';
import { introspectionLimits } from './bounds.ts';
import type { KeptLayer } from '../actors/images/keepers.ts';
import { whyNotReady } from '../actors/readiness.ts';
import type { Troupe } from '../actors/troupe.ts';
import type { View } from '../actors/directory/views.ts';
import { Introspection } from '../gen/introspection/v1/introspection_pb.ts';
import type {
  ChartsResponse,
  ExplainRequest,
  ListRequest,
  WatchRequest,
} from '../gen/introspection/v1/introspection_pb.ts';
import type { Chart } from './chart.ts';
import { actorWith, describeActor, describeChange, describeNamedChange } from './describe.ts';
import { removedFailures } from './failures.ts';
import { findView } from './find-view.ts';
import type { Change } from './recorder.ts';
import { sentenceOf } from './sentence.ts';
import { liveTrace } from './trace.ts';
import type { Tracing } from './trace.ts';

/** A daemon that has handed over, and when. */
interface HoldsSessions {
  readonly pid: number;
  readonly version: string;
  readonly sinceNs: bigint;
  readonly sessions: number;
}

export interface IntrospectionOptions extends Tracing {
  readonly troupe: Troupe;
  readonly charts: () => readonly Chart[];
  readonly version: string;
  /** The daemon's process, for Status. */
  readonly process: { readonly pid: number; readonly startedNs: bigint; rssBytes(): number };
  /** Path of the CRI socket. */
  readonly socket: string;
  /** The effective configuration, without secrets. */
  readonly configView: () => object;
  /** Why the running configuration is not that of the files; undefined when it is (F32). */
  readonly configRefusal: () => string | undefined;
  /** Changed keys of the configuration that take effect at the next start. */
  readonly configWaiting: () => readonly string[];
  /** What a damaged journal may have lost, and where it is kept; undefined when the journal was not damaged. */
  readonly lostFacts: string | undefined;
  /** The present figures of the file systems that the daemon writes to. */
  readonly disks: () => Promise<readonly DiskSpace[]>;
  /** Called with the number of changes that a client of Watch did not get because it read too slowly. */
  readonly changesDropped?: (changes: number) => void;
  /** Conditions that are false: what is degraded and why. */
  readonly conditions: Pick<Conditions, 'listFalse'>;
  /** Files of the configuration in effect, in the order in which they count. */
  readonly configFiles: () => readonly string[];
  /** Daemons before this one that still hold sessions of clients. */
  readonly formerDaemons: () => readonly HoldsSessions[];
  /** Where the page is, and the file with its token; undefined without a page. */
  readonly page: () => PagePlace | undefined;
}

export interface PagePlace {
  /** Such as http://127.0.0.1:10010. */
  readonly origin: string;
  readonly tokenFile: string;
}

/** The space of one file system. */
export interface DiskSpace {
  readonly path: string;
  /** What is kept there, such as `images`. */
  readonly holds: readonly string[];
  readonly totalBytes: number;
  /** Without the blocks reserved for root. */
  readonly freeBytes: number;
  /** Below this much free space pulls are refused. */
  readonly reserveBytes: number;
}

/** Registers the service on a connect router. */
export function introspectionRoutes(options: IntrospectionOptions): (router: ConnectRouter) => void {
  const service: ServiceImpl<typeof Introspection> = {
    list: (request) => list(options, request),
    explain: (request) => explain(options, request),
    watch: (request, context) => watch(options, request, context),
    charts: () => ({ charts: options.charts().map(plainChart) }) as Partial<ChartsResponse> as never,
    images: () => images(options),
    status: async ({ writeFlight }) => {
      if (writeFlight) await options.flight.write();
      return status(options);
    },
    trace: (request) => liveTrace(options, request, shownGroups(options)),
  };
  return (router) => {
    router.service(Introspection, service);
  };
}

function views({ troupe }: IntrospectionOptions): readonly View[] {
  const { directory } = troupe;
  return [...directory.sandboxes(), ...directory.containers(), ...directory.pulls()];
}

/** The actors that exist, and those that were removed in the last minutes. */
function shownGroups(options: IntrospectionOptions): readonly (readonly View[])[] {
  return [views(options), options.recorder.removed().map(({ view }) => view)];
}

/** The views that List shows: all, or those of one kind. */
export function listedViews(options: IntrospectionOptions, kind: string): readonly View[] {
  return views(options).filter((view) => kind === '' || view.kind === kind);
}

/** List for clients that use binary messages, encoded at once; list-text.ts answers those that use JSON. */
async function list(options: IntrospectionOptions, { kind }: ListRequest) {
  // read before the views: a change in between is then sent again by Watch, not lost
  const seq = options.recorder.seq;
  // read before them, too: an answer that is complete in the end may be called incomplete
  const recovering = !options.troupe.hasRecovered();
  return {
    actors: await Promise.all(listedViews(options, kind).map((view) => describeActor(options, view))),
    failures: removedFailures(options.recorder, kind).map((view) => actorWith(options, view, [])),
    recovering,
    seq,
  };
}

async function explain(options: IntrospectionOptions, { query }: ExplainRequest) {
  const view = findView(query, shownGroups(options), !options.troupe.hasRecovered());
  const related = views(options).filter((other) => isRelated(view, other));
  const actor = await describeActor(options, view);
  const history = options.recorder.past(view.address)?.history ?? [];
  return {
    actor,
    history: history.map(describeChange),
    related: await Promise.all(related.map((other) => describeActor(options, other))),
    sentence: sentenceOf({ view, actor, history, related, nowNs: options.clock.nowNs() }),
  };
}

function isRelated(view: View, other: View): boolean {
  if (view.kind === 'sandbox') return other.kind === 'container' && other.spec.key.sandboxId === view.id;
  return view.kind === 'container' && other.kind === 'sandbox' && other.id === view.spec.key.sandboxId;
}

/** Queues changes from the recorder, within a bound, until the client reads them. */
async function* watch(options: IntrospectionOptions, { afterSeq }: WatchRequest, context: HandlerContext) {
  const queue = new Fifo<Change>();
  let wake: () => void = () => undefined;
  let isOverflowed = false;
  const stop = subscribe(options, afterSeq, (change) => {
    // once one was dropped, none may follow: the client would not notice the gap
    isOverflowed ||= queue.length >= introspectionLimits.watchQueue;
    if (isOverflowed) options.changesDropped?.(1);
    else queue.push(change);
    wake();
  });
  const stopListening = onAbort(context.signal, () => wake());
  try {
    while (!context.signal.aborted) {
      const change = queue.shift();
      if (change !== undefined) yield describeNamedChange(change, options);
      else if (isOverflowed)
        throw new ConnectError(
          'watch: the client reads too slowly: resume after the last number received',
          Code.ResourceExhausted,
        );
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    stopListening();
    stop();
  }
}

function subscribe(
  options: IntrospectionOptions,
  afterSeq: bigint,
  listener: (change: Change) => void,
): () => void {
  try {
    return options.recorder.watch(afterSeq, listener);
  } catch (thrown) {
    const { kind, message } = toFault(thrown);
    if (!(thrown instanceof FaultError)) throw thrown;
    throw new ConnectError(message, kind === 'notFound' ? Code.OutOfRange : Code.ResourceExhausted);
  }
}

function images({ troupe }: IntrospectionOptions) {
  const kept = troupe.keptImages();
  const layer = ({ diffId, keepers }: KeptLayer) => ({ diffId, keepers: [...keepers] });
  return {
    images: kept.images.map(({ image, keepers, layers }) => ({
      id: image.id,
      tags: [...image.repoTags],
      digests: [...image.repoDigests],
      sizeBytes: BigInt(image.sizeBytes),
      pulledNs: image.pulledAtNs,
      pinned: troupe.isPinned(image),
      keepers: [...keepers],
      layers: layers.map(layer),
    })),
    otherLayers: kept.others.map(layer),
  };
}

async function status(options: IntrospectionOptions) {
  const { troupe, process } = options;
  const network = troupe.networkStatus();
  return {
    version: options.version,
    pid: BigInt(process.pid),
    startedNs: process.startedNs,
    notReadyReason: whyNotReady(troupe) ?? '',
    sandboxes: troupe.directory.sandboxes().length,
    containers: troupe.directory.containers().length,
    pulls: troupe.directory.pulls().length,
    images: troupe.images().length,
    networkReady: network.ready,
    networkMessage: network.message,
    handlers: troupe.handlers().map(({ name, ready, reason, choice = '', flaws = '', version = '' }) => ({
      name,
      ready,
      reason,
      choice,
      flaws,
      version,
    })),
    rssBytes: BigInt(process.rssBytes()),
    configJson: JSON.stringify(options.configView()),
    configWaiting: [...options.configWaiting()],
    socket: options.socket,
    lostFacts: options.lostFacts ?? '',
    conditions: [...reloadCondition(options), ...options.conditions.listFalse()],
    disks: (await options.disks()).map(({ path, holds, totalBytes, freeBytes, reserveBytes }) => ({
      path,
      holds: [...holds],
      totalBytes: BigInt(totalBytes),
      freeBytes: BigInt(freeBytes),
      reserveBytes: BigInt(reserveBytes),
    })),
    networkName: network.inUse?.name ?? '',
    networkFile: network.inUse?.file ?? '',
    networkSkipped: [...(network.skipped ?? [])].map(([path, reason]) => ({ path, reason })),
    configFiles: [...options.configFiles()],
    formerDaemons: options
      .formerDaemons()
      .map(({ pid, version, sinceNs, sessions }) => ({ pid: BigInt(pid), version, sinceNs, sessions })),
    pageOrigin: options.page()?.origin ?? '',
    pageTokenFile: options.page()?.tokenFile ?? '',
  };
}

/** As in Status of the CRI. */
function reloadCondition({ configRefusal }: IntrospectionOptions) {
  const message = configRefusal();
  return message === undefined ? [] : [{ ...RELOAD_REFUSED, message, count: 1 }];
}

function plainChart(chart: Chart) {
  return {
    id: chart.id,
    states: chart.states.map((state) => ({ ...state, tags: [...state.tags], effects: [...state.effects] })),
    arrows: [...chart.arrows],
  };
}
