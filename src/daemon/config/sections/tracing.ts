/** `tracing`: where spans are sent, how, and how many. */
import type { ConfigKey } from './config-rule.ts';

export interface TracingSettings {
  /** Base address of a collector that takes OTLP, such as `http://127.0.0.1:4318`; empty: no traces. */
  readonly endpoint: string;
  /** `http`: OTLP over HTTP with JSON; `grpc`: OTLP over gRPC. */
  readonly protocol: 'http' | 'grpc';
  /** Share of the traces that begin here and are recorded, 0 to 1; a client's decision for its trace counts instead. */
  readonly sampling: number;
  /** File of headers for the collector, `name: value` on each line, for its owner only; empty: none. */
  readonly headers_file: string;
  /** PEM file of the authorities for an https endpoint; empty: the machine's own. */
  readonly ca: string;
}

export const tracingDefaults: TracingSettings = {
  endpoint: '',
  protocol: 'http',
  sampling: 1,
  headers_file: '',
  ca: '',
};

/** The refusal does not repeat the address, which may hold credentials (S92). */
function judgeEndpoint(text: string): string | undefined {
  const isRight = /^https?:\/\/[^\s/@?#]+(?:\/[^\s?#]*)?$/u.test(text) && URL.canParse(text);
  return text === '' || isRight
    ? undefined
    : 'must be an http or https address without credentials and query';
}

export const tracingRule: ConfigKey = {
  is: 'table',
  keys: {
    endpoint: { is: 'judged', judge: judgeEndpoint, reload: true },
    protocol: { is: 'oneOf', values: ['http', 'grpc'], reload: true },
    sampling: { is: 'ratio', reload: true },
    headers_file: { is: 'optionalPath', reload: true },
    ca: { is: 'optionalPath', reload: true },
  },
};
