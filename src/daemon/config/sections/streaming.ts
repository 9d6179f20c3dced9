/** `streaming`: the server for exec, attach and port-forward. */
import { isIP } from 'node:net';
import type { ConfigKey } from './config-rule.ts';

export interface StreamingSettings {
  /** Address of the server for exec, attach and port-forward; the kubelet must reach it. */
  readonly address: string;
  /** 0: a free port. */
  readonly port: number;
  /** PEM files; both empty: no TLS. Read again when they change. */
  readonly tls_cert: string;
  readonly tls_key: string;
  /** PEM file of the authority whose certificates clients must show; empty: they show none. */
  readonly tls_client_ca: string;
  /** Names allowed in Host and Origin, beside addresses, localhost and this node's name. */
  readonly allowed_hosts: readonly string[];
}

export const streamingDefaults: StreamingSettings = {
  address: '127.0.0.1',
  port: 0,
  tls_cert: '',
  tls_key: '',
  tls_client_ca: '',
  allowed_hosts: [],
};

export const streamingRule: ConfigKey = {
  is: 'table',
  keys: {
    address: {
      is: 'judged',
      judge: (text) =>
        text === '' || (isIP(text) !== 0 && !text.includes('%'))
          ? undefined
          : 'must be an IPv4 or IPv6 address',
      reload: false,
    },
    port: { is: 'port', reload: false },
    tls_cert: { is: 'optionalPath', reload: true },
    tls_key: { is: 'optionalPath', reload: true },
    tls_client_ca: { is: 'optionalPath', reload: true },
    allowed_hosts: { is: 'hosts', reload: true },
  },
};
