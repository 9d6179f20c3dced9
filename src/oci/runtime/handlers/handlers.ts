/**
 * The runtime handlers of this machine: the configured ones, those of earlier configurations, and what the last probe
 * of each found.
 */
import { join } from 'node:path';
import type { HandlerStatus } from '../../../ports/runtime.ts';
import { fail } from '../../../base/fault.ts';
import { flawSummary } from './known-flaws.ts';
import type { SpecHandler } from '../spec/input.ts';

/** The configuration of one handler. It is also recorded, for pods that outlive its entry. */
export interface HandlerConfig {
  /** As in a RuntimeClass: letters, digits, `.`, `_`, `-`. */
  readonly name: string;
  /** Absolute path of the runtime or shim. */
  readonly path: string;
  /** `oci`: a program with runc's command line. `vm`: a shim of containerd's runtime v2, one for each pod. */
  readonly kind: 'oci' | 'vm';
  /** Why the program was not found; absent if it was. */
  readonly missing?: string;
  /** Its state directory, given as --root; by default a directory of troupe's. */
  readonly root?: string;
  /** Options of the runtime before its verb. */
  readonly options?: readonly string[];
  /** Instead of the machine's monitor. */
  readonly monitorPath?: string;
  /** False: the runtime's program is run for each start and delete, too (container/shortcuts.ts). */
  readonly shortcuts?: boolean;
  /** False: RuntimeDefault is always the allow-list (spec/seccomp-short.ts). */
  readonly shortSeccomp?: boolean;
  /** MS_MOVE instead of pivot_root: for a root file system on a ramdisk. */
  readonly noPivot?: boolean;
  /** The shim's own configuration file. */
  readonly configPath?: string;
  /** Annotations of pods that are passed to the runtime: whole names, or prefixes ending with `*`. */
  readonly allowedAnnotations?: readonly string[];
  readonly defaultAnnotations?: Readonly<Record<string, string>>;
  readonly privilegedWithoutHostDevices?: boolean;
  /** Absolute path of the profile used for RuntimeDefault. */
  readonly seccompProfile?: string;
}

/** In place of a handler's name as the default: a choice between the two handlers below (auto-handler.ts). */
export const AUTO = 'auto';
export const AUTO_CRUN = 'crun';
export const AUTO_RUNC = 'runc';

/** The outcome of `auto`. */
export interface AutoChoice {
  /** Of the chosen handler. */
  readonly name: string;
  /** For operators: which one, and why not the other. */
  readonly text: string;
}

/** Suffix of pause containers' state directories: recovery distinguishes their ids from other containers' by it. */
export const PAUSE_SUFFIX = '.pause';

/** A handler that a call can use. */
export interface Handler extends HandlerConfig {
  /** State directory, given to the runtime as --root. */
  readonly root: string;
}

/** The result of probing one program. */
export interface ProbeResult {
  readonly ready: boolean;
  readonly reason: string;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
  /** Whether `exec` takes runc's --cgroup=controller:path. */
  readonly execCgroup: boolean;
  /** Each container is in a sandbox with a kernel of its own (gVisor). */
  readonly ownSandbox: boolean;
  /** It is runc itself, in a release whose state directory is known (container/shortcuts.ts). */
  readonly knownState: boolean;
  /** A program to call instead of the runtime; undefined for the runtime itself. */
  readonly standIn?: string;
  /** Whether containers may have the short form of RuntimeDefault (spec/seccomp-short.ts). */
  readonly shortSeccomp: boolean;
  /** Where runc could have it, and does not. */
  readonly whyNotShort?: string;
  /** That could not be found out: a fault, which another probe may not meet. Such a result is not recorded. */
  readonly isShortUnsure?: true;
  /** Such as `crun version 1.28`: the first line of `--version`; empty when unknown. */
  readonly version: string;
  /** What its `features` lists of the words in features.ts. */
  readonly features: readonly string[];
}

export interface ProbedHandler {
  readonly handler: Handler;
  readonly result: ProbeResult;
}

export const nothingProbed = {
  recursiveReadOnlyMounts: false,
  userNamespaces: false,
  execCgroup: false,
  ownSandbox: false,
  knownState: false,
  shortSeccomp: false,
  version: '',
  features: [],
};
const notProbed: ProbeResult = { ready: false, reason: 'not probed yet', ...nothingProbed };

/**
 * The configured handlers by name with the results of their last probes, and the handlers of earlier configurations.
 */
export class HandlerTable {
  readonly #rootOf: (name: string) => string;
  #handlers: readonly Handler[] = [];
  #defaultName = '';
  /** Of `auto`; undefined until the first probe is over, or with another default. */
  #choice: AutoChoice | undefined;
  /** Handlers of earlier configurations: not listed, not for new pods, but their pods can be stopped and removed. */
  readonly #retired = new Map<string, Handler>();
  /** See `recall`. */
  readonly #lost = new Map<string, Handler>();
  readonly #results = new Map<string, ProbeResult>();

  constructor(configs: readonly HandlerConfig[], defaultName: string, rootOf: (name: string) => string) {
    this.#rootOf = rootOf;
    this.replace(configs, defaultName);
  }

  /**
   * Replaces the configuration; handlers that are no longer in it are kept for their pods. Throws `invalidRequest`
   * and changes nothing for a bad name, an unknown default, or a change that would make a handler's pods unreachable.
   */
  replace(configs: readonly HandlerConfig[], defaultName: string): void {
    for (const { name } of configs) {
      if (name === '' || name.endsWith(PAUSE_SUFFIX)) {
        fail('invalidRequest', `use runtime handler ${JSON.stringify(name)}: invalid name`, {
          subject: name,
        });
      }
    }
    refuseDefault(configs, defaultName);
    const handlers = configs.map((config) => this.#located(config));
    for (const handler of handlers) this.#refuseChange(handler);
    for (const old of this.#handlers) this.#retired.set(old.name, old);
    for (const { name } of handlers) {
      this.#retired.delete(name);
      this.#lost.delete(name);
    }
    this.#handlers = handlers;
    this.#defaultName = defaultName;
    const chosen = this.#choice?.name;
    if (!this.isAuto() || !handlers.some(({ name }) => name === chosen)) this.#choice = undefined;
    for (const name of [...this.#results.keys()])
      if (!handlers.some((handler) => handler.name === name)) this.#results.delete(name);
  }

  /** Adds a handler of an earlier configuration, unless the name is configured now. */
  retire(config: HandlerConfig): void {
    if (this.#handlers.some(({ name }) => name === config.name)) return;
    this.#retired.set(config.name, this.#located(config));
  }

  /**
   * Whether nothing is known of a handler of this name, and pods still have it: it is not configured any more, and its
   * record is gone with a reboot, or can't be read.
   */
  isUnknown(name: string): boolean {
    return name !== '' && this.#find(name) === undefined;
  }

  /**
   * Adds such a handler for the end of its pods, with the state directory that it has by default and a program that
   * does not exist: what is left of them is removed without it.
   */
  recall(name: string, kind: HandlerConfig['kind']): void {
    if (!this.isUnknown(name)) return;
    this.#lost.set(name, this.#located({ name, kind, path: join(this.#rootOf(name), 'not-configured') }));
  }

  #located(config: HandlerConfig): Handler {
    return { ...config, root: config.root ?? this.#rootOf(config.name) };
  }

  /**
   * A handler's pods are found by its kind and state directory: with other ones under the same name they would be
   * unreachable.
   */
  #refuseChange({ name, kind, root }: Handler): void {
    const old = this.#handlers.find((handler) => handler.name === name) ?? this.#retired.get(name);
    if (old === undefined || (old.kind === kind && old.root === root)) return;
    const what = old.kind === kind ? 'root' : 'type';
    fail(
      'invalidRequest',
      `use runtime handler ${name} with another ${what}: existing pods need the old ${what}; choose another name`,
      { subject: name },
    );
  }

  /** The handler of this name, configured now or earlier; an empty name means the default. Throws `notFound`. */
  resolve(name: string): Handler {
    const wanted = name === '' ? this.#standard() : name;
    const found = this.#find(wanted);
    if (found === undefined)
      return fail('notFound', `use runtime handler ${wanted}: not configured`, { subject: wanted });
    return { ...found, path: this.#results.get(found.name)?.standIn ?? found.path };
  }

  #find(name: string): Handler | undefined {
    const configured = this.#handlers.find((handler) => handler.name === name);
    return configured ?? this.#retired.get(name) ?? this.#lost.get(name);
  }

  /** The configured handlers. */
  all(): readonly Handler[] {
    return this.#handlers;
  }

  /** The configured handlers and those of earlier configurations. */
  known(): readonly Handler[] {
    return [...this.#handlers, ...this.#retired.values()];
  }

  /** Whether an exec can have a cgroup of its own; false until probed. */
  canExecInCgroup(name: string): boolean {
    return this.#results.get(name)?.execCgroup ?? false;
  }

  /** Whether start and delete may be done without the runtime's program; false until probed. */
  hasShortcuts(name: string): boolean {
    const handler = this.#handlers.find((one) => one.name === name);
    // options of the runtime may change what its verbs do
    if (handler === undefined || handler.shortcuts === false || (handler.options ?? []).length > 0)
      return false;
    return this.#results.get(name)?.knownState ?? false;
  }

  /** Whether each container of the handler is in a sandbox of its own; false until probed. */
  #hasOwnSandbox(name: string): boolean {
    return this.#results.get(name)?.ownSandbox ?? false;
  }

  /** What the spec generator needs to know of a handler. Throws `notFound`. */
  specHandler(name: string): SpecHandler {
    const handler = this.resolve(name);
    const ownSandbox = this.#hasOwnSandbox(handler.name);
    return {
      recursiveReadOnlyMounts: this.#results.get(handler.name)?.recursiveReadOnlyMounts ?? false,
      allowedAnnotations: handler.allowedAnnotations ?? [],
      defaultAnnotations: handler.defaultAnnotations ?? {},
      privilegedWithoutHostDevices: handler.privilegedWithoutHostDevices ?? false,
      ownSandbox,
      ownKernel: handler.kind === 'vm' || ownSandbox,
      seccompProfile: handler.seccompProfile ?? '',
      shortSeccomp:
        handler.shortSeccomp !== false && (this.#results.get(handler.name)?.shortSeccomp ?? false),
    };
  }

  /** Sets the result of a probe; ignored if the handler was removed meanwhile. */
  set(name: string, result: ProbeResult): void {
    if (this.#handlers.some((handler) => handler.name === name)) this.#results.set(name, result);
  }

  /** A configured handler with the result of its last probe. */
  probed(name: string): ProbedHandler | undefined {
    const handler = this.#handlers.find((one) => one.name === name);
    return handler && { handler, result: this.#results.get(name) ?? notProbed };
  }

  /** Whether the default is to be chosen after each probe. */
  isAuto(): boolean {
    return this.#defaultName === AUTO;
  }

  /** Sets the default of new pods; ignored if a reload has named one meanwhile. */
  settle(choice: AutoChoice): void {
    if (this.isAuto()) this.#choice = choice;
  }

  /** The default handler: of `auto`, runc until the choice is made. */
  #standard(): string {
    return this.isAuto() ? (this.#choice?.name ?? AUTO_RUNC) : this.#defaultName;
  }

  /** As the port lists them: the default handler first under the empty name, then each under its own. */
  statuses(): readonly HandlerStatus[] {
    const own = this.#handlers.map(({ name, kind }): HandlerStatus => {
      const {
        execCgroup: _exec,
        standIn: _standIn,
        ownSandbox: _own,
        knownState: _known,
        shortSeccomp: _short,
        whyNotShort: _why,
        isShortUnsure: _unsure,
        version,
        features: _features,
        ...result
      } = this.#results.get(name) ?? notProbed;
      const flaws = flawSummary(version);
      return {
        name,
        target: name,
        needsPause: kind === 'vm',
        ...result,
        ...(version === '' ? {} : { version }),
        ...(flaws === '' ? {} : { flaws }),
      };
    });
    const standard = own.find((status) => status.name === this.#standard());
    const choice = this.#choice === undefined ? {} : { choice: this.#choice.text };
    return standard === undefined ? own : [{ ...standard, name: '', ...choice }, ...own];
  }
}

/** Throws `invalidRequest` for a default that is not configured, and for an ambiguous `auto`. */
function refuseDefault(configs: readonly HandlerConfig[], defaultName: string): void {
  const isConfigured = (wanted: string): boolean => configs.some(({ name }) => name === wanted);
  const refuse = (why: string): never =>
    fail('invalidRequest', `use runtime handler ${defaultName} as the default: ${why}`, {
      subject: defaultName,
    });
  if (defaultName !== AUTO) {
    if (!isConfigured(defaultName)) refuse('not configured');
  } else if (isConfigured(AUTO))
    refuse('the word is for a choice between runc and crun, and a handler has it as its name');
  else if (!isConfigured(AUTO_RUNC)) refuse(`${AUTO_RUNC} is not configured`);
}
