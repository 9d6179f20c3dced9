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
import { describeActor, describeChange } from './describe.ts';
import type { Describing } from './describe.ts';
import { findView } from './find-view.ts';
import type { Change } from './recorder.ts';

export interface IntrospectionOptions extends Describing {
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
  /** What a damaged journal may have lost, and where it is kept; undefined when the journal was not damaged. */
  readonly lostFacts: string | undefined;
  /** Conditions that are false: what is degraded and why. */
  readonly conditions: Pick<Conditions, 'listFalse'>;
}

/** Registers the service on a connect router. */
export function introspectionRoutes(options: IntrospectionOptions): (router: ConnectRouter) => void {
  const service: ServiceImpl<typeof Introspection> = {
    list: (request) => list(options, request),
    explain: (request) => explain(options, request),
    watch: (request, context) => watch(options, request, context),
    charts: () => ({ charts: options.charts().map(plainChart) }) as Partial<ChartsResponse> as never,
    images: () => images(options),
    status: () => status(options),
  };
  return (router) => {
    router.service(Introspection, service);
  };
}

function views({ troupe }: IntrospectionOptions): readonly View[] {
  const { directory } = troupe;
  return [...directory.sandboxes(), ...directory.containers(), ...directory.pulls()];
}

/** The views that List shows: all, or those of one kind. */
export function listedViews(options: IntrospectionOptions, kind: string): readonly View[] {
  return views(options).filter((view) => kind === '' || view.kind === kind);
}

/** List for clients that use binary messages, encoded at once; list-text.ts answers those that use JSON. */
async function list(options: IntrospectionOptions, { kind }: ListRequest) {
  // read before the views: a change in between is then sent again by Watch, not lost
  const seq = options.recorder.seq;
  return {
    actors: await Promise.all(listedViews(options, kind).map((view) => describeActor(options, view))),
    seq,
  };
}

async function explain(options: IntrospectionOptions, { query }: ExplainRequest) {
  const view = findView(query, [views(options), options.recorder.removed().map((end) => end.view)]);
  const related = views(options).filter((other) => isRelated(view, other));
  return {
    actor: await describeActor(options, view),
    history: (options.recorder.past(view.address)?.history ?? []).map(describeChange),
    related: await Promise.all(related.map((other) => describeActor(options, other))),
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
    if (!isOverflowed) queue.push(change);
    wake();
  });
  const stopListening = onAbort(context.signal, () => wake());
  try {
    while (!context.signal.aborted) {
      const change = queue.shift();
      if (change !== undefined) yield describeChange(change);
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

function status(options: IntrospectionOptions) {
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
    handlers: troupe
      .handlers()
      .map(({ name, ready, reason, choice = '' }) => ({ name, ready, reason, choice })),
    rssBytes: BigInt(process.rssBytes()),
    configJson: JSON.stringify(options.configView()),
    socket: options.socket,
    lostFacts: options.lostFacts ?? '',
    conditions: [...reloadCondition(options), ...options.conditions.listFalse()],
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
