/** The metrics' own listener by `metrics`. */
import { join } from 'node:path';
import type { Conditions } from '../../base/conditions.ts';
import { fail } from '../../base/fault.ts';
import { TlsKeeper } from '../../cri/streaming/tls.ts';
import type { TroupeMetrics } from '../../introspection/metrics-set.ts';
import { startMetrics } from '../../introspection/metrics-server.ts';
import type { MetricsServer } from '../../introspection/metrics-server.ts';
import type { Ports } from '../../ports/ports.ts';
import { accessToken } from '../../introspection/web-token.ts';
import type { Config } from '../config/config-schema.ts';
import { parseListenAddress } from '../config/sections/metrics.ts';
import { ListenerPart } from './listener-part.ts';

/** Path of the token of page and metrics. */
export function tokenFile({ state }: Config): string {
  return join(state, 'introspection.token');
}

/** The parts of an assembly that it needs. */
export interface MetricsParts {
  readonly ports: Pick<Ports, 'clock' | 'random' | 'log'>;
  readonly observability: { readonly conditions: Conditions; readonly metrics: Pick<TroupeMetrics, 'text'> };
}

/** @param configView has the configuration in effect */
export function metricsListener(
  config: Config,
  { ports, observability }: MetricsParts,
  configView: () => Config,
): ListenerPart<MetricsServer> {
  const { clock, random, log } = ports;
  return new ListenerPart<MetricsServer>(
    config,
    { clock, conditions: observability.conditions },
    {
      name: 'metrics listener',
      keyOf: (of) => JSON.stringify(of.metrics),
      listen: async (of) => {
        const { address, tls_cert: cert, tls_key: key, tls_client_ca: clientCa } = of.metrics;
        if (address === '') return undefined;
        const place =
          parseListenAddress(address) ?? fail('outside', `serve the metrics on ${address}: not an address`);
        const server = await startMetrics({
          ...place,
          clock,
          tls: cert === '' ? undefined : new TlsKeeper({ cert, key, clientCa }, log, 'metrics'),
          token: await accessToken(tokenFile(of), random, process.getuid?.() ?? 0),
          isOpen: () => configView().introspection.metrics === 'open',
          metrics: () => observability.metrics.text(),
        });
        log.info({ address: place.host, port: server.port }, 'serving the metrics');
        return server;
      },
    },
  );
}
