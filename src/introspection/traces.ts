/**
 * Spans of calls and effects (OpenTelemetry). A call's span is a child of the client's span if it sent a traceparent.
 * An effect's span is a child of the call that its actor works for: the first call since the actor last settled; calls
 * that joined later are links. Work without a call (an exit, the janitor) begins a trace of its own: the last call need
 * not be its cause.
 */
import type { EffectEnd } from '../actors/effects/activity.ts';
import { startReason } from '../actors/effects/recorded.ts';
import type { ClockPort } from '../ports/clock.ts';
import type { RandomPort } from '../ports/random.ts';
import type { Cause } from '../base/cause.ts';
import { quotesOutput } from '../base/fault.ts';
import type { Fault } from '../base/fault.ts';
import { tracesLimits } from './bounds.ts';

export interface SpanContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /**
   * False when the client does not record this call; then its spans are not recorded here (W3C Trace Context, "sampled
   * flag").
   */
  readonly sampled: boolean;
}

export interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  readonly kind: 'server' | 'internal';
  /** Wall clock. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly links: readonly SpanContext[];
  /** The error; undefined on success. */
  readonly error: string | undefined;
}

export interface TracerOptions {
  readonly clock: Pick<ClockPort, 'nowNs' | 'monoMs'>;
  readonly random: Pick<RandomPort, 'token'>;
  readonly put: (span: Span) => void;
  /** Share of the traces that begin here and are recorded, 0 to 1; 1 if left out. */
  readonly sampling?: number;
}

/** The span of a call in progress. */
export interface CallSpan {
  readonly traceparent: string;
  /** @param status name and number of the gRPC code */
  ended(status: { readonly text: string; readonly number: number }, fault: Fault | undefined): void;
}

const TRACE_BYTES = 16;
const SPAN_BYTES = 8;
const SAMPLED = 1;

export class Tracer {
  readonly #options: TracerOptions;
  /** Calls that an actor works for until it settles, in order of arrival. */
  readonly #askers = new Map<string, SpanContext[]>();

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /** @param service of the RPC, such as `runtime.v1.RuntimeService` */
  begin(cause: Cause, service: string): CallSpan {
    const { clock, put } = this.#options;
    const parent = parseTraceparent(cause.traceparent);
    const own = this.#child(parent);
    const startNs = clock.nowNs();
    const startMonoMs = clock.monoMs();
    return {
      traceparent: traceparentOf(own),
      ended: ({ text, number }, fault) => {
        if (!own.sampled) return;
        put({
          name: cause.origin,
          ...ids(own, parent),
          kind: 'server',
          startNs,
          // not the wall clock, which may have been set meanwhile: no span may end before it begins (F78)
          endNs: startNs + nsOf(clock.monoMs() - startMonoMs),
          attributes: {
            'rpc.system': 'grpc',
            'rpc.service': service,
            'rpc.method': cause.origin,
            'rpc.grpc.status_code': number,
            'troupe.request_id': cause.requestId,
            'troupe.code': text,
          },
          links: [],
          error: exportedError(fault),
        });
      },
    };
  }

  /** A call waits for this actor. */
  asked(owner: string, cause: Cause): void {
    const asker = parseTraceparent(cause.traceparent);
    if (asker === undefined) return;
    const askers = this.#askers.get(owner) ?? [];
    if (askers.length > tracesLimits.linksPerSpan || askers.some((one) => one.spanId === asker.spanId))
      return;
    this.#askers.set(owner, [...askers, asker]);
  }

  /** A call was answered. If its actor is settled now, the call does not cause its later effects. */
  answered(owner: string, cause: Cause, isSettled: boolean): void {
    const asker = parseTraceparent(cause.traceparent);
    if (!isSettled || asker === undefined) return;
    const others = (this.#askers.get(owner) ?? []).filter((one) => one.spanId !== asker.spanId);
    if (others.length > 0) this.#askers.set(owner, others);
    else this.#askers.delete(owner);
  }

  /** The actor has settled or was removed: its later effects belong to no earlier call. */
  settled(owner: string): void {
    this.#askers.delete(owner);
  }

  /**
   * An effect has ended. Its call is looked up now, since the first effect of a new actor begins before `asked` is
   * called.
   */
  effect({ owner, effect, sinceMonoMs, endMonoMs, outcome, fault }: EffectEnd): void {
    const { clock, put } = this.#options;
    const [parent, ...others] = this.#askers.get(owner) ?? [];
    const own = this.#child(parent);
    if (!own.sampled) return;
    const endNs = clock.nowNs() - nsOf(clock.monoMs() - endMonoMs);
    put({
      name: effect,
      ...ids(own, parent),
      kind: 'internal',
      startNs: endNs - nsOf(endMonoMs - sinceMonoMs),
      endNs,
      attributes: { 'troupe.actor': owner, 'troupe.effect': effect, 'troupe.outcome': outcome },
      links: others,
      error: exportedError(fault),
    });
  }

  #child(parent: SpanContext | undefined): SpanContext {
    const { random, sampling = 1 } = this.#options;
    const spanId = random.token(SPAN_BYTES);
    if (parent !== undefined) return { ...parent, spanId };
    const traceId = random.token(TRACE_BYTES);
    return { traceId, spanId, sampled: isSampled(traceId, sampling) };
  }
}

/**
 * The error of a span. Spans leave the machine, and the words of a command may be secrets: of a fault that quotes
 * another program only the kind of reason is exported, as in the journal (S91). So it is with a bug, whose message may
 * hold anything. The log has the whole message, under the request id of the call's span.
 */
function exportedError(fault: Fault | undefined): string | undefined {
  if (fault === undefined) return undefined;
  if (fault.kind !== 'bug' && !quotesOutput(fault)) return fault.message;
  return `${fault.kind}: ${startReason(fault.message) ?? 'reason not exported, it may quote the command'}`;
}

const RATIO_DIGITS = 13;

/**
 * The decision of OpenTelemetry's TraceIdRatioBased sampler: by the trace's id, so that all services that sample with
 * one ratio record the same traces. The last 52 bits of the id are as good as its 56 random ones, and fit a number.
 */
function isSampled(traceId: string, ratio: number): boolean {
  return Number.parseInt(traceId.slice(-RATIO_DIGITS), 16) / 16 ** RATIO_DIGITS < ratio;
}

function ids(
  own: SpanContext,
  parent: SpanContext | undefined,
): Pick<Span, 'traceId' | 'spanId' | 'parentSpanId'> {
  return { traceId: own.traceId, spanId: own.spanId, parentSpanId: parent?.spanId ?? '' };
}

function nsOf(ms: number): bigint {
  return BigInt(Math.round(ms * 1e6));
}

/** Parses a traceparent; undefined for an invalid one. cri/call/edge.ts passes only valid ones. */
function parseTraceparent(text: string | undefined): SpanContext | undefined {
  const [, traceId, spanId, flags] =
    /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/u.exec(text ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

function traceparentOf({ traceId, spanId, sampled }: SpanContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}
