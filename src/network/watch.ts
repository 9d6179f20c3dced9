/**
 * Which network pods join now, and NetworkReady. The directory is looked at every
 * 5 s whatever happens (F56); its events only make that sooner, so a lost event, a
 * replaced directory or a plugin that was installed later costs 5 s at most.
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
import { findExecutable } from './plugin.ts';

export interface WatchOptions {
  readonly confDir: string;
  /** Name of the network to use; empty for the first valid one. */
  readonly networkName: string;
  readonly pluginDirs: readonly string[];
  /**
   * Used while the directory has held no configuration file since the start. Once it
   * had one its absence means "not ready": pods must not end up in another network.
   */
  readonly fallback?: Network;
  /**
   * File in which a restart finds what was proven before it: with it no plugin is run before the first answer. Below the
   * state directory, so that a reboot asks anew.
   */
  readonly provenFile: string;
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout' | 'monoMs'>;
  readonly runTool: RunTool;
  readonly log: Log;
}

export interface NetworkState extends NetworkStatus {
  /** Absent when there is no valid configuration; present though not ready when its plugins are not. */
  readonly network?: Network;
}

/** What else lies in its place, be it a FIFO, is no proof and holds nobody. */
const provenBounds = { usualBytes: networkLimits.provenBytes, bytesMax: networkLimits.provenBytes };

/** The reason of the condition NetworkReady that the kubelet and its users know from both peers. */
const NOT_READY = 'NetworkPluginNotReady';

export class NetworkWatch {
  readonly #options: WatchOptions;
  #problems: ReadonlyMap<string, string> = new Map();
  #state: NetworkState = notReady('the CNI configuration was not looked at yet');
  #timer: TimerHandle | undefined;
  #soon = false;
  readonly #pace = new Pace(networkLimits.hurriedScans);
  #watcher: FSWatcher | undefined;
  /** Device and inode of the directory that is watched. */
  #watched = '';
  #seen = false;
  /** Executables and version that answered VERSION well: asked again only when one of them changes. */
  #proven = '';
  /** Files of networks in the look that counts. */
  #good: ReadonlySet<string> = new Set();
  /** Runs while a good file may be half-written. */
  #patience: TimerHandle | undefined;
  #patienceIsOver = false;
  #scan: Promise<void> | undefined;
  #again = false;
  /** An event came during a look. */
  #changed = false;
  #stopped = false;
  readonly #abort = new AbortController();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** From memory. */
  state(): NetworkState {
    return this.#state;
  }

  /** What can't be used of the directory, at the last scan: path → reason. From memory. */
  problems(): ReadonlyMap<string, string> {
    return this.#problems;
  }

  /** First look, then from time to time; resolves when the first look is done. */
  async start(): Promise<void> {
    this.#proven = (await readSmallFile(this.#options.provenFile, provenBounds).catch(() => '')) ?? '';
    await this.rescan();
  }

  /** Looks now; a call during a look waits for one more. Never rejects. */
  async rescan(): Promise<void> {
    if (this.#stopped) return;
    if (this.#scan === undefined) this.#scan = this.#loop();
    else this.#again = true;
    await this.#scan;
  }

  /** Ends events and looks; a plugin that is asked just now is killed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#abort.abort();
    this.#watcher?.close();
    this.#watcher = undefined;
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
    this.#endPatience();
    await this.#scan;
  }

  async #loop(): Promise<void> {
    // what comes from now on is not what this look was hurried for
    this.#soon = false;
    do {
      this.#again = false;
      await this.#once().catch((error: unknown) => {
        // a directory that can't be read: looked at again as ever
        this.#state = notReady(`read ${this.#options.confDir}: ${toFault(error).message}`);
        this.#options.log.warn(
          { confDir: this.#options.confDir, fault: toFault(error) },
          'read the CNI configuration: failed',
        );
      });
    } while (this.#again && !this.#stopped);
    this.#scan = undefined;
    this.#soon = this.#changed;
    this.#changed = false;
    this.#arm(this.#soon ? this.#soonMs() : networkLimits.rescanMs);
  }

  async #once(): Promise<void> {
    await this.#follow();
    const dir = await loadConfDir(this.#options.confDir);
    if (this.#stopped || this.#isBeingWritten(dir)) return;
    this.#problems = problemsOf(this.#options.confDir, dir);
    const state = await this.#look(dir);
    if (this.#stopped) return;
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
   * True while a file that was good is broken for the first second: whoever writes it in place is at work. The network stays
   * what it was; else the node would be told as not ready, or pods would land in the network of the next file
   * (aws/amazon-vpc-cni-k8s#1437, k8snetworkplumbingwg/multus-cni#1124).
   */
  #isBeingWritten(dir: ConfDir): boolean {
    const isTorn = dir.skipped.some(({ file }) => this.#good.has(file));
    if (isTorn && !this.#patienceIsOver) {
      this.#patience ??= this.#options.clock.setTimeout(() => {
        this.#patienceIsOver = true;
        void this.rescan();
      }, networkLimits.tornMs);
      return true;
    }
    this.#endPatience();
    this.#good = new Set(dir.networks.map(({ file }) => file));
    return false;
  }

  #endPatience(): void {
    if (this.#patience !== undefined) this.#options.clock.clearTimeout(this.#patience);
    this.#patience = undefined;
    this.#patienceIsOver = false;
  }

  async #look(dir: ConfDir): Promise<NetworkState> {
    const { confDir, networkName, fallback } = this.#options;
    if (!dir.empty) this.#seen = true;
    const useFallback = dir.empty && !this.#seen && fallback !== undefined;
    const network = useFallback ? fallback : chooseNetwork(dir, networkName);
    if (network === undefined) return notReady(whyNone(confDir, networkName, dir));
    const problem = await this.#problem(network);
    return problem === ''
      ? { ready: true, reason: '', message: '', network }
      : { ...notReady(problem), network };
  }

  async #problem(network: Network): Promise<string> {
    const { pluginDirs, runTool } = this.#options;
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

  /** A file that is cut off or can't be written equals no proof, and costs the next start some ms. */
  async #keep(proof: string): Promise<void> {
    this.#proven = proof;
    const { provenFile, log } = this.#options;
    await writeWhole(provenFile, proof, 0o600).catch((error: unknown) =>
      log.warn({ provenFile, error: String(error) }, 'what CNI plugins speak is not kept'),
    );
  }

  // watches the directory that has the name now; an absent one is found by the next look
  async #follow(): Promise<void> {
    const mark = await directoryMark(this.#options.confDir);
    if (mark === this.#watched || this.#stopped) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = '';
    if (mark === '') return;
    try {
      const watcher = watch(this.#options.confDir, { persistent: false }, () => this.#hurry());
      watcher.on('error', () => this.#hurry());
      this.#watcher = watcher;
      this.#watched = mark;
    } catch (error) {
      // no inotify watch left: the look every 5 s does the work
      this.#options.log.warn(
        { confDir: this.#options.confDir, error: String(error) },
        'CNI configuration is not watched',
      );
    }
  }

  #hurry(): void {
    if (this.#stopped || this.#soon) return;
    if (this.#scan !== undefined) {
      // not at once: who writes there without end would have it looked at without end (S89)
      this.#changed = true;
      return;
    }
    this.#soon = true;
    this.#arm(this.#soonMs());
  }

  /** Each look runs a program for each plugin (STATUS), some of which write into the directory themselves: a few in a second (S89). */
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

function whyNone(confDir: string, networkName: string, dir: ConfDir): string {
  if (dir.problem !== '') return dir.problem;
  if (dir.empty) return `no CNI configuration in ${confDir}`;
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
