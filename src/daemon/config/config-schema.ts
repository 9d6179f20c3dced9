/**
 * The configuration's keys, their types and defaults: here and in `sections/`. Any other key is refused with its line.
 */
import { socketRule } from './sections/config-rule.ts';
import type { ConfigKeys } from './sections/config-rule.ts';
import { imagesDefaults, imagesRule } from './sections/images.ts';
import type { ImagesSettings } from './sections/images.ts';
import { introspectionDefaults, introspectionRule } from './sections/introspection.ts';
import type { IntrospectionSettings } from './sections/introspection.ts';
import { metricsDefaults, metricsRule } from './sections/metrics.ts';
import type { MetricsSettings } from './sections/metrics.ts';
import { networkDefaults, networkRule } from './sections/network.ts';
import type { NetworkSettings } from './sections/network.ts';
import { nriDefaults, nriRule } from './sections/nri.ts';
import type { NriSettings } from './sections/nri.ts';
import { runtimeDefaults, runtimeRule } from './sections/runtime.ts';
import type { RuntimeSettings } from './sections/runtime.ts';
import { storageDefaults, storageRule } from './sections/storage.ts';
import type { StorageSettings } from './sections/storage.ts';
import { streamingDefaults, streamingRule } from './sections/streaming.ts';
import type { StreamingSettings } from './sections/streaming.ts';
import { tracingDefaults, tracingRule } from './sections/tracing.ts';
import type { TracingSettings } from './sections/tracing.ts';

export interface Config {
  /** Data that survives a reboot: journal, images, what containers wrote. */
  readonly root: string;
  /** Data that does not: bundles, exit files, namespace pins. A tmpfs. */
  readonly state: string;
  /** The CRI socket. */
  readonly socket: string;
  readonly log: {
    readonly level: string;
    /** `text`, `json`, or `auto`: text on a terminal. */
    readonly format: string;
  };
  readonly cgroup: {
    readonly driver: 'cgroupfs' | 'systemd';
    /** Parent of pods whose client names none: a cgroup's path, or with the systemd driver a slice. */
    readonly parent: string;
  };
  readonly runtime: RuntimeSettings;
  readonly network: NetworkSettings;
  readonly streaming: StreamingSettings;
  readonly introspection: IntrospectionSettings;
  readonly metrics: MetricsSettings;
  readonly tracing: TracingSettings;
  readonly nri: NriSettings;
  readonly storage: StorageSettings;
  readonly images: ImagesSettings;
}

/** The configuration in effect. Parts whose settings a reload changes call it at each use. */
export type ConfigNow = () => Config;

/** The default of `cgroup.parent` with the systemd driver. */
export const DEFAULT_SLICE = 'troupe.slice';

export const defaultConfig: Config = {
  root: '/var/lib/troupe',
  state: '/run/troupe',
  socket: '/run/troupe/troupe.sock',
  log: { level: 'info', format: 'auto' },
  cgroup: { driver: 'cgroupfs', parent: '/troupe' },
  runtime: runtimeDefaults,
  network: networkDefaults,
  streaming: streamingDefaults,
  introspection: introspectionDefaults,
  metrics: metricsDefaults,
  tracing: tracingDefaults,
  nri: nriDefaults,
  storage: storageDefaults,
  images: imagesDefaults,
};

export const LEVEL_RULE = {
  is: 'oneOf',
  values: ['trace', 'debug', 'info', 'warn', 'error'],
} as const;

export const schema: ConfigKeys = {
  root: { is: 'path', reload: false },
  state: { is: 'path', reload: false },
  socket: { ...socketRule, reload: false },
  log: {
    is: 'table',
    keys: {
      level: { ...LEVEL_RULE, reload: true },
      format: { is: 'oneOf', values: ['auto', 'text', 'json'], reload: true },
    },
  },
  cgroup: {
    is: 'table',
    keys: {
      driver: { is: 'oneOf', values: ['cgroupfs', 'systemd'], reload: false },
      parent: {
        is: 'optionalForm',
        form: /^(?:\/[^\0]*|[^\0/]+\.slice)$/u,
        must: 'be an absolute path, or the name of a slice such as troupe.slice',
        reload: false,
      },
    },
  },
  runtime: runtimeRule,
  network: networkRule,
  streaming: streamingRule,
  introspection: introspectionRule,
  metrics: metricsRule,
  tracing: tracingRule,
  nri: nriRule,
  storage: storageRule,
  images: imagesRule,
};
