/** `tracing`: where spans are sent. */
import type { Rule } from './config-rule.ts';

export interface TracingSettings {
  /** Base address of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; empty: no traces. */
  readonly endpoint: string;
}

export const tracingDefaults: TracingSettings = { endpoint: '' };

export const tracingRule: Rule = {
  is: 'table',
  keys: {
    endpoint: {
      is: 'optionalForm',
      form: /^https?:\/\/[^\s/@?#]+(?:\/[^\s?#]*)?$/u,
      must: 'be an http or https address without credentials and query',
    },
  },
};
