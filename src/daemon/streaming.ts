/** The streaming server as it is configured. */
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { fail } from '../base/fault.ts';
import { startStreaming } from '../cri/streaming/server.ts';
import type { StreamingServer } from '../cri/streaming/server.ts';
import type { Assembly } from './assemble.ts';
import { defaultConfig } from './config-schema.ts';
import type { Config } from './config-schema.ts';

/** Serves exec, attach and port-forward. Throws `invalidRequest` for an address that is none and half a certificate. */
export function serveStreams(config: Config, { ports, troupe, streams }: Assembly): Promise<StreamingServer> {
  const { port, tls_cert: cert, tls_key: key, tls_client_ca: clientCa, allowed_hosts: hosts } = config.streaming;
  const address = config.streaming.address || defaultConfig.streaming.address;
  if (isIP(address) === 0) fail('invalidRequest', `use streaming.address ${address}: not an address`, { subject: 'streaming.address' });
  if ((cert === '') !== (key === '') || (cert === '' && clientCa !== '')) {
    fail('invalidRequest', 'use streaming.tls_cert, tls_key, tls_client_ca: a certificate and its key belong together', { subject: 'streaming.tls_cert' });
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
