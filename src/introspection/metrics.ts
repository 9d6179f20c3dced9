/**
 * Counters, gauges and histograms in Prometheus' text format 0.0.4. There is no library for it: the usual one makes the
 * whole text at once, on the event loop, and this is one file (docs/dependencies.md).
 */
import { assert } from '../base/assert.ts';
import { metricsLimits } from './bounds.ts';

/** Values of a metric's labels, in the order of their names. */
export type LabelValues = readonly string[];

interface Series<V> {
  readonly values: LabelValues;
  value: V;
}

interface Buckets {
  /** One count per bound, not cumulative; values above the last bound are only in `count`. */
  readonly counts: number[];
  sum: number;
  count: number;
}

type Kind = 'counter' | 'gauge' | 'histogram';

/** One metric with its series. Series above the bound are dropped and counted: labels must never fill the memory. */
abstract class Metric<V> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  abstract readonly kind: Kind;
  readonly #series = new Map<string, Series<V>>();
  readonly #onOverflow: () => void;

  constructor(name: string, help: string, labels: readonly string[], onOverflow: () => void) {
    assert(/^(?:troupe|process|nodejs|grpc_server)_[a-z0-9_]+$/u.test(name), `metric name ${name}`);
    this.name = name;
    this.help = help;
    this.labels = labels;
    this.#onOverflow = onOverflow;
  }

  protected series(values: LabelValues, make: () => V): Series<V> | undefined {
    assert(values.length === this.labels.length, `${this.name} has labels ${this.labels.join(', ')}`);
    const key = values.join('\u0000');
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#series.size >= metricsLimits.seriesPerMetric) {
      this.#onOverflow();
      return undefined;
    }
    const made = { values, value: make() };
    this.#series.set(key, made);
    return made;
  }

  /** Deletes all series, for gauges that are recounted at each scrape. */
  reset(): void {
    this.#series.clear();
  }

  all(): readonly Series<V>[] {
    return [...this.#series.values()];
  }

  /** The text lines of one series. */
  abstract lines(series: Series<V>): readonly string[];

  /** Its text in pieces of at most `seriesPerPiece` series. */
  *pieces(): Generator<string> {
    yield `# HELP ${this.name} ${escapeHelp(this.help)}\n# TYPE ${this.name} ${this.kind}\n`;
    const all = this.all();
    for (let at = 0; at < all.length; at += metricsLimits.seriesPerPiece)
      yield all
        .slice(at, at + metricsLimits.seriesPerPiece)
        .flatMap((series) => this.lines(series))
        .map((line) => `${line}\n`)
        .join('');
  }
}

export class Counter extends Metric<number> {
  readonly kind = 'counter';

  /** Adds to a series; a negative number is ignored, since counters only grow. */
  add(values: LabelValues, by = 1): void {
    const series = this.series(values, () => 0);
    if (series !== undefined && by > 0) series.value += by;
  }

  /** Sets the total of something that is counted elsewhere. */
  raiseTo(values: LabelValues, total: number): void {
    const series = this.series(values, () => 0);
    if (series !== undefined) series.value = Math.max(series.value, total);
  }

  lines({ values, value }: Series<number>): readonly string[] {
    return [`${this.name}${labelText(this.labels, values)} ${numberText(value)}`];
  }
}

export class Gauge extends Metric<number> {
  readonly kind = 'gauge';

  set(values: LabelValues, value: number): void {
    const series = this.series(values, () => 0);
    if (series !== undefined) series.value = value;
  }

  add(values: LabelValues, by: number): void {
    const series = this.series(values, () => 0);
    if (series !== undefined) series.value += by;
  }

  lines({ values, value }: Series<number>): readonly string[] {
    return [`${this.name}${labelText(this.labels, values)} ${numberText(value)}`];
  }
}

export class Histogram extends Metric<Buckets> {
  readonly kind = 'histogram';
  readonly #bounds: readonly number[];

  constructor(
    name: string,
    help: string,
    labels: readonly string[],
    bounds: readonly number[],
    onOverflow: () => void,
  ) {
    super(name, help, labels, onOverflow);
    assert(
      bounds.every((bound, at) => at === 0 || bound > (bounds[at - 1] ?? 0)),
      `${name}: bounds must rise`,
    );
    this.#bounds = bounds;
  }

  observe(values: LabelValues, value: number): void {
    const series = this.series(values, () => ({ counts: this.#bounds.map(() => 0), sum: 0, count: 0 }));
    if (series === undefined || Number.isNaN(value)) return;
    const { counts } = series.value;
    const at = this.#bounds.findIndex((bound) => value <= bound);
    if (at >= 0) counts[at] = (counts[at] ?? 0) + 1;
    series.value.sum += value;
    series.value.count += 1;
  }

  lines({ values, value }: Series<Buckets>): readonly string[] {
    const names = [...this.labels, 'le'];
    let below = 0;
    const buckets = this.#bounds.map((bound, at) => {
      below += value.counts[at] ?? 0;
      return `${this.name}_bucket${labelText(names, [...values, numberText(bound)])} ${below}`;
    });
    const labels = labelText(this.labels, values);
    return [
      ...buckets,
      `${this.name}_bucket${labelText(names, [...values, '+Inf'])} ${value.count}`,
      `${this.name}_sum${labels} ${numberText(value.sum)}`,
      `${this.name}_count${labels} ${value.count}`,
    ];
  }
}

/** All metrics of a process; each name is registered once. */
export class Registry {
  readonly #metrics = new Map<string, Metric<number> | Metric<Buckets>>();
  readonly #dropped: Counter;

  constructor() {
    this.#dropped = this.counter(
      'troupe_metrics_series_dropped_total',
      'Observations left out because a metric had too many label values.',
    );
    this.#dropped.add([], 0);
  }

  counter(name: string, help: string, labels: readonly string[] = []): Counter {
    return this.#add(new Counter(name, help, labels, () => this.#dropped.add([])));
  }

  gauge(name: string, help: string, labels: readonly string[] = []): Gauge {
    return this.#add(new Gauge(name, help, labels, () => this.#dropped.add([])));
  }

  histogram(name: string, help: string, labels: readonly string[], bounds: readonly number[]): Histogram {
    return this.#add(new Histogram(name, help, labels, bounds, () => this.#dropped.add([])));
  }

  /** All metrics, in the order of registration. */
  all(): readonly Pick<Metric<unknown>, 'name' | 'kind' | 'labels' | 'help'>[] {
    return [...this.#metrics.values()];
  }

  /** The text of a scrape. */
  text(): string {
    return [...this.pieces()].join('');
  }

  /** The text in pieces, so that whoever writes it can let the event loop continue in between. */
  *pieces(): Generator<string> {
    for (const metric of this.#metrics.values()) yield* metric.pieces();
  }

  #add<M extends Metric<number> | Metric<Buckets>>(metric: M): M {
    assert(!this.#metrics.has(metric.name), `metric ${metric.name} is registered twice`);
    this.#metrics.set(metric.name, metric);
    return metric;
  }
}

function labelText(names: readonly string[], values: LabelValues): string {
  if (names.length === 0) return '';
  return `{${names.map((name, at) => `${name}="${escapeLabel(values[at] ?? '')}"`).join(',')}}`;
}

/** Escapes backslash, quote and line feed (exposition format 0.0.4, "Comments, help text, and type information"). */
function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}
