/** The connected plugins: how they join, in which order they are called, and how they leave. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../ports/clock.ts';
import type { NriPlugin } from '../ports/nri.ts';
import { unlessAborted } from '../base/abort.ts';
import { Ring } from '../base/bounded.ts';
import { fail, toFault } from '../base/fault.ts';
import { nriLimits } from './bounds.ts';
import type { Log } from '../base/log.ts';
import { onUserPath } from '../host/mounts/answering.ts';
import { readMountPlaces } from '../host/mounts/mount-places.ts';
import { killProcess } from '../host/process/process-identity.ts';
import { signalNumber } from '../oci/runtime/spec/signals.ts';
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
  /** Path of the socket to which plugins connect; empty for none. */
  readonly socket: string;
  /** Directory of the plugins that troupe starts; empty for none. */
  readonly pluginDirectory: string;
  readonly configDirectory: string;
  readonly registrationMs: number;
  readonly requestMs: number;
  readonly runtime: PluginOptions['runtime'];
  readonly onUpdate: PluginOptions['onUpdate'];
  /**
   * A plugin that troupe starts, or all of them, did not join: `nri plugin 10-name` and the reason. It is not
   * started again.
   */
  readonly onNotStarted?: (what: string, reason: string) => void;
  /** Synchronizes the plugin with the node; it calls `admit` to make it a member. */
  readonly join: (plugin: Plugin, admit: () => void) => Promise<void>;
  /** Finds and launches plugins; absent for the real functions. On a dead mount either may block for ever. */
  readonly files?: PluginFiles;
  /** Listens on a socket that only root may connect to; `close` removes the socket. */
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
  /** Until when plugins of the boot before are expected back (ClockPort.monoMs). */
  #returnUntilMs = 0;
  readonly #onAdmitted = new Set<() => void>();

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  /** Members in the order in which they are called. */
  get all(): readonly Plugin[] {
    return this.#members;
  }

  /** Members, then the plugins that left last. */
  get states(): readonly NriPlugin[] {
    return [...this.#members.map(({ id }) => ({ id, gone: '' })), ...this.#gone.items()];
  }

  /**
   * Settles when the plugins that troupe starts have joined, or pods have waited long enough; undefined when
   * pods need not wait.
   */
  get starting(): Promise<void> | undefined {
    return this.#starting;
  }

  /**
   * Starts the plugins of the directory, then listens. Settles when each of them has joined, has failed or is
   * no longer waited for. Rejects when it can't listen, and may then be called again.
   */
  async start(): Promise<void> {
    const { socket, listen } = this.#options;
    if (this.#launched === undefined) {
      // again once it listens; a later attempt to listen renews nothing
      if (socket !== '') this.#expectBack();
      this.#launched = this.#starting = this.#launchAll();
    }
    await this.#launched;
    this.#starting = undefined;
    if (socket === '' || this.#isClosed || this.#socket !== undefined) return;
    const listening = await listen(socket, (connection) => this.#onConnection(connection));
    if (this.#isClosed) await listening.close();
    else this.#socket = listening;
    this.#expectBack();
  }

  #expectBack(): void {
    this.#returnUntilMs = this.#options.clock.monoMs() + nriLimits.returnMs;
  }

  /**
   * Settles when the members suffice, or no plugin of the boot before is expected back: `returnMs` after listening
   * began. Rejects when the signal aborts.
   */
  async whenBack(isMissing: () => boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const leftMs = this.#returnUntilMs - clock.monoMs();
      if (leftMs <= 0 || !isMissing()) return;
      const admitted = Promise.withResolvers<void>();
      const timer = clock.setTimeout(admitted.resolve, leftMs);
      this.#onAdmitted.add(admitted.resolve);
      try {
        await unlessAborted(admitted.promise, signal);
      } finally {
        this.#onAdmitted.delete(admitted.resolve);
        clock.clearTimeout(timer);
      }
    }
  }

  /** Sends Shutdown to all plugins; those that troupe started are ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#socket?.close();
    const shutdowns = this.#members.map((plugin) =>
      plugin.call(PluginService.method.shutdown, {}).catch(() => undefined),
    );
    await Promise.all(shutdowns);
    for (const plugin of [...this.#members, ...this.#connecting]) plugin.drop('the runtime is shutting down');
    await Promise.all([...this.#children].map((child) => this.#end(child)));
  }

  #onConnection(socket: Socket): void {
    if (this.#connecting.size >= nriLimits.registering) {
      // the oldest connection goes first: connections that never register must not keep out a plugin that
      // does (S94)
      const silent = [...this.#connecting].find((plugin) => !plugin.isRegistered);
      if (silent !== undefined) this.#connecting.delete(silent);
      silent?.drop('too many connections that have not registered');
    }
    if (this.#connecting.size >= nriLimits.registering || this.#members.length >= nriLimits.plugins) {
      this.#options.log.warn({}, 'refused an nri plugin: too many plugins');
      socket.destroy();
      return;
    }
    void this.#accept(socket, '', undefined, () => undefined);
  }

  /**
   * Settles when each plugin has joined or failed. Plugins that take longer to read than pods wait join
   * later.
   */
  async #launchAll(): Promise<void> {
    const { pluginDirectory } = this.#options;
    if (pluginDirectory === '') return;
    const listing = this.#list();
    const launching = listing.then((found) => Promise.all(found.map((one) => this.#launch(one))));
    if (await this.#isInTime(listing, pluginDirectory)) await launching;
  }

  /** Empty when the directory can't be listed. */
  async #list(): Promise<readonly FoundPlugin[]> {
    const { pluginDirectory, configDirectory, log, files } = this.#options;
    try {
      const find = files?.find ?? findPlugins;
      return await this.#onPath(pluginDirectory, 'list nri plugins', () =>
        find(pluginDirectory, configDirectory, log),
      );
    } catch (error) {
      log.error({ reason: toFault(error).message }, 'could not start nri plugins');
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
      // a plugin that was dropped is ended too: it would not be started again, and nothing else would end it
      await this.#accept(socket, found.config, found, () => void this.#end(child));
    });
    if (await this.#isInTime(spawning, found.path)) await joining;
  }

  /** False when pods have waited long enough; the work goes on, for up to `launchMs`. */
  async #isInTime(work: Promise<unknown>, path: string): Promise<boolean> {
    const { clock, log } = this.#options;
    const done = work.then(() => true);
    if ((await within({ clock, timeoutMs: nriLimits.directoryMs }, done)) === true) return true;
    log.warn(
      { path },
      `timed out after ${nriLimits.directoryMs} ms waiting for nri plugins: pods go on, and a plugin joins once it has started`,
    );
    return false;
  }

  /** Undefined, and reported, when the plugin can't be started within `launchMs`. */
  async #spawned(found: FoundPlugin): Promise<LaunchedPlugin | undefined> {
    const { log } = this.#options;
    const id = `${found.index}-${found.name}`;
    try {
      const attempted = `start nri plugin ${id}`;
      // programs on a dead mount would block one thread each, and with many plugins all threads of the pool
      await this.#onPath(found.path, attempted, () => Promise.resolve());
      const launched = await this.#spawn(found, attempted);
      const { child } = launched;
      this.#children.add(child);
      void child.exited.then(() => this.#children.delete(child));
      if (!this.#isClosed) return launched;
      this.#discard(launched);
      return undefined;
    } catch (error) {
      log.warn({ path: found.path, reason: toFault(error).message }, 'could not start nri plugin');
      this.#options.onNotStarted?.(`nri plugin ${id}`, toFault(error).message);
      return undefined;
    }
  }

  /** Runs `work` on a path that the administrator chose, within `launchMs`. */
  async #onPath<T>(path: string, attempted: string, work: () => Promise<T>): Promise<T> {
    const fx = {
      signal: new AbortController().signal,
      timeoutMs: nriLimits.launchMs,
      note: () => undefined,
    };
    return onUserPath(
      { path, attempted, mounts: await readMountPlaces(), clock: this.#options.clock, fx },
      work,
    );
  }

  /** A plugin that starts later than `launchMs` is ended, since it was reported as not started. */
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

  /** Settles when the plugin has joined or was refused; `ended` is called when its connection has ended. */
  async #accept(
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
      log.warn({ plugin: plugin.id, reason: toFault(error).message }, 'could not admit nri plugin');
      plugin.drop(toFault(error).message);
      if (given !== undefined)
        this.#options.onNotStarted?.(`nri plugin ${given.index}-${given.name}`, toFault(error).message);
    } finally {
      this.#connecting.delete(plugin);
    }
  }

  #admit(plugin: Plugin): void {
    if (plugin.isGone || this.#isClosed) return;
    // plugins with the same index keep the order in which they joined
    this.#members = [...this.#members, plugin].toSorted(
      (a, b) => Number(a.named.index) - Number(b.named.index),
    );
    this.#options.log.info({ plugin: plugin.id }, 'nri plugin joined');
    for (const onAdmitted of [...this.#onAdmitted]) onAdmitted();
  }

  #onGone(plugin: Plugin, reason: string): void {
    if (!this.#members.includes(plugin)) return;
    this.#members = this.#members.filter((one) => one !== plugin);
    this.#gone.push({ id: plugin.id, gone: reason });
    if (!this.#isClosed) this.#options.log.warn({ plugin: plugin.id, reason }, 'nri plugin left');
  }

  /** The plugin's connection is closed: waits for it to exit, and kills it after a while. */
  #end(child: Child): Promise<unknown> {
    const { clock } = this.#options;
    const timer = clock.setTimeout(
      () => killProcess(child.identity, signalNumber('SIGKILL') ?? 9),
      nriLimits.endMs,
    );
    return child.exited.finally(() => clock.clearTimeout(timer));
  }
}
