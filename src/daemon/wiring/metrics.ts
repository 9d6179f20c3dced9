/** The metrics' own listener by `metrics`, which a reload replaces. */
import { join } from 'node:path';
import type { Conditions } from '../../base/conditions.ts';
import { fail } from '../../base/fault.ts';
import { TlsKeeper } from '../../cri/streaming/tls.ts';
import type { TroupeMetrics } from '../../introspection/metrics-set.ts';
import { startMetrics } from '../../introspection/metrics-server.ts';
import type { MetricsServer } from '../../introspection/metrics-server.ts';
import type { Ports } from '../../ports/ports.ts';
import { accessToken } from '../../introspection/web-token.ts';
import { launchLimits } from '../bounds.ts';
import type { Config } from '../config/config-schema.ts';
import { parseListenAddress } from '../config/sections/metrics.ts';
import { LatePart } from './optional-part.ts';

/** Path of the token of page and metrics. */
export function tokenFile({ state }: Config): string {
  return join(state, 'introspection.token');
}

/** The parts of an assembly that it needs. */
export interface MetricsParts {
  readonly ports: Pick<Ports, 'clock' | 'random' | 'log'>;
  readonly observability: { readonly conditions: Conditions; readonly metrics: Pick<TroupeMetrics, 'text'> };
}

/** A taken port or an unreadable certificate ends neither start nor reload: it is reported and tried again. */
export class MetricsListener {
  readonly #assembly: MetricsParts;
  readonly #configView: () => Config;
  #config: Config;
  #part: LatePart<MetricsServer | undefined>;

  /** @param configView has the configuration in effect */
  constructor(config: Config, assembly: MetricsParts, configView: () => Config) {
    this.#assembly = assembly;
    this.#configView = configView;
    this.#config = config;
    this.#part = this.#partOf(config);
  }

  start(): Promise<void> {
    return this.#part.start();
  }

  close(): Promise<void> {
    return this.#part.close();
  }

  /** Listens anew if a key of `metrics` has changed. */
  async reload(config: Config): Promise<void> {
    if (JSON.stringify(config.metrics) === JSON.stringify(this.#config.metrics)) return;
    this.#config = config;
    const old = this.#part;
    this.#part = this.#partOf(config);
    // it may have the same port
    await old.close();
    await this.#part.start();
  }

  #partOf(config: Config): LatePart<MetricsServer | undefined> {
    const { ports, observability } = this.#assembly;
    const part = { clock: ports.clock, conditions: observability.conditions };
    part.conditions.clear('PartsStarted', PART);
    return new LatePart(part, PART, () => this.#listen(config), { againMs: launchLimits.partAgainMs });
  }

  async #listen(config: Config): Promise<MetricsServer | undefined> {
    const { address, tls_cert: cert, tls_key: key, tls_client_ca: clientCa } = config.metrics;
    if (address === '') return undefined;
    const { ports, observability } = this.#assembly;
    const { clock, random, log } = ports;
    const place =
      parseListenAddress(address) ?? fail('outside', `serve the metrics on ${address}: not an address`);
    const server = await startMetrics({
      ...place,
      clock,
      tls: cert === '' ? undefined : new TlsKeeper({ cert, key, clientCa }, log, 'metrics'),
      token: await accessToken(tokenFile(config), random, process.getuid?.() ?? 0),
      isOpen: () => this.#configView().introspection.metrics === 'open',
      metrics: () => observability.metrics.text(),
    });
    log.info({ address: place.host, port: server.port }, 'serving the metrics');
    return server;
  }
}

/** Name of the part in the condition PartsStarted. */
const PART = 'metrics listener';
