/** `runtime`: how containers are run, and by which handlers. */
import type { Rule } from './config-rule.ts';

export interface HandlerSettings {
  /** Absolute path, or the name of a program to be found in the usual directories; empty: as the handler is called. */
  readonly path?: string;
  /** `oci`: a program with runc's command line. `vm`: a shim of containerd's runtime v2, such as Kata's. */
  readonly type?: 'oci' | 'vm';
  /** The runtime's state directory, of this instance alone; empty: one of ours. */
  readonly root?: string;
  /** More options of the runtime before its verb. */
  readonly options?: readonly string[];
  /** In place of `runtime.monitor`; empty for that. */
  readonly monitor?: string;
  readonly no_pivot?: boolean;
  /** The shim's own configuration file; empty: its default. */
  readonly config_path?: string;
  /** Annotations of pods that reach the runtime: whole names, or beginnings that end with `*`. */
  readonly allowed_annotations?: readonly string[];
  readonly default_annotations?: Readonly<Record<string, string>>;
  readonly privileged_without_host_devices?: boolean;
  /** Profile that RuntimeDefault stands for with this handler; empty: our own. */
  readonly seccomp_profile?: string;
}

/** A resource limit of processes (getrlimit(2)); `unlimited` or a number. */
export interface RlimitSettings {
  readonly soft: number | 'unlimited';
  readonly hard: number | 'unlimited';
}

export interface RuntimeSettings {
  readonly default_handler: string;
  readonly monitor: string;
  readonly handlers: Readonly<Record<string, HandlerSettings>>;
  /** Limits of every container's processes by their name in small letters, such as `nofile`. */
  readonly rlimits: Readonly<Record<string, RlimitSettings>>;
  /** Files of the Container Device Interface, a later directory over an earlier one. */
  readonly cdi_dirs: readonly string[];
  /** Files of OCI hooks, a later directory over an earlier one. */
  readonly hooks_dirs: readonly string[];
  /** Requested devices belong to the container's run_as_user and run_as_group. */
  readonly device_ownership_from_security_context: boolean;
  /** Bytes after which a container's log is emptied and begins anew. */
  readonly log_size_max: number | 'unlimited';
  /** CRIU's program; empty: no checkpoints. */
  readonly criu: string;
  /** Whether CreateContainer and RestorePod restore checkpoints, whose processes get the rights that the archive says. */
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
  path: { is: 'text' },
  type: { is: 'oneOf', values: ['oci', 'vm'] },
  root: { is: 'optionalPath' },
  // whole words: what follows an option as a word of its own could be read as the verb
  options: {
    is: 'words',
    form: /^--?[A-Za-z][^\0]*$/u,
    must: 'be a list of options such as "--debug" or "--platform=kvm"',
  },
  monitor: { is: 'text' },
  no_pivot: { is: 'yesOrNo' },
  config_path: { is: 'optionalPath' },
  allowed_annotations: {
    is: 'words',
    form: /^[^*\0]*\*?$/u,
    must: 'be a list of annotations, or of their beginnings followed by *',
  },
  default_annotations: { is: 'texts' },
  privileged_without_host_devices: { is: 'yesOrNo' },
  seccomp_profile: { is: 'optionalPath' },
};

export const runtimeRule: Rule = {
  is: 'table',
  keys: {
    default_handler: { is: 'text' },
    monitor: { is: 'text' },
    handlers: { is: 'named', each: handlerRules, name: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u },
    rlimits: {
      is: 'named',
      each: { soft: { is: 'limit' }, hard: { is: 'limit' } },
      isWhole: true,
      name: /^(?:as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)$/u,
    },
    cdi_dirs: { is: 'paths' },
    hooks_dirs: { is: 'paths' },
    device_ownership_from_security_context: { is: 'yesOrNo' },
    // conmon reads 8 KiB at once, and could not write that
    log_size_max: { is: 'limit', least: 8192 },
    criu: { is: 'text' },
    restore: { is: 'yesOrNo' },
  },
};
