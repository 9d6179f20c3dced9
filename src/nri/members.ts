/** The plugins of this node: how they come in, in what order they are called, and how they go. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../ports/clock.ts';
import type { NriPlugin } from '../ports/nri.ts';
import { Ring } from '../base/bounded.ts';
import { fail, toFault } from '../base/fault.ts';
import { nriLimits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import { onUserPath } from '../host/mounts/answering.ts';
import { readMountInfo } from '../host/mounts/mountinfo.ts';
import { signalNumber, killProcess } from '../host/process/process-identity.ts';
import type { Child } from '../host/process/process.ts';
import { within } from '../host/clock/wait.ts';
import { Plugin as PluginService } from '../gen/nri/v1alpha1/api_pb.ts';
import { findPlugins, launchPlugin } from './directory.ts';
import type { FoundPlugin, LaunchedPlugin } from './directory.ts';
import { Plugin } from './plugin.ts';
import type { PluginName, PluginOptions } from './plugin.ts';

export interface MembersOptions {
  readonly clock: ClockPort;
  readonly log: Log;
  /** Where plugins connect; empty: nowhere. */
  readonly socket: string;
  /** Plugins that are started by us; empty: none. */
  readonly pluginDirectory: string;
  readonly configDirectory: string;
  readonly registrationMs: number;
  readonly requestMs: number;
  readonly runtime: PluginOptions['runtime'];
  readonly onUpdate: PluginOptions['onUpdate'];
  /** A plugin that we start, or all of them, did not come in: `nri plugin 10-name` and why. Nobody starts it again. */
  readonly onNotStarted?: (what: string, reason: string) => void;
  /** Tells the plugin of the node as it is; it is a member once this settles. */
  readonly join: (plugin: Plugin, admit: () => void) => Promise<void>;
  /** The files of the plugin directory, and the start of one; left out, those of the machine. A dead mount may hold either for ever. */
  readonly files?: PluginFiles;
  /** Takes connections so that nobody but root can connect; `close` takes the socket away again. */
  readonly listen: (
    path: string,
    onConnection: (socket: Socket) => void,
  ) => Promise<{ close(): Promise<void> }>;
}

export interface PluginFiles {
  readonly find: typeof findPlugins;
  readonly launch: typeof launchPlugin;
}

export class Members {
  readonly #options: MembersOptions;
  #members: readonly Plugin[] = [];
  readonly #gone = new Ring<NriPlugin>(nriLimits.goneKept);
  readonly #connecting = new Set<Plugin>();
  readonly #children = new Set<Child>();
  #socket: { close(): Promise<void> } | undefined;
  #starting: Promise<void> | undefined;
  #launched: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  /** In the order in which they are called. */
  get all(): readonly Plugin[] {
    return this.#members;
  }

  /** Those that take part, then the last ones that are gone. */
  get states(): readonly NriPlugin[] {
    return [...this.#members.map(({ id }) => ({ id, gone: '' })), ...this.#gone.items()];
  }

  /** Settles when those that are started by us are in, or pods have waited for them long enough; undefined when none is waited for. */
  get starting(): Promise<void> | undefined {
    return this.#starting;
  }

  /**
   * Starts the plugins of the directory, then listens. Settles when each of them is a member, was given up or is not
   * waited for any longer; rejects where it can't listen, and may then be called again.
   */
  async start(): Promise<void> {
    const { socket, listen } = this.#options;
    if (this.#launched === undefined) this.#launched = this.#starting = this.#launchAll();
    await this.#launched;
    this.#starting = undefined;
    if (socket === '' || this.#isClosed || this.#socket !== undefined) return;
    const listening = await listen(socket, (connection) => this.#onConnection(connection));
    if (this.#isClosed) await listening.close();
    else this.#socket = listening;
  }

  /** Tells all plugins that it is over; those that we started are ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#socket?.close();
    const told = this.#members.map((plugin) =>
      plugin.call(PluginService.method.shutdown, {}).catch(() => undefined),
    );
    await Promise.all(told);
    for (const plugin of [...this.#members, ...this.#connecting]) plugin.drop('the runtime ends');
    await Promise.all([...this.#children].map((child) => this.#end(child)));
  }

  #onConnection(socket: Socket): void {
    if (this.#connecting.size >= nriLimits.registering) {
      // in the order in which they came: those that only connect don't keep out one that registers (S94)
      const silent = [...this.#connecting].find((plugin) => !plugin.isRegistered);
      if (silent !== undefined) this.#connecting.delete(silent);
      silent?.drop('too many nri plugins connect at once');
    }
    if (this.#connecting.size >= nriLimits.registering || this.#members.length >= nriLimits.plugins) {
      this.#options.log.warn({}, 'an nri plugin was turned away: there are too many');
      socket.destroy();
      return;
    }
    void this.#letIn(socket, '', undefined, () => undefined);
  }

  /** Settles when each is a member or was given up; of what takes longer to be read than pods wait, they come in later. */
  async #launchAll(): Promise<void> {
    const { pluginDirectory } = this.#options;
    if (pluginDirectory === '') return;
    const listing = this.#list();
    const launching = listing.then((found) => Promise.all(found.map((one) => this.#launch(one))));
    if (await this.#isInTime(listing, pluginDirectory)) await launching;
  }

  /** None where they can't be listed. */
  async #list(): Promise<readonly FoundPlugin[]> {
    const { pluginDirectory, configDirectory, log, files } = this.#options;
    try {
      const find = files?.find ?? findPlugins;
      return await this.#onPath(pluginDirectory, 'list nri plugins', () =>
        find(pluginDirectory, configDirectory, log),
      );
    } catch (error) {
      log.error({ reason: toFault(error).message }, 'no nri plugin was started');
      this.#options.onNotStarted?.('nri plugins', toFault(error).message);
      return [];
    }
  }

  async #launch(found: FoundPlugin): Promise<void> {
    if (this.#isClosed) return;
    const spawning = this.#spawned(found);
    const joining = spawning.then(async (launched) => {
      if (launched === undefined) return;
      const { socket, child } = launched;
      // also one that was dropped: nobody would start it again, and nobody would end it
      await this.#letIn(socket, found.config, found, () => void this.#end(child));
    });
    if (await this.#isInTime(spawning, found.path)) await joining;
  }

  /** False when pods have waited for it long enough; it goes on, up to `launchMs`. */
  async #isInTime(work: Promise<unknown>, path: string): Promise<boolean> {
    const { clock, log } = this.#options;
    const done = work.then(() => true);
    if ((await within({ clock, timeoutMs: nriLimits.directoryMs }, done)) === true) return true;
    log.warn(
      { path },
      `nri plugins: no answer within ${nriLimits.directoryMs} ms; pods go on, and a plugin takes part once it is started`,
    );
    return false;
  }

  /** Undefined, and reported, where it can't be started within `launchMs`. */
  async #spawned(found: FoundPlugin): Promise<LaunchedPlugin | undefined> {
    const { log } = this.#options;
    const id = `${found.index}-${found.name}`;
    try {
      const attempted = `start nri plugin ${id}`;
      // a program of a dead mount would hold a thread each, and those of all plugins all that there are
      await this.#onPath(found.path, attempted, () => Promise.resolve());
      const launched = await this.#spawn(found, attempted);
      const { child } = launched;
      this.#children.add(child);
      void child.exited.then(() => this.#children.delete(child));
      if (!this.#isClosed) return launched;
      this.#discard(launched);
      return undefined;
    } catch (error) {
      log.warn({ path: found.path, reason: toFault(error).message }, 'an nri plugin could not be started');
      this.#options.onNotStarted?.(`nri plugin ${id}`, toFault(error).message);
      return undefined;
    }
  }

  /** `work` on a path of the administrator's, within `launchMs`. */
  async #onPath<T>(path: string, attempted: string, work: () => Promise<T>): Promise<T> {
    const fx = {
      signal: new AbortController().signal,
      timeoutMs: nriLimits.launchMs,
      note: () => undefined,
    };
    return onUserPath(
      { path, attempted, mounts: await readMountInfo(), clock: this.#options.clock, fx },
      work,
    );
  }

  /** One that comes later than `launchMs` is ended: it was reported as not started. */
  async #spawn(found: FoundPlugin, attempted: string): Promise<LaunchedPlugin> {
    const { clock, files } = this.#options;
    const launching = (files?.launch ?? launchPlugin)(found);
    const first = await within({ clock, timeoutMs: nriLimits.launchMs }, launching);
    if (typeof first === 'object') return first;
    launching.then((late) => this.#discard(late)).catch(() => undefined);
    return fail(
      'timedOut',
      `${attempted}: timed out after ${nriLimits.launchMs} ms waiting for ${found.path}`,
      { subject: found.path },
    );
  }

  #discard({ socket, child }: LaunchedPlugin): void {
    socket.destroy();
    void this.#end(child);
  }

  /** Settles when it has become a member or was turned away; `ended` is called when its connection has ended. */
  async #letIn(
    trunk: Duplex,
    config: string,
    given: PluginName | undefined,
    ended: () => void,
  ): Promise<void> {
    const { join, log, ...options } = this.#options;
    const plugin = new Plugin(trunk, {
      ...options,
      config,
      ...(given === undefined ? {} : { given: { name: given.name, index: given.index } }),
      onGone: (gone, reason) => {
        this.#onGone(gone, reason);
        ended();
      },
    });
    this.#connecting.add(plugin);
    try {
      await plugin.register();
      await join(plugin, () => this.#admit(plugin));
    } catch (error) {
      log.warn({ plugin: plugin.id, reason: toFault(error).message }, 'an nri plugin was not let in');
      plugin.drop(toFault(error).message);
      if (given !== undefined)
        this.#options.onNotStarted?.(`nri plugin ${given.index}-${given.name}`, toFault(error).message);
    } finally {
      this.#connecting.delete(plugin);
    }
  }

  #admit(plugin: Plugin): void {
    if (plugin.isGone || this.#isClosed) return;
    // equal indexes keep the order in which they came
    this.#members = [...this.#members, plugin].toSorted(
      (a, b) => Number(a.named.index) - Number(b.named.index),
    );
    this.#options.log.info({ plugin: plugin.id }, 'an nri plugin takes part');
  }

  #onGone(plugin: Plugin, reason: string): void {
    if (!this.#members.includes(plugin)) return;
    this.#members = this.#members.filter((one) => one !== plugin);
    this.#gone.push({ id: plugin.id, gone: reason });
    if (!this.#isClosed) this.#options.log.warn({ plugin: plugin.id, reason }, 'an nri plugin is gone');
  }

  /** Its connection is closed: it ends by itself, or is killed. */
  #end(child: Child): Promise<unknown> {
    const { clock } = this.#options;
    const timer = clock.setTimeout(
      () => killProcess(child.identity, signalNumber('SIGKILL') ?? 9),
      nriLimits.endMs,
    );
    return child.exited.finally(() => clock.clearTimeout(timer));
  }
}
