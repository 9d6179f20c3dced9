/** CNI. Different sandboxes run side by side; calls for one sandbox come one after the other. */
import type { SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { SandboxSpec } from './specs.ts';

export interface NetworkStatus {
  readonly ready: boolean;
  /** CamelCase for conditions, such as `NetworkPluginNotReady`; empty when ready. */
  readonly reason: string;
  readonly message: string;
}

export interface NetworkInput {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
}

export interface NetworkPort {
  /** From memory; never waits. */
  status(): NetworkStatus;
  /** Runs the whole chain; the config that is used is kept first, so that DEL can use it (F55). */
  add(input: NetworkInput, fx: EffectContext): Promise<{ readonly ips: readonly string[] }>;
  /**
   * DEL of the whole chain with the kept config and result; succeeds when there is nothing.
   * Works without a network namespace (F57). What was kept is dropped last, after success.
   */
  del(input: NetworkInput, fx: EffectContext): Promise<void>;
  /** Sandboxes for which an ADD was begun and no DEL has succeeded. */
  observe(fx: EffectContext): Promise<readonly SandboxId[]>;
}
