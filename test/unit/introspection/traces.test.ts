import { describe, expect, test } from 'vitest';
import { fault } from '../../../src/base/fault.ts';
import type { FaultKind } from '../../../src/base/fault.ts';
import { tracesLimits } from '../../../src/introspection/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { otlpBody } from '../../../src/introspection/traces-http.ts';
import { SpanExporter } from '../../../src/introspection/traces-otlp.ts';
import type { Sent } from '../../../src/introspection/traces-otlp.ts';
import { Tracer } from '../../../src/introspection/traces.ts';
import type { Span } from '../../../src/introspection/traces.ts';
import { canary } from '../../support/canaries.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';

const client = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const cause = (requestId: string, traceparent?: string) => ({
  requestId,
  origin: 'StopPodSandbox',
  ...(traceparent === undefined ? {} : { traceparent }),
});
const effectEnd = (owner: string, part: object = {}) => ({
  owner,
  effect: 'undo',
  sinceMonoMs: 1000,
  endMonoMs: 1000,
  outcome: 'ok' as const,
  fault: undefined,
  waits: [],
  ...part,
});

const OK = { text: 'OK', number: 0 };
const UNKNOWN = { text: 'Unknown', number: 2 };
const LATE = { text: 'DeadlineExceeded', number: 4 };
const begin = (tracer: Tracer, of: Parameters<Tracer['begin']>[0]) =>
  tracer.begin(of, 'runtime.v1.RuntimeService');
const resource = { 'service.name': 'troupe', 'service.version': '1.2.3', 'host.name': 'node-1' } as const;

function tracing(sampling?: number) {
  const clock = new HandClock(1000);
  const spans: Span[] = [];
  let made = 0;
  const random = { token: (bytes: number) => (++made).toString(16).padStart(2 * bytes, '0') };
  return {
    clock,
    spans,
    tracer: new Tracer({
      clock,
      random,
      ...(sampling === undefined ? {} : { sampling }),
      put: (span) => void spans.push(span),
    }),
  };
}

describe('spans', () => {
  test('a call is the child of its client’s span, and its requests are sent under its own', async () => {
    const { clock, spans, tracer } = tracing();
    const call = begin(tracer, cause('r1', client));
    expect(call.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/u);
    expect(call.traceparent).not.toBe(client);
    await clock.advance(40);
    call.ended(UNKNOWN, fault('outside', 'CNI said no'));
    expect(spans).toEqual([
      expect.objectContaining({
        name: 'StopPodSandbox',
        kind: 'server',
        traceId: '0af7651916cd43dd8448eb211c80319c',
        parentSpanId: 'b7ad6b7169203331',
        startNs: 1_000_000_000n,
        endNs: 1_040_000_000n,
        error: 'CNI said no',
      }),
    ]);
  });

  test('F78 the duration of a call is right, though the clock was set meanwhile', async () => {
    const { clock, spans } = tracing();
    let setNs = 0n;
    const tracer = new Tracer({
      clock: { nowNs: () => clock.nowNs() - setNs, monoMs: () => clock.monoMs() },
      random: { token: (bytes) => '1'.repeat(2 * bytes) },
      put: (span) => void spans.push(span),
    });
    const call = begin(tracer, cause('r1', client));
    setNs = 900_000_000n;
    await clock.advance(40);
    call.ended(OK, undefined);
    expect(spans).toMatchObject([{ startNs: 1_000_000_000n, endNs: 1_040_000_000n }]);
  });

  test('a call without a client’s span begins a trace', () => {
    const { spans, tracer } = tracing();
    begin(tracer, cause('r1')).ended(OK, undefined);
    expect(spans).toMatchObject([
      { parentSpanId: '', error: undefined, attributes: { 'troupe.request_id': 'r1', 'troupe.code': 'OK' } },
    ]);
  });

  test('a call that the client does not sample has no span, nor have its effects', () => {
    const { spans, tracer } = tracing();
    const call = begin(tracer, cause('r1', client.replace(/01$/u, '00')));
    expect(call.traceparent).toMatch(/-00$/u);
    tracer.asked('sandbox/a', cause('r1', call.traceparent));
    tracer.effect(effectEnd('sandbox/a'));
    call.ended(OK, undefined);
    expect(spans).toEqual([]);
  });

  test('of traces that begin here only the configured share is recorded, with all of their effects', () => {
    const { spans, tracer } = tracing(0);
    const ours = begin(tracer, cause('r1'));
    expect(ours.traceparent).toMatch(/-00$/u);
    tracer.asked('sandbox/a', cause('r1', ours.traceparent));
    tracer.effect(effectEnd('sandbox/a'));
    ours.ended(OK, undefined);
    tracer.effect(effectEnd('sandbox/b'));
    expect(spans).toEqual([]);
    begin(tracer, cause('r2', client)).ended(OK, undefined);
    expect(spans.map((one) => one.traceId)).toEqual(['0af7651916cd43dd8448eb211c80319c']);
  });

  test.each([
    ['3'.repeat(32), true],
    ['c'.repeat(32), false],
  ])('the trace’s id decides: of one half %s is recorded: %s', (traceId, isRecorded) => {
    const spans: Span[] = [];
    const tracer = new Tracer({
      clock: new HandClock(),
      random: { token: (bytes) => traceId.slice(0, 2 * bytes) },
      sampling: 0.5,
      put: (one) => void spans.push(one),
    });
    begin(tracer, cause('r1')).ended(OK, undefined);
    expect(spans).toHaveLength(isRecorded ? 1 : 0);
  });

  test('an effect belongs to the call that its actor works for; one that joined is a link', async () => {
    const { clock, spans, tracer } = tracing();
    const [first, second] = [begin(tracer, cause('r1')), begin(tracer, cause('r2'))];
    tracer.asked('sandbox/a', cause('r1', first.traceparent));
    tracer.asked('sandbox/a', cause('r1', first.traceparent));
    tracer.asked('sandbox/a', cause('r2', second.traceparent));
    await clock.advance(500);
    tracer.effect(effectEnd('sandbox/a', { sinceMonoMs: 1200, endMonoMs: 1400 }));
    first.ended(OK, undefined);
    second.ended(OK, undefined);
    const [effect, one, two] = spans;
    expect(effect).toMatchObject({
      name: 'undo',
      kind: 'internal',
      traceId: one?.traceId,
      parentSpanId: one?.spanId,
      startNs: 1_200_000_000n,
      endNs: 1_400_000_000n,
    });
    expect(effect?.links).toMatchObject([{ traceId: two?.traceId, spanId: two?.spanId }]);
  });

  test('once the actor has settled, and for other actors, an effect belongs to no call', () => {
    const { spans, tracer } = tracing();
    tracer.asked('sandbox/a', cause('r1', client));
    tracer.effect(effectEnd('sandbox/b'));
    tracer.settled('sandbox/a');
    tracer.effect(effectEnd('sandbox/a'));
    expect(spans.map((span) => [span.parentSpanId, span.links.length])).toEqual([
      ['', 0],
      ['', 0],
    ]);
  });

  test('a call that changed nothing is not the cause of later effects; one whose deadline passed still is', () => {
    const { spans, tracer } = tracing();
    const [joined, stopped] = [begin(tracer, cause('r1')), begin(tracer, cause('r2'))];
    tracer.asked('sandbox/a', cause('r1', joined.traceparent));
    tracer.answered('sandbox/a', cause('r1', joined.traceparent), true);
    tracer.asked('sandbox/a', cause('r2', stopped.traceparent));
    tracer.answered('sandbox/a', cause('r2', stopped.traceparent), false);
    tracer.effect(effectEnd('sandbox/a'));
    stopped.ended(LATE, fault('timedOut', 'late'));
    const [effect, call] = spans;
    expect(effect).toMatchObject({ parentSpanId: call?.spanId, links: [] });
  });

  test.each([
    ['CreateContainer', 'create'],
    ['StartContainer', 'start'],
    ['RestorePod', 'restore'],
    ['ExecSync', 'execSync'],
    ['Exec', 'exec'],
    ['StopPodSandbox', 'stopContainers'],
    ['RemovePodSandbox', 'removeContainers'],
    ['StopContainer', 'stopContainers'],
    ['RemoveContainer', 'removeContainers'],
  ])('S91 no word of a command is in the spans of a failed %s', (origin, effect) => {
    const word = canary('command');
    const { spans, tracer } = tracing();
    const failWith = (kind: FaultKind, reason: string): void => {
      const failed = fault(kind, `${origin} c1: runc ${effect}: exec: "${word}": ${reason}`, {
        quotesOutput: kind !== 'bug',
      });
      begin(tracer, { requestId: 'r1', origin }).ended(UNKNOWN, failed);
      tracer.effect(effectEnd('container/c1', { effect, outcome: 'failed', fault: failed }));
    };
    for (const kind of ['outside', 'denied', 'exhausted', 'timedOut', 'unsupported', 'bug'] as const)
      failWith(kind, 'a new reason');
    failWith('outside', 'executable file not found in $PATH');
    expect(spans).toHaveLength(14);
    expect(otlpBody(spans, resource)).not.toContain(word);
    expect(spans.at(0)?.error).toBe('outside: reason not exported, it may quote the command');
    expect(spans.at(-1)?.error).toBe('outside: not found in $PATH');
    const relabelled = fault('wrongState', `exec: "${word}": failed: the container has ended`, {
      cause: fault('outside', `exec: "${word}": failed`, { quotesOutput: true }),
    });
    begin(tracer, { requestId: 'r1', origin }).ended(UNKNOWN, relabelled);
    expect(otlpBody(spans, resource)).not.toContain(word);
    begin(tracer, { requestId: 'r1', origin }).ended(UNKNOWN, fault('notFound', 'c1: no such container'));
    expect(spans.at(-1)?.error).toBe('c1: no such container');
    const own = fault('timedOut', 'create container c1: timed out after 500 ms waiting for the monitor');
    begin(tracer, { requestId: 'r1', origin }).ended(LATE, own);
    expect(spans.at(-1)?.error).toBe(own.message);
  });

  test('calls that join are bounded', () => {
    const { spans, tracer } = tracing();
    for (let call = 0; call < 3 * tracesLimits.linksPerSpan; call += 1)
      tracer.asked('sandbox/a', cause('r', begin(tracer, cause('r')).traceparent));
    tracer.effect(effectEnd('sandbox/a'));
    expect(spans[0]?.links).toHaveLength(tracesLimits.linksPerSpan);
  });
});

const span = (name: string): Span => ({
  name,
  traceId: 'a'.repeat(32),
  spanId: 'b'.repeat(16),
  parentSpanId: 'c'.repeat(16),
  kind: 'internal',
  startNs: 1_700_000_000_123_456_789n,
  endNs: 1_700_000_000_200_000_000n,
  attributes: { 'troupe.actor': 'sandbox/a', count: 3 },
  links: [{ traceId: 'd'.repeat(32), spanId: 'e'.repeat(16), sampled: true }],
  error: 'no',
});

test('OTLP as JSON: ids in hex, times as text, kinds and status as numbers', () => {
  expect(JSON.parse(otlpBody([span('x')], resource))).toEqual({
    resourceSpans: [
      {
        resource: {
          attributes: [
            { key: 'service.name', value: { stringValue: 'troupe' } },
            { key: 'service.version', value: { stringValue: '1.2.3' } },
            { key: 'host.name', value: { stringValue: 'node-1' } },
          ],
        },
        scopeSpans: [
          {
            scope: { name: 'troupe', version: '1.2.3' },
            spans: [
              {
                traceId: 'a'.repeat(32),
                spanId: 'b'.repeat(16),
                parentSpanId: 'c'.repeat(16),
                name: 'x',
                kind: 1,
                startTimeUnixNano: '1700000000123456789',
                endTimeUnixNano: '1700000000200000000',
                attributes: [
                  { key: 'troupe.actor', value: { stringValue: 'sandbox/a' } },
                  { key: 'count', value: { intValue: '3' } },
                ],
                links: [{ traceId: 'd'.repeat(32), spanId: 'e'.repeat(16) }],
                status: { code: 2, message: 'no' },
              },
            ],
          },
        ],
      },
    ],
  });
});

describe('export', () => {
  function exporting(answers: readonly (Sent | 'never')[]) {
    const clock = new HandClock(1000);
    const bodies: (readonly Span[])[] = [];
    const prepare = (spans: readonly Span[]) => (): Promise<Sent> => {
      const answer = answers[bodies.length] ?? 'taken';
      bodies.push(spans);
      return answer === 'never' ? new Promise(() => undefined) : Promise.resolve(answer);
    };
    const ended: string[] = [];
    const transport = { prepare, close: () => void ended.push('closed') };
    return { clock, bodies, ended, exporter: new SpanExporter({ clock, log: silentLog, transport }) };
  }
  const spansIn = (body: readonly Span[] | undefined): number => body?.length ?? 0;

  test('spans are sent together after a while', async () => {
    const { clock, bodies, exporter } = exporting([]);
    for (let at = 0; at < 3; at += 1) exporter.put(span('x'));
    expect(bodies).toHaveLength(0);
    await clock.advance(tracesLimits.flushMs);
    expect(bodies.map(spansIn)).toEqual([3]);
    expect(exporter.counts()).toEqual({ exported: 3, dropped: 0 });
    await clock.advance(10 * tracesLimits.flushMs);
    expect([bodies.length, clock.timers.size]).toEqual([1, 0]);
  });

  test('a full batch is sent at once', async () => {
    const { bodies, exporter } = exporting([]);
    for (let at = 0; at < tracesLimits.batchSpans; at += 1) exporter.put(span('x'));
    await turns();
    expect(bodies.map(spansIn)).toEqual([tracesLimits.batchSpans]);
  });

  test('a collector that answers with retry is retried with growing delays; then the batch is dropped', async () => {
    const { clock, bodies, exporter } = exporting([
      'later',
      'later',
      'taken',
      ...Array.from({ length: tracesLimits.attempts }, () => 'later' as const),
    ]);
    exporter.put(span('x'));
    await clock.advance(tracesLimits.flushMs);
    await clock.advance(tracesLimits.backoffMs);
    expect(bodies).toHaveLength(2);
    await clock.advance(2 * tracesLimits.backoffMs);
    expect(exporter.counts()).toEqual({ exported: 1, dropped: 0 });
    exporter.put(span('y'));
    await clock.advance(tracesLimits.flushMs + tracesLimits.backoffMs * 2 ** tracesLimits.attempts);
    expect(bodies).toHaveLength(3 + tracesLimits.attempts);
    expect(exporter.counts()).toEqual({ exported: 1, dropped: 1 });
  });

  test('a collector that refuses is not retried', async () => {
    const { clock, bodies, exporter } = exporting(['refused']);
    exporter.put(span('x'));
    await clock.advance(60_000);
    expect([bodies.length, exporter.counts().dropped]).toEqual([1, 1]);
  });

  test('a collector that never answers costs spans, not memory', async () => {
    const { exporter } = exporting(['never']);
    const all = tracesLimits.batchSpans + tracesLimits.queuedSpans + 10;
    for (let at = 0; at < all; at += 1) exporter.put(span('x'));
    await turns();
    expect(exporter.counts().dropped).toBe(10);
  });

  test('the end of the daemon sends the rest, and waits no longer than its bound', async () => {
    const sending = exporting([]);
    sending.exporter.put(span('x'));
    await sending.exporter.close();
    expect(sending.exporter.counts()).toEqual({ exported: 1, dropped: 0 });
    expect(sending.ended).toEqual(['closed']);
    const hanging = exporting(['never']);
    hanging.exporter.put(span('x'));
    let closed = false;
    void hanging.exporter.close().then(() => (closed = true));
    await hanging.clock.advance(tracesLimits.closeMs - 1);
    expect(closed).toBe(false);
    await hanging.clock.advance(1);
    expect(closed).toBe(true);
  });

  test('after its end nothing more is sent: a collector that answers late gets no second batch', async () => {
    const { clock, bodies, exporter } = exporting(['never']);
    for (let at = 0; at < 2 * tracesLimits.batchSpans; at += 1) exporter.put(span('x'));
    const closed = exporter.close();
    await clock.advance(tracesLimits.closeMs);
    await closed;
    expect([bodies.length, exporter.counts()]).toEqual([
      1,
      { exported: 0, dropped: tracesLimits.batchSpans },
    ]);
  });
});
