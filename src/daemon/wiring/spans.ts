/** The export of spans by `tracing`, which a reload replaces. */
import { hostname } from 'node:os';
import type { Conditions } from '../../base/conditions.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { readAccess } from '../../introspection/collector.ts';
import type { Collector, CollectorAccess } from '../../introspection/collector.ts';
import { overGrpc } from '../../introspection/traces-grpc.ts';
import { overHttp } from '../../introspection/traces-http.ts';
import { SpanExporter } from '../../introspection/traces-otlp.ts';
import { Tracer } from '../../introspection/traces.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import type { Config } from '../config/config-schema.ts';
import { VERSION } from './version.ts';

interface Handed {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
  readonly conditions: Conditions;
}

type TracingConfig = Config['tracing'];

/** Name of the part in the condition PartsStarted. */
const PART = 'export of traces';

export class Spans {
  readonly #handed: Handed;
  #settings: TracingConfig;
  #exporter: SpanExporter | undefined;
  #tracer: Tracer | undefined;
  /** Counts of the exporters before this one: counters only grow. */
  #before = { exported: 0, dropped: 0 };

  constructor(settings: TracingConfig, handed: Handed) {
    this.#handed = handed;
    this.#settings = settings;
    this.#begin(settings);
  }

  /** Undefined without a collector: then no spans are made. */
  get tracer(): Tracer | undefined {
    return this.#tracer;
  }

  counts(): { readonly exported: number; readonly dropped: number } {
    const { exported, dropped } = this.#exporter?.counts() ?? { exported: 0, dropped: 0 };
    return { exported: this.#before.exported + exported, dropped: this.#before.dropped + dropped };
  }

  /** Spans of calls under way end at the exporter that they began with. */
  reload(settings: TracingConfig): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    const old = this.#exporter;
    this.#begin(settings);
    if (old === undefined) return;
    // what it still sends is counted when it has ended
    void old.close().then(() => {
      const { exported, dropped } = old.counts();
      this.#before = { exported: this.#before.exported + exported, dropped: this.#before.dropped + dropped };
    });
  }

  /** Sends the last spans within a bounded time. */
  async close(): Promise<void> {
    await this.#exporter?.close();
  }

  #begin(settings: TracingConfig): void {
    const { clock, random, log, conditions } = this.#handed;
    conditions.clear('PartsStarted', PART);
    this.#exporter = undefined;
    this.#tracer = undefined;
    const { endpoint, protocol, sampling } = settings;
    if (endpoint === '') return;
    const collector: Collector = {
      endpoint,
      resource: { 'service.name': 'troupe', 'service.version': VERSION, 'host.name': hostname() },
      access: () => this.#access(settings),
      clock,
      log,
    };
    const transport = protocol === 'grpc' ? overGrpc(collector) : overHttp(collector);
    const exporter = new SpanExporter({ clock, log, transport });
    this.#exporter = exporter;
    this.#tracer = new Tracer({ clock, random, sampling, put: (span) => exporter.put(span) });
  }

  /** A file that can't be used is reported until it can. */
  async #access(settings: TracingConfig): Promise<CollectorAccess> {
    const { conditions } = this.#handed;
    const { headers_file: headersFile, ca: caFile } = settings;
    try {
      const access = await readAccess({ headersFile, caFile }, process.getuid?.() ?? 0);
      if (settings === this.#settings) conditions.clear('PartsStarted', PART);
      return access;
    } catch (thrown) {
      const reason = toFault(thrown).message;
      if (settings === this.#settings) conditions.report({ type: 'PartsStarted', subject: PART, reason });
      throw thrown;
    }
  }
}
