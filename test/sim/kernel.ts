/**
 * What is outside of the daemon and outlives it: processes, monitors, namespaces, cgroups, files, leases, layers.
 * A plain model; the twins of the ports change it, the invariants read it.
 */
import type { ExitFact, ProcessIdentity } from '../../src/ports/journal.ts';
import type { Resources } from '../../src/ports/specs.ts';
import { Checkpoints } from './checkpoint-model.ts';
import { Logs } from './logs.ts';
import { Unsynced } from './unsynced.ts';
import type { Rootfs, Signatures } from './unsynced.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { WORLD } from './scheduler.ts';

export interface SimProcess {
  readonly identity: ProcessIdentity;
  readonly kind: 'init' | 'monitor' | 'pause';
  /** Container id, or sandbox id for a pause process. */
  readonly owner: string;
}

/** What a container's program does. */
export interface Program {
  /** Ends by itself after this many milliseconds; undefined: never. */
  readonly livesMs: number | undefined;
  readonly exitCode: number;
  /** Takes no notice of its stop signal. */
  readonly stubborn: boolean;
  /** Milliseconds from its start in which not even KILL ends it (state D, F45); undefined for none. */
  readonly stuckMs?: number;
  /** Lines that it writes at its start, 2 where nothing is said, and as its last words, 1. */
  readonly lines?: number;
  readonly lastLines?: number;
  /** Of its memory in use. */
  readonly memoryBytes?: bigint;
  /** The kernel kills it at its start for want of memory. */
  readonly isHungry?: boolean;
}

const PROCESS = { init: 'init process', monitor: 'monitor process', pause: 'pause process' } as const;

/** Small, so that numbers are used again soon. */
const PIDS = 64;

export class Kernel {
  bootId = 'boot-1';
  readonly files = new Set<string>();
  readonly cgroups = new Set<string>();
  readonly pins = new Map<string, Set<string>>();
  /** Sandboxes whose CNI configuration and result are kept; on disk. */
  readonly kept = new Set<string>();
  /** Address to sandbox; on disk, forgets nothing by itself. */
  readonly leases = new Map<string, string>();
  /** Sandboxes whose ADD has an answer on the disk, and since when, virtual milliseconds. */
  readonly results = new Map<string, number>();
  /** Signatures that were kept of pulled images, by image id. */
  readonly signatures = new Map<string, Signatures>();
  readonly processes = new Map<number, SimProcess>();
  readonly bundles = new Set<string>();
  readonly runtimeStates = new Map<string, 'created' | 'running'>();
  /** Limits in force in each container's cgroup. */
  readonly limits = new Map<string, Resources>();
  /** Containers whose last update of the limits failed: what is in force is known to nobody. */
  readonly limitsUnsure = new Set<string>();
  readonly exitFiles = new Map<string, ExitFact>();
  readonly pauseBundles = new Set<string>();
  readonly rootfs = new Map<string, Rootfs>();
  readonly layers = new Set<string>();
  readonly partials = new Set<string>();
  /** Containers in the PID namespace of another one, which end with it. */
  readonly joined = new Map<string, string>();
  readonly unsynced = new Unsynced();
  /** Bytes that the registry has sent, by digest. */
  readonly served = new Map<string, number>();
  /** The next download that has so many bytes of its blob is broken off by the registry. */
  breaksOffAt: number | undefined;
  /** Bytes of blobs that downloads have left, by digest. */
  readonly ingests = new Map<string, number>();
  /** Layers that were asked of the registry. */
  downloads = 0;
  /** What was done that no right actor does; each is a failure of the run. */
  readonly wrongs: string[] = [];
  /** Sandboxes from which somebody else took a part, and when, virtual milliseconds. */
  readonly broken = new Map<string, number>();
  /** Exit codes that a monitor wrote down, whoever read them. */
  readonly trueExits = new Map<string, ExitFact>();
  /** Containers whose program was set going, by which boot. */
  readonly started = new Map<string, number>();
  /** When its program was set going, and when its process ended, virtual milliseconds. */
  readonly startedMs = new Map<string, number>();
  readonly endedMs = new Map<string, number>();
  readonly logs = new Logs();
  readonly checkpoints = new Checkpoints();
  /** Containers that are held still, and the end that comes when they go on. */
  readonly frozen = new Map<string, (() => void) | undefined>();
  program: (containerId: string) => Program = () => ({ livesMs: undefined, exitCode: 0, stubborn: false });
  /** Called when an exit file was written, and when a monitor ended, or a process without one. */
  onExit: (containerId: string) => void = () => undefined;
  /** Called when a KILL did not end a process at once. */
  onStuck: () => void = () => undefined;
  /** What belongs to a sandbox or container, by kind, and is kept by its owner. */
  readonly #owned: readonly (readonly [string, ReadonlySet<string> | ReadonlyMap<string, unknown>])[] = [
    ['files', this.files],
    ['cgroup', this.cgroups],
    ['namespaces', this.pins],
    ['CNI cache', this.kept],
    ['CNI result', this.results],
    ['bundle', this.bundles],
    ['runtime state', this.runtimeStates],
    ['container cgroup', this.limits],
    ['exit file', this.exitFiles],
    ['pause bundle', this.pauseBundles],
    ['rootfs', this.rootfs],
    ['checkpoint to restore', this.checkpoints.restores],
  ];
  readonly #stuckUntil = new Map<string, number>();
  /** Processes that KILL has reached, which end in the moment in which they are no longer stuck. */
  readonly #dying = new Map<string, number>();
  readonly #initEnds = new Map<string, Set<() => void>>();
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  #nextPid = 2;
  #ticks = 0n;
  #boots = 1;

  constructor(scheduler: Scheduler, random: Random) {
    this.#scheduler = scheduler;
    this.#random = random;
  }

  spawn(kind: SimProcess['kind'], owner: string): ProcessIdentity {
    while (this.processes.has(this.#nextPid)) this.#nextPid = (this.#nextPid % PIDS) + 2;
    const pid = this.#nextPid;
    this.#nextPid = (pid % PIDS) + 2;
    this.#ticks += 1n;
    const identity = { pid, startTicks: this.#ticks, bootId: this.bootId };
    this.processes.set(pid, { identity, kind, owner });
    return identity;
  }

  processOf(kind: SimProcess['kind'], owner: string): SimProcess | undefined {
    for (const one of this.processes.values()) if (one.owner === owner && one.kind === kind) return one;
    return undefined;
  }

  lives({ pid, startTicks, bootId }: ProcessIdentity): boolean {
    const found = this.processes.get(pid)?.identity;
    return found !== undefined && found.startTicks === startTicks && found.bootId === bootId;
  }

  /** It is gone, without a word: what it would have reported or written is lost with it. */
  kill(kind: SimProcess['kind'], owner: string): void {
    const found = this.processOf(kind, owner);
    if (found === undefined) return;
    this.processes.delete(found.identity.pid);
    if (kind === 'init') {
      this.frozen.delete(owner);
      this.#initEnded(owner);
    }
    if (kind !== 'monitor') return;
    this.logs.losePipe(owner);
    this.onExit(owner);
  }

  /** Calls `listener` when the container's init ends. Returns how to take it back. */
  onInitEnd(containerId: string, listener: () => void): () => void {
    const listeners = this.#initEnds.get(containerId) ?? new Set();
    this.#initEnds.set(containerId, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  #initEnded(containerId: string): void {
    this.endedMs.set(containerId, this.#scheduler.nowMs);
    for (const listener of this.#initEnds.get(containerId) ?? []) listener();
    for (const [other, target] of this.joined) {
      if (target !== containerId) continue;
      this.joined.delete(other);
      this.unsynced.lost.endedWithTarget += 1;
      this.endInit(other, 137);
    }
    this.#initEnds.delete(containerId);
  }

  /** Its program writes lines, which the monitor reads in its own time. */
  speak(containerId: string, lines = 1): void {
    if (lines === 0 || this.processOf('init', containerId) === undefined) return;
    this.logs.say(containerId, lines);
    this.#scheduler.add(WORLD, `monitor ${containerId.slice(0, 6)} logs`, () => {
      if (this.processOf('monitor', containerId) !== undefined) this.logs.drain(containerId);
    });
  }

  /** The program begins; it may end by itself. */
  startProgram(containerId: string): void {
    const init = this.processOf('init', containerId);
    if (init === undefined) return;
    this.started.set(containerId, (this.started.get(containerId) ?? 0) + 1);
    this.startedMs.set(containerId, this.#scheduler.nowMs);
    const { livesMs, exitCode, stuckMs, lines = 2, isHungry } = this.program(containerId);
    this.speak(containerId, lines);
    if (isHungry === true) {
      this.endInit(containerId, 137, { oomKilled: true });
      return;
    }
    if (stuckMs !== undefined) this.#stuckUntil.set(containerId, this.#scheduler.nowMs + stuckMs);
    if (livesMs !== undefined) this.#endLater(init.identity, containerId, exitCode, livesMs);
  }

  /** A stop signal reaches init: the program ends in a while, or never. */
  terminate(containerId: string, identity: ProcessIdentity): void {
    if ((this.#stuckUntil.get(containerId) ?? 0) > this.#scheduler.nowMs) return;
    if (this.lives(identity) && !this.program(containerId).stubborn) {
      this.#endLater(identity, containerId, 143, this.#random.int(200));
    }
  }

  /** Its process runs and not even KILL would end it now. */
  isStuck(containerId: string): boolean {
    const init = this.processOf('init', containerId);
    if (init === undefined) return false;
    const isDying = this.#dying.get(containerId) === init.identity.pid;
    return isDying || this.#scheduler.nowMs < (this.#stuckUntil.get(containerId) ?? 0);
  }

  /** It is held still; false when there is nothing to hold. */
  freeze(containerId: string): boolean {
    if (this.processOf('init', containerId) === undefined) return false;
    if (!this.frozen.has(containerId)) this.frozen.set(containerId, undefined);
    return true;
  }

  /** It goes on, or ends if it was ended meanwhile. */
  thaw(containerId: string): void {
    const end = this.frozen.get(containerId);
    this.frozen.delete(containerId);
    end?.();
  }

  /**
   * KILL, which releases what is frozen: at once, or when the process comes back from the kernel. True when it has
   * ended.
   */
  killHard(containerId: string): boolean {
    this.thaw(containerId);
    const init = this.processOf('init', containerId);
    const until = this.#stuckUntil.get(containerId) ?? 0;
    if (init === undefined || this.#scheduler.nowMs >= until) {
      this.endInit(containerId, 137);
      return true;
    }
    this.onStuck();
    this.#dying.set(containerId, init.identity.pid);
    this.#endLater(init.identity, containerId, 137, until - this.#scheduler.nowMs);
    return false;
  }

  #endLater(identity: ProcessIdentity, containerId: string, code: number, ms: number): void {
    this.#scheduler.after(WORLD, ms, () => {
      if (this.lives(identity)) this.endInit(containerId, code);
    });
  }

  /** Init ends; a monitor that lives writes the exit file in its own time and ends too. */
  endInit(
    containerId: string,
    exitCode: number,
    how: { readonly oomKilled: boolean } = { oomKilled: false },
  ): void {
    if (this.processOf('init', containerId) === undefined) return;
    if (this.frozen.has(containerId)) {
      this.frozen.set(
        containerId,
        this.frozen.get(containerId) ?? (() => this.endInit(containerId, exitCode, how)),
      );
      return;
    }
    if (this.startedMs.has(containerId)) this.logs.say(containerId, this.program(containerId).lastLines ?? 1);
    this.kill('init', containerId);
    const monitor = this.processOf('monitor', containerId);
    const finishedAtNs = this.#scheduler.nowNs();
    this.#scheduler.add(WORLD, `monitor ${containerId.slice(0, 6)} writes`, () => {
      if (monitor !== undefined && this.lives(monitor.identity)) {
        // it has read all that the program wrote before it reports the end
        this.logs.drain(containerId);
        const exit = exitFact(exitCode, finishedAtNs, how.oomKilled);
        this.exitFiles.set(containerId, exit);
        this.trueExits.set(containerId, exit);
        this.kill('monitor', containerId);
      } else this.onExit(containerId);
    });
  }

  /** Somebody else kills the pause process, or unmounts a pin; false when this sandbox would not miss it. */
  breakSandbox(id: string, part: 'pause' | 'net' | 'ipc'): boolean {
    // a pod on the host's network has no use for the pin
    if (part === 'net' && !this.kept.has(id)) return false;
    if (part === 'pause' ? this.processOf('pause', id) === undefined : this.pins.get(id)?.has(part) !== true)
      return false;
    if (part === 'pause') this.kill('pause', id);
    else this.pins.get(id)?.delete(part);
    if (!this.broken.has(id)) this.broken.set(id, this.#scheduler.nowMs);
    return true;
  }

  /** All that is not on a disk is gone. */
  losePower(): void {
    this.#stuckUntil.clear();
    this.#dying.clear();
    this.#initEnds.clear();
    this.frozen.clear();
    this.checkpoints.losePower(this.#random);
    this.logs.losePower((lines) => this.#random.int(lines + 1));
    for (const { kind, owner } of this.processes.values())
      if (kind === 'init') this.endedMs.set(owner, this.#scheduler.nowMs);
    this.#boots += 1;
    this.bootId = `boot-${this.#boots}`;
    for (const volatile of [
      this.files,
      this.cgroups,
      this.pins,
      this.processes,
      this.bundles,
      this.runtimeStates,
      this.pauseBundles,
      this.limits,
    ])
      volatile.clear();
    // an exit that only the exit file knew is lost with it
    for (const id of this.exitFiles.keys()) this.trueExits.delete(id);
    this.exitFiles.clear();
    for (const one of this.rootfs.values()) one.mounted = false;
    this.unsynced.losePower(this, this.#scheduler.nowMs, this.#random);
  }

  /** Each object that is there with its owner, layers apart, until `isFound` says so; called after each step. */
  findObject(isFound: (kind: string, owner: string) => boolean): void {
    for (const [kind, owners] of this.#owned) {
      if (owners.size === 0) continue;
      for (const owner of owners.keys()) if (isFound(kind, owner)) return;
    }
    for (const owner of this.leases.values()) if (isFound('lease', owner)) return;
    for (const { kind, owner } of this.processes.values()) if (isFound(PROCESS[kind], owner)) return;
  }

  /** All of them. */
  objects(): readonly { readonly kind: string; readonly owner: string }[] {
    const all: { kind: string; owner: string }[] = [];
    this.findObject((kind, owner) => {
      all.push({ kind, owner });
      return false;
    });
    return all;
  }
}

/** As the driver reads it from what the monitor wrote. */
export function exitFact(exitCode: number, finishedAtNs: bigint, oomKilled = false): ExitFact {
  const reason = oomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error';
  return { exitCode, finishedAtNs, oomKilled, reason, message: '', observedBy: 'exitFile' };
}

/** As the driver reports the end of a container whose monitor reported nothing. */
export function lossFact(finishedAtNs: bigint): ExitFact {
  const message = 'the monitor ended without reporting an exit code';
  return {
    exitCode: 255,
    finishedAtNs,
    oomKilled: false,
    reason: 'MonitorLost',
    message,
    observedBy: 'process',
  };
}

/** As the driver reports the end of a container that had no process. */
export function neverStartedFact(finishedAtNs: bigint): ExitFact {
  const message = 'killed before it was restored';
  return { exitCode: 137, finishedAtNs, oomKilled: false, reason: 'Error', message, observedBy: 'process' };
}
