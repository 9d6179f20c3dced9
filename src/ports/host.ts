/** The kernel and the files of a sandbox. Every operation is idempotent by the sandbox's id. */
import type { SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { SandboxSpec } from './specs.ts';

export interface SandboxInput {
  readonly id: SandboxId;
  readonly spec: SandboxSpec;
}

export interface HostFacts {
  readonly bootId: string;
  /** Sandboxes of which files or namespace pins are there; cgroups are found by the record that names them. */
  readonly sandboxes: readonly SandboxFacts[];
}

export interface SandboxFacts {
  readonly id: SandboxId;
  /** The pins that are there and hold a namespace. */
  readonly pins: readonly ('net' | 'ipc' | 'uts' | 'user')[];
  readonly files: boolean;
}

export interface HostPort {
  /** Log directory, run directory, resolv.conf, hostname, hosts, shm mount. */
  makeSandboxFiles(input: SandboxInput, fx: EffectContext): Promise<void>;
  /** Unmounts shm and deletes the run directory; never the log directory (the kubelet's). */
  removeSandboxFiles(input: SandboxInput, fx: EffectContext): Promise<void>;
  /** Our own child cgroup below the pod's parent; the parent is created only when it is our own default. */
  makeSandboxCgroup(input: SandboxInput, fx: EffectContext): Promise<void>;
  /** Kills what is left in it, then removes it; the kubelet's parent stays. */
  removeSandboxCgroup(input: SandboxInput, fx: EffectContext): Promise<void>;
  /** Namespaces of the pod pinned without a process, hostname and sysctls set, lo up. */
  pinNamespaces(input: SandboxInput, fx: EffectContext): Promise<void>;
  unpinNamespaces(input: SandboxInput, fx: EffectContext): Promise<void>;
  observe(fx: EffectContext): Promise<HostFacts>;
  /** Why nothing can be recorded on this node, as of a moment ago; from memory. */
  writeRefusal?(): string | undefined;
}
