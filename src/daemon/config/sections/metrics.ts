/** `metrics`: a listener of its own that serves /metrics and nothing else. */
import { isIP, isIPv4 } from 'node:net';
import type { ConfigKey } from './config-rule.ts';

export interface MetricsSettings {
  /** Address and port, such as `192.0.2.7:9095`; empty: no listener. One that is not loopback needs TLS and a CA. */
  readonly address: string;
  /** PEM files; both empty: no TLS. Read again when they change. */
  readonly tls_cert: string;
  readonly tls_key: string;
  /** PEM file of the authority whose certificates clients must show; empty: they show none, and need the token. */
  readonly tls_client_ca: string;
}

export const metricsDefaults: MetricsSettings = { address: '', tls_cert: '', tls_key: '', tls_client_ca: '' };

/** An address with a port in its parts; undefined for a text that is not one. */
export function parseListenAddress(
  text: string,
): { readonly host: string; readonly port: number; readonly isLoopback: boolean } | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([\da-fA-F:.]+)\]|([\d.]+)):(\d{1,5})$/u.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits ?? Number.NaN);
  if (isIP(host) === 0 || isIPv4(host) !== (bracketed === undefined) || !(port <= 65_535)) return undefined;
  return { host, port, isLoopback: host === '::1' || host.startsWith('127.') };
}

export const metricsRule: ConfigKey = {
  is: 'table',
  keys: {
    address: {
      is: 'judged',
      judge: (text) =>
        text === '' || parseListenAddress(text) !== undefined
          ? undefined
          : 'must be an IPv4 or IPv6 address with a port, such as 192.0.2.7:9095 or [2001:db8::7]:9095',
      reload: true,
    },
    tls_cert: { is: 'optionalPath', reload: true },
    tls_key: { is: 'optionalPath', reload: true },
    tls_client_ca: { is: 'optionalPath', reload: true },
  },
};
