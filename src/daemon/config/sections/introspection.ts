/** `introspection`: the socket, the page and the metrics. */
import type { Rule } from './config-rule.ts';

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

export const introspectionRule: Rule = {
  is: 'table',
  keys: {
    socket: { is: 'optionalPath' },
    http_address: {
      is: 'optionalForm',
      form: /^(?:127(?:\.\d{1,3}){3}|\[::1\]|localhost):\d{1,5}$/u,
      must: 'be a loopback address with a port, such as 127.0.0.1:9095: the page is for this machine only',
    },
    metrics: { is: 'oneOf', values: ['token', 'open'] },
  },
};
