// Where a call's time goes inside the daemon: its own traces, of which the medians of each effect are drawn as a
// waterfall.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { tracesLimits } from '../../src/introspection/bounds.ts';
import { median, ms } from './stats.ts';

interface OtlpSpan {
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
}

interface OtlpBody {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

export interface Collector {
  /** For the daemon's `tracing.endpoint`. */
  readonly address: string;
  /** Waits until the daemon has sent what it keeps back. */
  readonly settle: () => Promise<void>;
  /** Forgets the spans of before. */
  readonly clear: () => void;
  /** Text of all calls whose spans have come. */
  readonly text: () => string;
  readonly close: () => Promise<void>;
}

/** A collector on a free port of the loopback. */
export async function startCollector(): Promise<Collector> {
  let spans: OtlpSpan[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => void chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as OtlpBody;
      for (const { scopeSpans } of body.resourceSpans)
        for (const scope of scopeSpans) spans.push(...scope.spans);
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://127.0.0.1:${port}`,
    settle: () => delay(tracesLimits.flushMs * 2),
    clear: () => (spans = []),
    text: () => waterfall(spans),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Row {
  readonly from: number[];
  readonly to: number[];
}

const WIDTH = 60;
const msBetween = (from: string, to: string): number => Number(BigInt(to) - BigInt(from)) / 1e6;

/** One block per method: its effects in the order they began, each from when to when after the call came. */
function waterfall(spans: readonly OtlpSpan[]): string {
  const effectsOf = Map.groupBy(
    spans.filter((span) => span.parentSpanId !== undefined),
    (span) => span.parentSpanId,
  );
  const calls = Map.groupBy(
    spans.filter((span) => span.parentSpanId === undefined && effectsOf.has(span.spanId)),
    ({ name }) => name,
  );
  const blocks = [...calls].map(([method, ofMethod]) => {
    const lasted = ofMethod.map((call) => msBetween(call.startTimeUnixNano, call.endTimeUnixNano));
    const rows = new Map<string, Row>();
    for (const call of ofMethod) addRows(rows, call, effectsOf.get(call.spanId) ?? []);
    const total = median(lasted);
    const usual = [...rows].filter(([, { from }]) => from.length * 2 > ofMethod.length);
    const lines = usual
      .toSorted(([, a], [, b]) => median(a.from) - median(b.from))
      .map(([name, row]) => line(name, row, total));
    return [`${method}: ${ms(total)} ms in the daemon (median of ${ofMethod.length})`, ...lines].join('\n');
  });
  return blocks.join('\n\n');
}

function addRows(rows: Map<string, Row>, call: OtlpSpan, effects: readonly OtlpSpan[]): void {
  const seen = new Map<string, number>();
  const at = (span: OtlpSpan): number => msBetween(call.startTimeUnixNano, span.startTimeUnixNano);
  for (const effect of effects.toSorted((a, b) => at(a) - at(b))) {
    const nth = (seen.get(effect.name) ?? 0) + 1;
    seen.set(effect.name, nth);
    const name = nth === 1 ? effect.name : `${effect.name} ${nth}`;
    const row = rows.get(name) ?? { from: [], to: [] };
    row.from.push(at(effect));
    row.to.push(msBetween(call.startTimeUnixNano, effect.endTimeUnixNano));
    rows.set(name, row);
  }
}

function line(name: string, row: Row, total: number): string {
  const from = median(row.from);
  const to = median(row.to);
  const column = (at: number): number => Math.max(0, Math.min(WIDTH, Math.round((at / total) * WIDTH)));
  const bar = `${' '.repeat(column(from))}${'='.repeat(Math.max(1, column(to) - column(from)))}`;
  return `  ${name.padEnd(18)} ${from.toFixed(1).padStart(6)} – ${to.toFixed(1).padStart(6)} ${(to - from).toFixed(1).padStart(6)}  |${bar}`;
}
