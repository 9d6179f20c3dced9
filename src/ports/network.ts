/** CNI. Calls for different sandboxes run in parallel; calls for one sandbox run one after the other. */
import type { SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { SandboxSpec } from './specs.ts';

export interface NetworkStatus {
  readonly ready: boolean;
  /** Reason in CamelCase for conditions, such as `NetworkPluginNotReady`; empty when ready. */
  readonly reason: string;
  readonly message: string;
  /** The network that pods join now; its file is absent for troupe's own. */
  readonly inUse?: { readonly name: string; readonly file?: string };
  /** Files of the configuration's directory that can't be used: path → reason. */
  readonly skipped?: ReadonlyMap<string, string>;
}

export interface NetworkInput {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
}

export interface NetworkPort {
  /** Answers from memory; never waits. */
  status(): NetworkStatus;
  /** Runs ADD of the whole chain. The config is stored first, so that DEL uses the same one (F55). */
  add(input: NetworkInput, fx: EffectContext): Promise<{ readonly ips: readonly string[] }>;
  /**
   * Runs DEL of the whole chain with the stored config and result; succeeds when nothing is stored. Works
   * without a network namespace (F57). Deletes the stored files last, after the plugins have succeeded.
   */
  del(input: NetworkInput, fx: EffectContext): Promise<void>;
  /**
   * Identifies the network whose plugins can collect garbage now: its name and a digest of its configuration.
   * Undefined without one: not ready, below CNI 1.1.0, or `disableGC`. Answers from memory.
   */
  collectable(): string | undefined;
  /**
   * Runs GC of the whole chain: the plugins remove what belongs to no valid attachment. Valid are those of
   * `sandboxes` and every attachment whose DEL has not succeeded, an ADD that is beginning included. Never runs
   * beside an ADD or a DEL: rejects with `notReady` when these leave no pause.
   */
  collect(sandboxes: readonly SandboxId[], fx: EffectContext): Promise<void>;
  /** Sandboxes for which an ADD was begun and no DEL has succeeded. */
  observe(fx: EffectContext): Promise<readonly SandboxId[]>;
}
