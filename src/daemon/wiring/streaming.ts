/** The streaming server, by the configuration. */
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { fail } from '../../base/fault.ts';
import { launchLimits } from '../bounds.ts';
import { startStreaming } from '../../cri/streaming/server.ts';
import type { StreamingServer, UrlIssuer } from '../../cri/streaming/server.ts';
import type { Assembly } from './assemble.ts';
import { defaultConfig } from '../config/config-schema.ts';
import type { Config } from '../config/config-schema.ts';
import { LatePart } from './optional-part.ts';

export interface Streams extends UrlIssuer {
  close(): Promise<void>;
}

/**
 * Serves exec, attach and port-forward. A taken port or an unreadable certificate does not end the start: it is
 * reported, and tried again with each request for a URL and periodically. Throws `invalidRequest` as `startStreams`
 * does.
 */
export async function serveStreams(config: Config, assembly: Assembly): Promise<Streams> {
  const {
    ports: { clock },
    observability: { conditions },
  } = assembly;
  const server = new LatePart(
    { clock, conditions },
    'streaming server',
    () => startStreams(config, assembly),
    { againMs: launchLimits.partAgainMs },
  );
  await server.start();
  return {
    urlFor: async (request) => (await server.now()).urlFor(request),
    close: () => server.close(),
  };
}

/** Throws `invalidRequest` for an invalid address, and for a certificate without its key. */
function startStreams(config: Config, { ports, troupe, streams }: Assembly): Promise<StreamingServer> {
  const {
    port,
    tls_cert: cert,
    tls_key: key,
    tls_client_ca: clientCa,
    allowed_hosts: hosts,
  } = config.streaming;
  const address = config.streaming.address || defaultConfig.streaming.address;
  if (isIP(address) === 0)
    fail('invalidRequest', `use streaming.address ${address}: not an address`, {
      subject: 'streaming.address',
    });
  if ((cert === '') !== (key === '') || (cert === '' && clientCa !== '')) {
    fail(
      'invalidRequest',
      'use streaming.tls_cert, tls_key, tls_client_ca: set both a certificate and its key',
      { subject: 'streaming.tls_cert' },
    );
  }
  const { clock, random, log } = ports;
  return startStreaming({
    directory: troupe.directory,
    activity: troupe.activity,
    streams,
    clock,
    random,
    log,
    address,
    port,
    tls: cert === '' ? undefined : { cert, key, clientCa },
    allowedHosts: [hostname().toLowerCase(), ...hosts],
  });
}
