/** The runtime handlers of this machine: which are configured, which were, and what a probe found each able to do. */
import type { HandlerStatus } from '../../../ports/runtime.ts';
import { fail } from '../../../base/fault.ts';
import type { SpecHandler } from '../spec/input.ts';

/** What a configuration says of one handler; also what is kept of it for the pods that outlive its entry. */
export interface HandlerConfig {
  /** As in a RuntimeClass: letters, digits, `.`, `_`, `-`. */
  readonly name: string;
  /** Absolute path of the runtime or shim. */
  readonly path: string;
  /** `oci`: a program with runc's command line. `vm`: a shim of containerd's runtime v2, one for each pod. */
  readonly kind: 'oci' | 'vm';
  /** Why the program was not found; left out when it was. */
  readonly missing?: string;
  /** Its state directory, given as --root; left out for one of ours. */
  readonly root?: string;
  /** More options of the runtime before its verb. */
  readonly options?: readonly string[];
  /** In place of the machine's monitor. */
  readonly monitorPath?: string;
  /** MS_MOVE in place of pivot_root: for a root file system on a ramdisk. */
  readonly noPivot?: boolean;
  /** The shim's own configuration file. */
  readonly configPath?: string;
  /** Annotations of pods that reach the runtime: whole names, or beginnings that end with `*`. */
  readonly allowedAnnotations?: readonly string[];
  readonly defaultAnnotations?: Readonly<Record<string, string>>;
  readonly privilegedWithoutHostDevices?: boolean;
  /** Absolute path of the profile that RuntimeDefault stands for. */
  readonly seccompProfile?: string;
}

/** Pause containers have a state directory of their own, so that recovery can tell a sandbox's id from a container's. */
export const PAUSE_SUFFIX = '.pause';

/** A handler that a call can use. */
export interface Handler extends HandlerConfig {
  /** State directory, given to the runtime as --root. */
  readonly root: string;
}

/** What a probe of one binary found. */
export interface ProbeResult {
  readonly ready: boolean;
  readonly reason: string;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
  /** `exec` takes runc's --cgroup=controller:path. */
  readonly execCgroup: boolean;
  /** A program that is to be called in the runtime's place; undefined for none. */
  readonly standIn?: string;
  /** What its version is known for; not kept for a later start, which probes again. */
  readonly flaws?: readonly string[];
}

export const nothingProbed = { recursiveReadOnlyMounts: false, userNamespaces: false, execCgroup: false };
const notProbed: ProbeResult = { ready: false, reason: 'not probed yet', ...nothingProbed };

/** The configured handlers by name, with what their last probe found, and those that were configured before. */
export class HandlerTable {
  readonly #rootOf: (name: string) => string;
  #handlers: readonly Handler[] = [];
  #defaultName = '';
  /** Not listed and not for new pods; theirs are stopped and removed with them. */
  readonly #retired = new Map<string, Handler>();
  readonly #results = new Map<string, ProbeResult>();

  constructor(configs: readonly HandlerConfig[], defaultName: string, rootOf: (name: string) => string) {
    this.#rootOf = rootOf;
    this.replace(configs, defaultName);
  }

  /**
   * Takes another configuration; what is no longer in it is kept for its pods. Throws `invalidRequest` and changes
   * nothing for a bad name, a default that is not there, or a handler whose pods would be lost by the change.
   */
  replace(configs: readonly HandlerConfig[], defaultName: string): void {
    for (const { name } of configs) {
      if (name === '' || name.endsWith(PAUSE_SUFFIX)) {
        fail('invalidRequest', `use runtime handler ${JSON.stringify(name)}: not a name for one`, {
          subject: name,
        });
      }
    }
    if (!configs.some(({ name }) => name === defaultName)) {
      fail('invalidRequest', `use runtime handler ${defaultName} as the default: it is not configured`, {
        subject: defaultName,
      });
    }
    const handlers = configs.map((config) => this.#located(config));
    for (const handler of handlers) this.#refuseChange(handler);
    for (const old of this.#handlers) this.#retired.set(old.name, old);
    for (const { name } of handlers) this.#retired.delete(name);
    this.#handlers = handlers;
    this.#defaultName = defaultName;
    for (const name of [...this.#results.keys()])
      if (!handlers.some((handler) => handler.name === name)) this.#results.delete(name);
  }

  /** One of an earlier configuration, unless it is in this one, too. */
  retire(config: HandlerConfig): void {
    if (this.#handlers.some(({ name }) => name === config.name)) return;
    this.#retired.set(config.name, this.#located(config));
  }

  #located(config: HandlerConfig): Handler {
    return { ...config, root: config.root ?? this.#rootOf(config.name) };
  }

  /** The state of pods is found by kind and root: with other ones under the same name theirs would be out of reach. */
  #refuseChange({ name, kind, root }: Handler): void {
    const old = this.#handlers.find((handler) => handler.name === name) ?? this.#retired.get(name);
    if (old === undefined || (old.kind === kind && old.root === root)) return;
    const what = old.kind === kind ? 'root' : 'type';
    fail(
      'invalidRequest',
      `use runtime handler ${name} with another ${what}: its pods need the old one; take another name for it`,
      { subject: name },
    );
  }

  /** The handler of that name, empty for the default one; also one that is no longer configured. Throws `notFound`. */
  resolve(name: string): Handler {
    const wanted = name === '' ? this.#defaultName : name;
    const found = this.#handlers.find((handler) => handler.name === wanted) ?? this.#retired.get(wanted);
    if (found === undefined)
      return fail('notFound', `use runtime handler ${wanted}: it is not configured`, { subject: wanted });
    return { ...found, path: this.#results.get(found.name)?.standIn ?? found.path };
  }

  /** The configured ones. */
  all(): readonly Handler[] {
    return this.#handlers;
  }

  /** Those that are kept for their pods, too. */
  known(): readonly Handler[] {
    return [...this.#handlers, ...this.#retired.values()];
  }

  /** Whether an exec can have a cgroup of its own; false until probed. */
  canExecInCgroup(name: string): boolean {
    return this.#results.get(name)?.execCgroup ?? false;
  }

  /** What the generator of specs must know of it. Throws `notFound`. */
  specHandler(name: string): SpecHandler {
    const handler = this.resolve(name);
    return {
      recursiveReadOnlyMounts: this.#results.get(handler.name)?.recursiveReadOnlyMounts ?? false,
      allowedAnnotations: handler.allowedAnnotations ?? [],
      defaultAnnotations: handler.defaultAnnotations ?? {},
      privilegedWithoutHostDevices: handler.privilegedWithoutHostDevices ?? false,
      seccompProfile: handler.seccompProfile ?? '',
    };
  }

  /** The outcome of a probe; dropped when the handler has gone meanwhile. */
  set(name: string, result: ProbeResult): void {
    if (this.#handlers.some((handler) => handler.name === name)) this.#results.set(name, result);
  }

  /** As the port lists them: the default one first under the empty name, then each under its own. */
  statuses(): readonly HandlerStatus[] {
    const own = this.#handlers.map(({ name, kind }): HandlerStatus => {
      const { execCgroup: _exec, standIn: _standIn, ...told } = this.#results.get(name) ?? notProbed;
      return { name, target: name, needsPause: kind === 'vm', ...told };
    });
    const standard = own.find((status) => status.name === this.#defaultName);
    return standard === undefined ? own : [{ ...standard, name: '' }, ...own];
  }
}
