/** `introspection`: the socket, the page and the metrics. */
import { isIPv4 } from 'node:net';
import { optionalSocketRule } from './config-rule.ts';
import type { ConfigKey } from './config-rule.ts';

export interface IntrospectionSettings {
  /** Empty: `introspection.sock` in the state directory. */
  readonly socket: string;
  /** Loopback address and port of the page and the metrics, such as `127.0.0.1:9095`; empty: neither is served. */
  readonly http_address: string;
  /** `token`: scrapes need the page's token; `open`: anyone who reaches the address may scrape. */
  readonly metrics: string;
}

export const introspectionDefaults: IntrospectionSettings = {
  socket: '',
  http_address: '',
  metrics: 'token',
};

function judgeAddress(text: string): string | undefined {
  const [, host = '', port = ''] = /^(127[.\d]+|\[::1\]|localhost):(\d{1,5})$/u.exec(text) ?? [];
  const isLoopback = host.startsWith('127') ? isIPv4(host) : host !== '';
  return text === '' || (isLoopback && Number(port) <= 65_535)
    ? undefined
    : 'must be a loopback address with a port, such as 127.0.0.1:9095: the page is for this machine only';
}

export const introspectionRule: ConfigKey = {
  is: 'table',
  keys: {
    socket: { ...optionalSocketRule, reload: false },
    http_address: { is: 'judged', judge: judgeAddress, reload: true },
    metrics: { is: 'oneOf', values: ['token', 'open'], reload: true },
  },
};
