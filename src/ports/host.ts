/** The kernel objects and files of a sandbox. Every operation is idempotent by the sandbox's id. */
import type { SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { SandboxSpec } from './specs.ts';

export interface SandboxInput {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
}

export interface HostFacts {
  readonly bootId: string;
  /** Sandboxes that have files or namespace pins. Cgroups are found by the journal record that names them. */
  readonly sandboxes: readonly HostSandbox[];
}

export interface HostSandbox {
  readonly id: SandboxId;
  /** The pins that exist and hold a namespace. */
  readonly pins: readonly ('net' | 'ipc' | 'uts' | 'user')[];
  /** Its files exist; for a sandbox with a pin, at least their directory does. */
  readonly files: boolean;
}

export interface HostPort {
  /** Creates the log directory, run directory, resolv.conf, hostname, hosts and the shm mount. */
  makeSandboxFiles(input: SandboxInput, fx: EffectContext): Promise<void>;
  /** Unmounts shm and deletes the run directory; keeps the log directory, which is the kubelet's. */
  removeSandboxFiles(input: SandboxInput, fx: EffectContext): Promise<void>;
  /**
   * Creates the sandbox's own cgroup below the pod's parent. The parent is created only when it is troupe's
   * default.
   */
  makeSandboxCgroup(input: SandboxInput, fx: EffectContext): Promise<void>;
  /** Kills the processes left in the sandbox's cgroup, then removes it; the kubelet's parent stays. */
  removeSandboxCgroup(input: SandboxInput, fx: EffectContext): Promise<void>;
  /** Pins the pod's namespaces without a process in them, sets hostname and sysctls, brings lo up. */
  pinNamespaces(input: SandboxInput, fx: EffectContext): Promise<void>;
  unpinNamespaces(input: SandboxInput, fx: EffectContext): Promise<void>;
  observe(fx: EffectContext): Promise<HostFacts>;
  /**
   * Why this node can't record anything new, as of the last check; undefined when it can. Answers from
   * memory.
   */
  writeRefusal?(): string | undefined;
}
