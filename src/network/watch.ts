/**
 * Decides which network pods join now, and the condition NetworkReady. The directory is scanned every 5 s in
 * any case (F56). Events only trigger an earlier scan, so a lost event, a replaced directory or a plugin that
 * was installed later costs 5 s at most.
 */
import type { FSWatcher } from 'node:fs';
import { watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort, TimerHandle } from '../ports/clock.ts';
import type { NetworkStatus } from '../ports/network.ts';
import { toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import { networkLimits } from './bounds.ts';
import { Pace } from '../base/pace.ts';
import { readSmallFile } from '../host/files/small-file.ts';
import { writeWhole } from '../host/files/whole-file.ts';
import { networkProblem } from './attachments.ts';
import type { ConfDir } from './conf-dir.ts';
import { loadConfDir } from './conf-dir.ts';
import type { Network } from './conflist.ts';
import { chooseNetwork } from './conflist.ts';
import type { RunTool } from './plugin.ts';
import { findExecutable, forgetExecutables } from './plugin.ts';

/** What a reload may change. */
export interface NetworkChoice {
  /** Directory of CNI configuration; usually /etc/cni/net.d. */
  readonly confDir: string;
  /** Name of the network to use; empty for the first valid one by file name. */
  readonly networkName: string;
  /** Absolute directories in search order; usually /opt/cni/bin and /usr/lib/cni. */
  readonly pluginDirs: readonly string[];
  /** The fallback is not used, also where there is one. */
  readonly withoutFallback?: boolean;
}

export interface WatchOptions extends NetworkChoice {
  /**
   * Used while the directory has held no configuration file since the start, and none is asked for by name. Once it
   * held one, its absence means "not ready": pods must not end up in another network.
   */
  readonly fallback?: Network;
  /**
   * Stores which plugins passed the VERSION check, so that a restart reports the network's state without
   * running plugins. It lies below the state directory, so that plugins are checked again after a reboot.
   */
  readonly provenFile: string;
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout' | 'monoMs'>;
  readonly runTool: RunTool;
  readonly log: Log;
  /** Called after each scan, when `problems` has its result. */
  readonly onScan?: () => void;
}

export interface NetworkState extends NetworkStatus {
  /** Absent when no configuration is valid; present when only its plugins are not ready. */
  readonly network?: Network;
  /** Path of its file; absent for the fallback. */
  readonly file?: string;
}

/**
 * Bounds of reading the file: something else in its place, such as a FIFO or a huge file, must not block the
 * start.
 */
const provenBounds = { usualBytes: networkLimits.provenBytes, bytesMax: networkLimits.provenBytes };

/** The reason in the condition NetworkReady: containerd and CRI-O use the same, so tools expect it. */
const NOT_READY = 'NetworkPluginNotReady';

export class NetworkWatch {
  readonly #options: WatchOptions;
  #choice: NetworkChoice;
  #fallback: Network | undefined;
  #problems: ReadonlyMap<string, string> = new Map();
  #state: NetworkState = notReady('the CNI configuration was not read yet');
  #timer: TimerHandle | undefined;
  #soon = false;
  readonly #pace = new Pace(networkLimits.eventScans);
  #watcher: FSWatcher | undefined;
  /** Device and inode of the watched directory. */
  #watched = '';
  #seen = false;
  #isEmpty = false;
  /** Executables and version that passed the VERSION check: checked again only when one of them changes. */
  #proven = '';
  /** Valid files in the scan that is in effect. */
  #good: ReadonlySet<string> = new Set();
  /** Runs while a file that was valid may be half-written. */
  #tornTimer: TimerHandle | undefined;
  #tornForLong = false;
  #scan: Promise<void> | undefined;
  #again = false;
  /** An event arrived during a scan. */
  #changed = false;
  #stopped = false;
  readonly #abort = new AbortController();

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#choice = options;
    this.#fallback = options.fallback;
  }

  /** What is used from the scan on that begins now; until then the last scan's result stays in effect. */
  choose(choice: NetworkChoice): void {
    const before = this.#choice;
    const isElsewhere = choice.confDir !== before.confDir;
    this.#choice = choice;
    // as a start with the new choice: what the directory, or the other one, held does not count
    if (isElsewhere || (before.withoutFallback === true && choice.withoutFallback !== true))
      this.#seen = false;
    if (isElsewhere) {
      this.#good = new Set();
      this.#endTornTimer();
    }
    void this.rescan();
  }

  get choice(): NetworkChoice {
    return this.#choice;
  }

  /** Answers from memory. */
  state(): NetworkState {
    return this.#state;
  }

  /** Whether the directory held no configuration file at the last scan. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** Uses this fallback in place of the one before, from now on. */
  replaceFallback(fallback: Network): void {
    const before = this.#fallback;
    this.#fallback = fallback;
    this.#state = this.#withPresentFallback(this.#state, before);
  }

  /** A scan that began with another fallback must not bring it back. */
  #withPresentFallback(state: NetworkState, before: Network | undefined): NetworkState {
    const network = this.#fallback;
    if (network === undefined || before === undefined || state.network !== before) return state;
    return { ...state, network };
  }

  /** Invalid files of the directory at the last scan: path → reason. Answers from memory. */
  problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  /** Scans once, then periodically; resolves after the first scan. */
  async start(): Promise<void> {
    this.#proven = (await readSmallFile(this.#options.provenFile, provenBounds).catch(() => '')) ?? '';
    await this.rescan();
  }

  /** Scans now; a call during a scan waits for one more. Never rejects. */
  async rescan(): Promise<void> {
    if (this.#stopped) return;
    if (this.#scan === undefined) this.#scan = this.#loop();
    else this.#again = true;
    await this.#scan;
  }

  /** Ends events and scans; kills a plugin that is being probed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#abort.abort();
    this.#watcher?.close();
    this.#watcher = undefined;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#endTornTimer();
    await this.#scan;
  }

  async #loop(): Promise<void> {
    // later events are not covered by the scan that begins here
    this.#soon = false;
    do {
      this.#again = false;
      await this.#once().catch((error: unknown) => {
        // a directory that can't be read is scanned again as usual
        const { confDir } = this.#choice;
        this.#state = notReady(`read ${confDir}: ${toFault(error).message}`);
        this.#options.log.warn({ confDir, fault: toFault(error) }, 'could not read the CNI configuration');
      });
    } while (this.#again && !this.#stopped);
    this.#options.onScan?.();
    this.#scan = undefined;
    this.#soon = this.#changed;
    this.#changed = false;
    this.#arm(this.#soon ? this.#soonMs() : networkLimits.rescanMs);
  }

  async #once(): Promise<void> {
    const choice = this.#choice;
    // another choice has begun another scan, which follows this one
    const isOver = (): boolean => this.#stopped || choice !== this.#choice;
    await this.#watchDirectory();
    forgetExecutables();
    const dir = await loadConfDir(choice.confDir);
    if (isOver() || this.#isBeingWritten(dir)) return;
    this.#isEmpty = dir.empty;
    this.#problems = problemsOf(choice.confDir, dir);
    const fallback = this.#fallback;
    const found = await this.#evaluate(dir, choice);
    if (isOver()) return;
    const state = this.#withPresentFallback(found, fallback);
    const before = this.#state;
    this.#state = state;
    if (
      before.ready === state.ready &&
      before.message === state.message &&
      before.network?.name === state.network?.name
    )
      return;
    const fields = { network: state.network?.name ?? '', ready: state.ready };
    if (state.ready) this.#options.log.info(fields, 'network is ready');
    else this.#options.log.warn(fields, `network is not ready: ${state.message}`);
  }

  /**
   * True while a file that was valid is invalid for less than a second: something is probably rewriting it in
   * place. The network then stays in effect; otherwise the node would become not ready, or pods would join
   * the network of the next file (aws/amazon-vpc-cni-k8s#1437, k8snetworkplumbingwg/multus-cni#1124).
   */
  #isBeingWritten(dir: ConfDir): boolean {
    const isTorn = dir.skipped.some(({ file }) => this.#good.has(file));
    if (isTorn && !this.#tornForLong) {
      this.#tornTimer ??= this.#options.clock.setTimeout(() => {
        this.#tornForLong = true;
        void this.rescan();
      }, networkLimits.tornMs);
      return true;
    }
    this.#endTornTimer();
    this.#good = new Set(dir.networks.map(({ file }) => file));
    return false;
  }

  #endTornTimer(): void {
    if (this.#tornTimer !== undefined) this.#options.clock.clearTimeout(this.#tornTimer);
    this.#tornTimer = undefined;
    this.#tornForLong = false;
  }

  async #evaluate(dir: ConfDir, choice: NetworkChoice): Promise<NetworkState> {
    const { confDir, networkName, pluginDirs } = choice;
    const fallback = choice.withoutFallback === true ? undefined : this.#fallback;
    if (!dir.empty) this.#seen = true;
    const useFallback = dir.empty && !this.#seen && fallback !== undefined && networkName === '';
    const network = useFallback ? fallback : chooseNetwork(dir, networkName);
    if (network === undefined) return notReady(whyNoNetwork(confDir, networkName, dir));
    const problem = await this.#problem(network, pluginDirs);
    const file = dir.networks.find((one) => one.network === network)?.file;
    const found = { network, ...(file === undefined ? {} : { file: join(confDir, file) }) };
    return problem === ''
      ? { ready: true, reason: '', message: '', ...found }
      : { ...notReady(problem), ...found };
  }

  async #problem(network: Network, pluginDirs: readonly string[]): Promise<string> {
    const { runTool } = this.#options;
    const prints = [`${network.name} ${network.cniVersion}`];
    for (const { type } of network.plugins) {
      const path = await findExecutable(type, pluginDirs);
      if (path === undefined) return `network ${network.name}: no plugin ${type} in ${pluginDirs.join(', ')}`;
      prints.push(`${path} ${await fileMark(path)}`);
    }
    const proof = prints.join('\n');
    const problem = await networkProblem(network, {
      runTool,
      pluginDirs,
      skipVersion: this.#proven === proof,
      timeoutMs: networkLimits.probeTimeoutMs,
      signal: this.#abort.signal,
    });
    if (problem === '' && this.#proven !== proof) await this.#keep(proof);
    return problem;
  }

  /** A file that is torn or can't be written only costs the next start some ms for the check. */
  async #keep(proof: string): Promise<void> {
    this.#proven = proof;
    const { provenFile, log } = this.#options;
    await writeWhole(provenFile, proof, 0o600).catch((error: unknown) =>
      log.warn({ provenFile, error: String(error) }, 'could not store the result of the CNI version check'),
    );
  }

  // watches the directory that has the name now; the next scan finds an absent one
  async #watchDirectory(): Promise<void> {
    const { confDir } = this.#choice;
    const mark = await directoryMark(confDir);
    if (mark === this.#watched || this.#stopped) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = '';
    if (mark === '') return;
    try {
      const watcher = watch(confDir, { persistent: false }, () => this.#rescanSoon());
      watcher.on('error', () => this.#rescanSoon());
      this.#watcher = watcher;
      this.#watched = mark;
    } catch (error) {
      // no inotify watch is available: the scan every 5 s remains
      this.#options.log.warn({ confDir, error: String(error) }, 'could not watch the CNI configuration');
    }
  }

  #rescanSoon(): void {
    if (this.#stopped || this.#soon) return;
    if (this.#scan !== undefined) {
      // not at once: a process that writes there without end would cause scans without end (S89)
      this.#changed = true;
      return;
    }
    this.#soon = true;
    this.#arm(this.#soonMs());
  }

  /**
   * Each scan runs a program for each plugin (STATUS), and some plugins write into the directory themselves:
   * so the rate is bounded (S89).
   */
  #soonMs(): number {
    return Math.max(networkLimits.rescanDelayMs, this.#pace.take(this.#options.clock.monoMs()));
  }

  #arm(ms: number): void {
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimeout(() => void this.rescan(), ms);
  }
}

function notReady(message: string): NetworkState {
  return { ready: false, reason: NOT_READY, message };
}

function problemsOf(confDir: string, { problem, skipped }: ConfDir): ReadonlyMap<string, string> {
  const files = skipped.map(({ file, reason }) => [join(confDir, file), reason] as const);
  return new Map([...(problem === '' ? [] : [[confDir, problem] as const]), ...files]);
}

/** The words of containerd and CRI-O for it, and what helps: a new node waits in this state for its network. */
function whyEmpty(confDir: string, networkName: string): string {
  return networkName === ''
    ? `no CNI configuration in ${confDir}: install a network, or set network.fallback = "bridge"`
    : `no network ${networkName} in ${confDir}: no CNI configuration`;
}

function whyNoNetwork(confDir: string, networkName: string, dir: ConfDir): string {
  if (dir.problem !== '') return dir.problem;
  if (dir.empty) return whyEmpty(confDir, networkName);
  const skipped = dir.skipped.slice(0, 3).map(({ file, reason }) => `${file}: ${reason}`);
  const more = dir.skipped.length > 3 ? `; ${dir.skipped.length - 3} more` : '';
  const why = skipped.length === 0 ? '' : ` (${skipped.join('; ')}${more})`;
  return networkName === ''
    ? `no valid CNI configuration in ${confDir}${why}`
    : `no network ${networkName} in ${confDir}${why}`;
}

async function directoryMark(path: string): Promise<string> {
  try {
    const facts = await stat(path, { bigint: true });
    return facts.isDirectory() ? `${facts.dev}:${facts.ino}` : '';
  } catch {
    return '';
  }
}

async function fileMark(path: string): Promise<string> {
  try {
    const facts = await stat(path, { bigint: true });
    return `${facts.dev}:${facts.ino}:${facts.size}:${facts.mtimeNs}`;
  } catch {
    return '';
  }
}
