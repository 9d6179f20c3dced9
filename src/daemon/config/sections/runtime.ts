/** `runtime`: how containers are run, and by which handlers. */
import { optionalProgramRule, programRule } from './config-rule.ts';
import type { ConfigKey, Rule } from './config-rule.ts';

export interface HandlerSettings {
  /** Absolute path, or the name of a program in the usual directories; empty: the handler's name. */
  readonly path?: string;
  /** `oci`: a program with runc's command line. `vm`: a shim of containerd's runtime v2, such as Kata's. */
  readonly type?: 'oci' | 'vm';
  /** The runtime's state directory, of this instance only; empty: below the state directory. */
  readonly root?: string;
  /** More options of the runtime before its verb. */
  readonly options?: readonly string[];
  /** Overrides `runtime.monitor`; empty: that one. */
  readonly monitor?: string;
  /** Start and delete of a known release of runc without running it. */
  readonly shortcuts?: boolean;
  /** RuntimeDefault with runc as rules that deny, which it loads faster. */
  readonly short_seccomp?: boolean;
  readonly no_pivot?: boolean;
  /** The shim's own configuration file; empty: its default. */
  readonly config_path?: string;
  /** Annotations of pods that reach the runtime: whole names, or prefixes followed by `*`. */
  readonly allowed_annotations?: readonly string[];
  readonly default_annotations?: Readonly<Record<string, string>>;
  readonly privileged_without_host_devices?: boolean;
  /** Profile for RuntimeDefault with this handler; empty: troupe's own. */
  readonly seccomp_profile?: string;
}

/** A resource limit of processes (getrlimit(2)); `unlimited` or a number. */
export interface RlimitSettings {
  readonly soft: number | 'unlimited';
  readonly hard: number | 'unlimited';
}

export interface RuntimeSettings {
  /** A name of `handlers`, or `auto`: crun where it can do what runc does on this machine, else runc. */
  readonly default_handler: string;
  readonly monitor: string;
  readonly handlers: Readonly<Record<string, HandlerSettings>>;
  /** Limits of every container's processes by lower-case name, such as `nofile`. */
  readonly rlimits: Readonly<Record<string, RlimitSettings>>;
  /** Directories of the Container Device Interface; later ones override earlier ones. */
  readonly cdi_dirs: readonly string[];
  /** Directories of OCI hooks; later ones override earlier ones. */
  readonly hooks_dirs: readonly string[];
  /** Requested devices belong to the container's run_as_user and run_as_group. */
  readonly device_ownership_from_security_context: boolean;
  /** Bytes after which a container's log is truncated. */
  readonly log_size_max: number | 'unlimited';
  /** CRIU's program; empty: no checkpoints. */
  readonly criu: string;
  /** Whether CreateContainer and RestorePod restore checkpoints, whose processes get the rights in the archive. */
  readonly restore: boolean;
}

export const runtimeDefaults: RuntimeSettings = {
  default_handler: 'runc',
  monitor: 'conmon',
  handlers: { runc: { path: 'runc' } },
  rlimits: {},
  cdi_dirs: ['/etc/cdi', '/var/run/cdi'],
  hooks_dirs: [],
  device_ownership_from_security_context: false,
  log_size_max: 'unlimited',
  criu: '',
  restore: false,
};

const handlerRules: Readonly<Record<string, Rule>> = {
  path: optionalProgramRule,
  type: { is: 'oneOf', values: ['oci', 'vm'] },
  root: { is: 'optionalPath' },
  // each option is one word: a separate value could be read as the verb
  options: {
    is: 'words',
    form: /^--?[A-Za-z][^\0]*$/u,
    must: 'be a list of options such as "--debug" or "--platform=kvm"',
  },
  monitor: optionalProgramRule,
  shortcuts: { is: 'yesOrNo' },
  short_seccomp: { is: 'yesOrNo' },
  no_pivot: { is: 'yesOrNo' },
  config_path: { is: 'optionalPath' },
  allowed_annotations: {
    is: 'words',
    form: /^[^*\0]*\*?$/u,
    must: 'be a list of annotations, or of prefixes followed by *',
  },
  default_annotations: { is: 'texts' },
  privileged_without_host_devices: { is: 'yesOrNo' },
  seccomp_profile: { is: 'optionalPath' },
};

export const runtimeRule: ConfigKey = {
  is: 'table',
  keys: {
    default_handler: { is: 'text', reload: true },
    monitor: { ...programRule, reload: true },
    handlers: { is: 'named', each: handlerRules, name: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u, reload: true },
    rlimits: {
      is: 'named',
      each: { soft: { is: 'limit' }, hard: { is: 'limit' } },
      isWhole: true,
      name: /^(?:as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)$/u,
      reload: true,
    },
    cdi_dirs: { is: 'paths', reload: true },
    hooks_dirs: { is: 'paths', reload: true },
    device_ownership_from_security_context: { is: 'yesOrNo', reload: true },
    // conmon writes pieces of 8 KiB, which must fit
    log_size_max: { is: 'limit', least: 8192, reload: true },
    criu: { ...optionalProgramRule, reload: false },
    restore: { is: 'yesOrNo', reload: false },
  },
};
