/** The OCI runtime by handler (runc, crun, …) and the monitor (conmon) that stays with each container. */
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from './journal.ts';
import type { ContainerSpec, ImageConfig, Resources, SandboxSpec } from './specs.ts';

export interface HandlerStatus {
  /** Empty for the default handler, which is listed under its own name too. */
  readonly name: string;
  readonly ready: boolean;
  /** Why not ready; empty when ready. */
  readonly reason: string;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
  /** The handler that the name stands for now; left out for the name itself. */
  readonly target?: string;
  /** A pod of it is a process of the runtime from its start on, such as a virtual machine; left out for no. */
  readonly needsPause?: boolean;
}

/** What drivers need to find or to build a container. */
export interface ContainerInput {
  readonly id: ContainerId;
  readonly handler: string;
  readonly spec: ContainerSpec;
}

export interface DestroyInput extends ContainerInput {
  /** Its create returned and its process has ended: no call of the runtime can be under way any more. Absent: unknown. */
  readonly ended?: boolean;
}

export interface BundleInput extends ContainerInput {
  readonly sandboxId: SandboxId;
  readonly sandbox: SandboxSpec;
  readonly image: ImageConfig;
  /** Process whose PID namespace is joined: the pause process or the target; undefined for none. */
  readonly pidNamespaceOf: ProcessIdentity | undefined;
}

/** What a container's process is, told without starting a process: from /proc and the runtime's own state file. */
export interface RuntimeFacts {
  readonly id: ContainerId;
  /** `created`: init waits for start. `running`. `gone`: no such process. */
  readonly process: 'created' | 'running' | 'gone';
  readonly init: ProcessIdentity | undefined;
  readonly monitorAlive: boolean;
  readonly exitFile: ExitFact | undefined;
  /** Any of: bundle directory, runtime state, monitor's directory. */
  readonly leftovers: boolean;
  /** What it is to be restored from is there: until its restore was tried, or its end began. */
  readonly checkpoint: boolean;
}

export interface PauseFacts {
  readonly id: SandboxId;
  /** Undefined: leftovers without a process, or `isUnreadable`. */
  readonly process: ProcessIdentity | undefined;
  /** Its files can't be read, so nothing is known of its process. */
  readonly isUnreadable?: true;
}

/** Output in the blocks that it came in: up to 16 MiB, which are not to be held twice. */
export interface KeptOutput {
  /** Bytes. */
  readonly size: number;
  /** Moves all of it, once, to where it is wanted; nothing is left here then. */
  moveTo(target: Uint8Array, from: number): void;
}

export interface ExecResult {
  readonly exitCode: number;
  /** Each capped (features.md row 17); the rest was drained. */
  readonly stdout: Uint8Array | KeptOutput;
  readonly stderr: Uint8Array | KeptOutput;
}

export interface PauseInput {
  readonly id: SandboxId;
  readonly sandbox: SandboxSpec;
}

export interface RuntimePort {
  /** From memory; probed at start. */
  handlers(): readonly HandlerStatus[];
  /** Resolves the user in the root file system, generates the OCI spec and writes the bundle. */
  writeBundle(input: BundleInput, fx: EffectContext): Promise<EffectiveContainer>;
  /** Launches the monitor, which runs the runtime's create; the process exists and waits for start afterwards. */
  create(
    input: ContainerInput & { readonly effective: EffectiveContainer },
    fx: EffectContext,
  ): Promise<ProcessIdentity>;
  start(input: ContainerInput, fx: EffectContext): Promise<void>;
  /**
   * Sets the cgroup's limits to `resources`; what is unset there and set in `from` goes back to no limit.
   * Rejects with `wrongState` before it changes anything when the container uses more memory than its new limit.
   */
  update(
    input: ContainerInput & { readonly resources: Resources; readonly from: Resources },
    fx: EffectContext,
  ): Promise<void>;
  /** One signal to init; succeeds when it is gone already. */
  kill(
    input: ContainerInput & { readonly signal: string; readonly init: ProcessIdentity },
    fx: EffectContext,
  ): Promise<void>;
  /**
   * SIGKILL to everything in the container's cgroup; returns when signalled, not when gone. Of one that has no process
   * (it was not restored yet, or that failed) whatever works for it is ended, and its exit is told.
   */
  killAll(
    input: ContainerInput & { readonly init: ProcessIdentity | undefined },
    fx: EffectContext,
  ): Promise<void>;
  /** The runtime's state of an ended container; succeeds when there is none. */
  delete(input: ContainerInput, fx: EffectContext): Promise<void>;
  /**
   * Everything that `writeBundle` and `create` may have left: kills monitor and processes, deletes the
   * runtime's state, cgroup, bundle and the monitor's files, the exit file last. Idempotent.
   */
  destroy(input: DestroyInput, fx: EffectContext): Promise<void>;
  /** The exit file's fact, or undefined. */
  readExit(input: ContainerInput, fx: EffectContext): Promise<ExitFact | undefined>;
  /** Deletes the exit file: after its fact is durable. */
  forgetExit(input: ContainerInput, fx: EffectContext): Promise<void>;
  /** Tells each exit at least once; the listener must not throw. Facts of unknown ids are told too. */
  onExit(listener: (id: ContainerId, exit: ExitFact) => void): void;
  /** Begins to watch this container's process and monitor (pidfd); idempotent. */
  watch(input: ContainerInput & { readonly init: ProcessIdentity }): void;
  reopenLog(input: ContainerInput, fx: EffectContext): Promise<void>;
  /**
   * On timeout or abort the whole process tree of the exec is killed before the promise rejects with `timedOut` or `cancelled`.
   * `namespace` is the pod's. A large output is cut, and the command runs on, when execs of other namespaces need its memory; the
   * last line of stderr then says so, where there is room for it.
   */
  execSync(
    input: ContainerInput & {
      readonly namespace: string;
      readonly argv: readonly string[];
      readonly init: ProcessIdentity;
      readonly execTimeoutMs: number;
      readonly over?: AbortSignal | undefined;
    },
    fx: EffectContext,
  ): Promise<ExecResult>;
  /**
   * The pause process that holds the pod's shared PID namespace: running when this settles. Only for sandboxes
   * whose PID namespace is shared; a container of the runtime with its own tiny program, no image, no monitor.
   */
  startPause(input: PauseInput, fx: EffectContext): Promise<ProcessIdentity>;
  /** Whether that very process runs and has not begun to exit, from /proc; throws when that can't be read. */
  isAlive(process: ProcessIdentity): boolean;
  /** Kills it and removes all that `startPause` may have left. Idempotent. */
  destroyPause(input: PauseInput, fx: EffectContext): Promise<void>;
  /** Containers of which anything is there, and sandboxes of which a pause process or its leftovers are. */
  observe(
    fx: EffectContext,
  ): Promise<{ readonly containers: readonly RuntimeFacts[]; readonly pauses: readonly PauseFacts[] }>;
}
