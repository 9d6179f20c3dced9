/**
 * The OCI runtime of each handler (runc, crun, …) and the monitor (conmon) that outlives the daemon beside
 * each container.
 */
import type { ContainerId, SandboxId } from '../base/ids.ts';
import type { EffectContext } from './effect.ts';
import type { EffectiveContainer, ExitFact, ProcessIdentity } from './journal.ts';
import type { ContainerSpec, ImageConfig, Resources, SandboxSpec } from './specs.ts';

export interface HandlerStatus {
  /** Empty for the default handler, which is also listed under its own name. */
  readonly name: string;
  readonly ready: boolean;
  /** Why the handler is not ready; empty when it is. */
  readonly reason: string;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
  /** The handler that this name (an alias) currently stands for; absent when it is no alias. */
  readonly target?: string;
  /** Of the default handler `auto`: which one it chose, and why not the other; absent for all others. */
  readonly choice?: string;
  /** Known flaws of the program's version, and what to do about them; absent for none. */
  readonly flaws?: string;
  /** First line of the program's `--version`; absent when unknown. */
  readonly version?: string;
  /**
   * Pods of this handler have a runtime process from their start on, such as a virtual machine; absent for
   * no.
   */
  readonly needsPause?: boolean;
}

/** What drivers need to find or to create a container. */
export interface ContainerInput {
  readonly id: ContainerId;
  readonly handler: string;
  readonly spec: ContainerSpec;
}

export interface DestroyInput extends ContainerInput {
  /**
   * The container's create has returned and its process has ended, so no runtime call can still be running.
   * Absent: unknown.
   */
  readonly ended?: boolean;
}

export interface BundleInput extends ContainerInput {
  readonly sandboxId: SandboxId;
  readonly sandbox: SandboxSpec;
  readonly image: ImageConfig;
  /** Process whose PID namespace the container joins: the pause process or the target; undefined for none. */
  readonly pidNamespaceOf: ProcessIdentity | undefined;
}

/**
 * What is known of a container's process without starting one: read from /proc and the runtime's own state
 * file.
 */
export interface RuntimeFacts {
  readonly id: ContainerId;
  /** `created`: init waits for start. `running`. `gone`: the process does not exist. */
  readonly process: 'created' | 'running' | 'gone';
  readonly init: ProcessIdentity | undefined;
  readonly monitorAlive: boolean;
  readonly exitFile: ExitFact | undefined;
  /** True while any of these exists: bundle directory, runtime state, monitor's directory. */
  readonly leftovers: boolean;
  /** The process images to restore from are still present: neither a restore nor the removal has begun. */
  readonly checkpoint: boolean;
}

export interface PauseFacts {
  readonly id: SandboxId;
  /** Undefined when only leftovers exist, or when `isUnreadable`. */
  readonly process: ProcessIdentity | undefined;
  /** Its files can't be read, so nothing is known about its process. */
  readonly isUnreadable?: true;
}

/** Output in the blocks in which it arrived. It may be 16 MiB, too much to hold twice. */
export interface BufferedOutput {
  /** Bytes. */
  readonly size: number;
  /** Moves all bytes into `target` at offset `from`. Works once: the blocks are freed. */
  moveTo(target: Uint8Array, from: number): void;
}

export interface ExecResult {
  readonly exitCode: number;
  /** Both streams are capped; what exceeded the cap was read and dropped. */
  readonly stdout: Uint8Array | BufferedOutput;
  readonly stderr: Uint8Array | BufferedOutput;
}

export interface PauseInput {
  readonly id: SandboxId;
  readonly sandbox: SandboxSpec;
}

export interface RuntimePort {
  /** Answers from memory; handlers are probed at start. */
  handlers(): readonly HandlerStatus[];
  /** Resolves the user in the root file system, generates the OCI spec and writes the bundle. */
  writeBundle(input: BundleInput, fx: EffectContext): Promise<EffectiveContainer>;
  /**
   * Launches the monitor, which runs the runtime's create. Afterwards the process exists and waits for start.
   */
  create(
    input: ContainerInput & { readonly effective: EffectiveContainer },
    fx: EffectContext,
  ): Promise<ProcessIdentity>;
  start(input: ContainerInput, fx: EffectContext): Promise<void>;
  /**
   * Sets the cgroup's limits to `resources`; a limit that is set in `from` and unset there is lifted. Rejects
   * with `wrongState`, before it changes anything, when the container uses more memory than its new limit.
   */
  update(
    input: ContainerInput & { readonly resources: Resources; readonly from: Resources },
    fx: EffectContext,
  ): Promise<void>;
  /** Sends one signal to init; succeeds when init has exited. */
  kill(
    input: ContainerInput & { readonly signal: string; readonly init: ProcessIdentity },
    fx: EffectContext,
  ): Promise<void>;
  /**
   * Sends SIGKILL to everything in the container's cgroup; returns once signalled, before the processes are
   * gone. For a container without a process (not restored yet, or its restore failed) it ends the programs
   * that work on the restore, and reports an exit.
   */
  killAll(
    input: ContainerInput & { readonly init: ProcessIdentity | undefined },
    fx: EffectContext,
  ): Promise<void>;
  /** Deletes the runtime's state of an ended container; succeeds when nothing is left. */
  delete(input: ContainerInput, fx: EffectContext): Promise<void>;
  /**
   * Removes everything that `writeBundle` and `create` may have left: kills the monitor and processes,
   * deletes the runtime's state, the cgroup, the bundle and the monitor's files, the exit file last.
   * Idempotent.
   */
  destroy(input: DestroyInput, fx: EffectContext): Promise<void>;
  /** The exit recorded in the exit file, or undefined. */
  readExit(input: ContainerInput, fx: EffectContext): Promise<ExitFact | undefined>;
  /** Deletes the exit file, after its fact is durable. */
  forgetExit(input: ContainerInput, fx: EffectContext): Promise<void>;
  /** Reports each exit at least once, those of unknown ids too; the listener must not throw. */
  onExit(listener: (id: ContainerId, exit: ExitFact) => void): void;
  /** Begins to watch this container's process and monitor by pidfd; idempotent. */
  watch(input: ContainerInput & { readonly init: ProcessIdentity }): void;
  reopenLog(input: ContainerInput, fx: EffectContext): Promise<void>;
  /**
   * Runs a command and collects its output. On timeout or abort it kills the exec's whole process tree before
   * it rejects with `timedOut` or `cancelled`. `namespace` is the pod's Kubernetes namespace: when execs of
   * other namespaces need the memory, a large output is truncated and the command runs on; the last line of
   * stderr then says so, where there is room for it.
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
   * Starts the pause process that holds the pod's shared PID namespace; it runs when this settles. Only for
   * sandboxes with a shared PID namespace. It is a container of the runtime with a tiny program of troupe's
   * own, without image and monitor.
   */
  startPause(input: PauseInput, fx: EffectContext): Promise<ProcessIdentity>;
  /**
   * Whether exactly this process runs and has not begun to exit, read from /proc; throws when /proc can't be
   * read.
   */
  isAlive(process: ProcessIdentity): boolean;
  /** Kills the pause process and removes all that `startPause` may have left. Idempotent. */
  destroyPause(input: PauseInput, fx: EffectContext): Promise<void>;
  /** Containers of which anything exists, and sandboxes of which a pause process or its leftovers exist. */
  observe(
    fx: EffectContext,
  ): Promise<{ readonly containers: readonly RuntimeFacts[]; readonly pauses: readonly PauseFacts[] }>;
}
