/** What a configuration may say, and its defaults. Every key is here; anything else is refused with its line. */
import { distributionLimits, nriLimits, storageLimits } from '../base/limits.ts';
import type { SecretUrl } from '../base/secret-url.ts';
import type { ValidatorSettings } from '../nri/validator.ts';

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

export interface Config {
  /** What survives a reboot: journal, images, what containers wrote. */
  readonly root: string;
  /** What does not: bundles, exit files, namespace pins. A tmpfs. */
  readonly state: string;
  /** The CRI socket. */
  readonly socket: string;
  readonly log: { readonly level: string };
  readonly cgroup: {
    readonly driver: 'cgroupfs' | 'systemd';
    /** Parent of pods whose client names none: a cgroup's path, or with the systemd driver a slice. */
    readonly parent: string;
  };
  readonly runtime: {
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
  };
  readonly network: {
    readonly config_dir: string;
    readonly plugin_dirs: readonly string[];
    /** Name of the network to use; empty for the first by file name. */
    readonly name: string;
    /** Where plugins and their daemons are shown the pods' network namespaces; empty for nowhere but our own pins. */
    readonly netns_dir: string;
    readonly default_bridge: string;
    readonly default_subnet: string;
  };
  readonly streaming: {
    /** Address of the server for exec, attach and port-forward; the kubelet must reach it. */
    readonly address: string;
    /** 0: one that is free. */
    readonly port: number;
    /** PEM files; both empty: without TLS. Read again when they change. */
    readonly tls_cert: string;
    readonly tls_key: string;
    /** PEM file of the authority whose certificates clients must show; empty: they show none. */
    readonly tls_client_ca: string;
    /** Names that a request's Host or Origin may hold beside addresses, localhost and this node's name. */
    readonly allowed_hosts: readonly string[];
  };
  readonly introspection: {
    /** Empty: `introspection.sock` in the state directory. */
    readonly socket: string;
    /** Loopback address and port of the page and the metrics, such as `127.0.0.1:9095`; empty: neither is served. */
    readonly http_address: string;
    /** `token`: scrapes need the page's token, too; `open`: whoever can reach the address may scrape. */
    readonly metrics: string;
  };
  readonly tracing: {
    /** Base address of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; empty: no traces. */
    readonly endpoint: string;
  };
  /** Plugins of the Node Resource Interface; none without a socket and a directory. */
  readonly nri: {
    /** Where plugins connect; empty: nowhere. NRI's own place is /var/run/nri/nri.sock. */
    readonly socket: string;
    /** Plugins that are started with the daemon, by NN-name; empty: none. NRI's own place is /opt/nri/plugins. */
    readonly plugin_dir: string;
    /** Their configuration files. */
    readonly plugin_config_dir: string;
    readonly registration_timeout_ms: number;
    readonly request_timeout_ms: number;
    /** What plugins may not do. */
    readonly default_validator: ValidatorSettings;
  };
  /** Where images and what containers write are kept, and how a root file system is made of an image. */
  readonly storage: {
    /** `overlay`, `fuse-overlayfs`, `vfs`, `btrfs` or `erofs`. */
    readonly driver: string;
    /** Where images are; empty: below `root`, with the containers. */
    readonly image_store: string;
    /** Roots of other troupes whose layers are used and never written. */
    readonly additional_stores: readonly string[];
    /** With overlay and erofs: a change of owner or mode alone copies no file. */
    readonly overlay_metacopy: boolean;
    /** What containers write is not synced to the disk, also where they ask for it. */
    readonly overlay_volatile: boolean;
    /** Bytes that one container may write. */
    readonly container_size: number | 'unlimited';
    /** Of the driver fuse-overlayfs. */
    readonly mount_program: string;
    /** Of the driver erofs. */
    readonly erofs_program: string;
  };
  readonly images: {
    readonly registries_conf: string;
    readonly registries_conf_dir: string;
    /** Images that the kubelet's collection leaves: names, beginnings with `*` behind them, parts between two `*`. */
    readonly pinned: readonly string[];
    readonly auth_files: readonly string[];
    /** Credentials for one pull in one namespace each: `<namespace>-<sha256 of the image's name>.json`; empty for none. */
    readonly namespaced_auth_dir: string;
    readonly certs_dirs: readonly string[];
    /** containers-policy.json(5); a file that is missing, or none, accepts every image. */
    readonly signature_policy: string;
    /** `<namespace>.json` in it stands in the place of that file for pods of the namespace; empty for none. */
    readonly signature_policy_dir: string;
    /** Where signatures lie, containers-registries.d(5). */
    readonly registries_d: string;
    /** Milliseconds without progress after which a download is broken off and tried again, or elsewhere. */
    readonly progress_timeout_ms: number;
    /** Layers that are downloaded and unpacked at once, over all images. */
    readonly parallel_downloads: number;
    /** The same from one registry. */
    readonly parallel_downloads_per_registry: number;
    readonly http_proxy: SecretUrl | '';
    readonly https_proxy: SecretUrl | '';
    readonly no_proxy: string;
  };
}

/** `cgroup.parent` of the systemd driver where nothing else is configured. */
export const DEFAULT_SLICE = 'troupe.slice';

export const defaultConfig: Config = {
  root: '/var/lib/troupe',
  state: '/run/troupe',
  socket: '/run/troupe/troupe.sock',
  log: { level: 'info' },
  cgroup: { driver: 'cgroupfs', parent: '/troupe' },
  runtime: { default_handler: 'runc', monitor: 'conmon', handlers: { runc: { path: 'runc' } }, rlimits: {}, cdi_dirs: ['/etc/cdi', '/var/run/cdi'], hooks_dirs: [], device_ownership_from_security_context: false, log_size_max: 'unlimited', criu: '', restore: false },
  network: {
    config_dir: '/etc/cni/net.d',
    plugin_dirs: ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'],
    name: '',
    netns_dir: '/run/netns',
    default_bridge: 'troupe0',
    default_subnet: '10.62.0.0/16',
  },
  streaming: { address: '127.0.0.1', port: 0, tls_cert: '', tls_key: '', tls_client_ca: '', allowed_hosts: [] },
  introspection: { socket: '', http_address: '', metrics: 'token' },
  tracing: { endpoint: '' },
  nri: {
    socket: '',
    plugin_dir: '',
    plugin_config_dir: '/etc/nri/conf.d',
    registration_timeout_ms: nriLimits.registrationMs,
    request_timeout_ms: nriLimits.requestMs,
    default_validator: {
      enable: false,
      reject_oci_hook_adjustment: false,
      reject_runtime_default_seccomp_adjustment: false,
      reject_unconfined_seccomp_adjustment: false,
      reject_custom_seccomp_adjustment: false,
      reject_namespace_adjustment: false,
      reject_sysctl_adjustment: false,
      required_plugins: [],
      tolerate_missing_plugins_annotation: '',
    },
  },
  storage: {
    driver: 'overlay', image_store: '', additional_stores: [], overlay_metacopy: false, overlay_volatile: true, container_size: 'unlimited',
    mount_program: 'fuse-overlayfs', erofs_program: 'mkfs.erofs',
  },
  images: {
    registries_conf: '/etc/containers/registries.conf',
    registries_conf_dir: '/etc/containers/registries.conf.d',
    pinned: [],
    auth_files: ['/etc/troupe/auth.json'],
    namespaced_auth_dir: '',
    certs_dirs: ['/etc/containers/certs.d', '/etc/docker/certs.d'],
    signature_policy: '/etc/containers/policy.json',
    signature_policy_dir: '',
    registries_d: '/etc/containers/registries.d',
    progress_timeout_ms: distributionLimits.stallMs,
    parallel_downloads: storageLimits.transfers,
    parallel_downloads_per_registry: storageLimits.transfersPerSource,
    http_proxy: '',
    https_proxy: '',
    no_proxy: '',
  },
};

/** How a value is checked. */
export type Rule =
  | { readonly is: 'path' | 'optionalPath' | 'text' }
  | { readonly is: 'oneOf'; readonly values: readonly string[] }
  | { readonly is: 'paths' }
  | { readonly is: 'yesOrNo' }
  /** A whole number of milliseconds, from 1 on. */
  | { readonly is: 'milliseconds'; readonly most: number }
  /** A whole number from 1 on. */
  | { readonly is: 'count'; readonly most: number }
  /** A list of texts of this form. */
  | { readonly is: 'words'; readonly form: RegExp; readonly must: string }
  /** A table of texts with names of the user's own. */
  | { readonly is: 'texts' }
  /** A list of host names in small letters. */
  | { readonly is: 'hosts' }
  /** A whole number from 0 to 65535. */
  | { readonly is: 'port' }
  /** A whole number from `least` on, which is 0 if left out, or `unlimited`. */
  | { readonly is: 'limit'; readonly least?: number }
  /** A text of this form, or empty. */
  | { readonly is: 'optionalForm'; readonly form: RegExp; readonly must: string }
  /** A URL that may hold a password, or empty; it becomes a `SecretUrl`. */
  | { readonly is: 'secretUrl'; readonly form: RegExp; readonly must: string }
  | { readonly is: 'table'; readonly keys: Readonly<Record<string, Rule>> }
  /** A table with names of the user's own; replaced as a whole entry by a later file. */
  | { readonly is: 'named'; readonly each: Readonly<Record<string, Rule>>; readonly name: RegExp; /** Each entry has every key. */ readonly isWhole?: boolean };

const handlerRules: Readonly<Record<string, Rule>> = {
  path: { is: 'text' },
  type: { is: 'oneOf', values: ['oci', 'vm'] },
  root: { is: 'optionalPath' },
  // whole words: what follows an option as a word of its own could be read as the verb
  options: { is: 'words', form: /^--?[A-Za-z][^\0]*$/u, must: 'be a list of options such as "--debug" or "--platform=kvm"' },
  monitor: { is: 'text' },
  no_pivot: { is: 'yesOrNo' },
  config_path: { is: 'optionalPath' },
  allowed_annotations: { is: 'words', form: /^[^*\0]*\*?$/u, must: 'be a list of annotations, or of their beginnings followed by *' },
  default_annotations: { is: 'texts' },
  privileged_without_host_devices: { is: 'yesOrNo' },
  seccomp_profile: { is: 'optionalPath' },
};

const proxyRule: Rule = { is: 'secretUrl', form: /^https?:\/\/[^\s\0]+$/u, must: 'be the URL of a proxy' };

export const schema: Readonly<Record<string, Rule>> = {
  root: { is: 'path' },
  state: { is: 'path' },
  socket: { is: 'path' },
  log: { is: 'table', keys: { level: { is: 'oneOf', values: ['trace', 'debug', 'info', 'warn', 'error'] } } },
  cgroup: {
    is: 'table',
    keys: {
      driver: { is: 'oneOf', values: ['cgroupfs', 'systemd'] },
      parent: { is: 'optionalForm', form: /^(?:\/[^\0]*|[^\0/]+\.slice)$/u, must: 'be an absolute path, or the name of a slice such as troupe.slice' },
    },
  },
  runtime: {
    is: 'table',
    keys: {
      default_handler: { is: 'text' },
      monitor: { is: 'text' },
      handlers: { is: 'named', each: handlerRules, name: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u },
      rlimits: {
        is: 'named', each: { soft: { is: 'limit' }, hard: { is: 'limit' } }, isWhole: true,
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
  },
  network: {
    is: 'table',
    keys: {
      config_dir: { is: 'path' },
      plugin_dirs: { is: 'paths' },
      name: { is: 'text' },
      netns_dir: { is: 'optionalPath' },
      default_bridge: { is: 'text' },
      default_subnet: { is: 'text' },
    },
  },
  streaming: {
    is: 'table',
    keys: {
      address: { is: 'optionalForm', form: /^[0-9a-fA-F:.]+$/u, must: 'be an IPv4 or IPv6 address' },
      port: { is: 'port' },
      tls_cert: { is: 'optionalPath' },
      tls_key: { is: 'optionalPath' },
      tls_client_ca: { is: 'optionalPath' },
      allowed_hosts: { is: 'hosts' },
    },
  },
  introspection: {
    is: 'table',
    keys: {
      socket: { is: 'optionalPath' },
      http_address: {
        is: 'optionalForm',
        form: /^(?:127(?:\.\d{1,3}){3}|\[::1\]|localhost):\d{1,5}$/u,
        must: 'be a loopback address with a port, such as 127.0.0.1:9095: the page is for this machine only',
      },
      metrics: { is: 'oneOf', values: ['token', 'open'] },
    },
  },
  tracing: {
    is: 'table',
    keys: { endpoint: { is: 'optionalForm', form: /^https?:\/\/[^\s/@?#]+(?:\/[^\s?#]*)?$/u, must: 'be an http or https address without credentials and query' } },
  },
  nri: {
    is: 'table',
    keys: {
      socket: { is: 'optionalPath' },
      plugin_dir: { is: 'optionalPath' },
      plugin_config_dir: { is: 'path' },
      registration_timeout_ms: { is: 'milliseconds', most: nriLimits.timeoutMostMs },
      request_timeout_ms: { is: 'milliseconds', most: nriLimits.timeoutMostMs },
      default_validator: {
        is: 'table',
        keys: {
          enable: { is: 'yesOrNo' },
          reject_oci_hook_adjustment: { is: 'yesOrNo' },
          reject_runtime_default_seccomp_adjustment: { is: 'yesOrNo' },
          reject_unconfined_seccomp_adjustment: { is: 'yesOrNo' },
          reject_custom_seccomp_adjustment: { is: 'yesOrNo' },
          reject_namespace_adjustment: { is: 'yesOrNo' },
          reject_sysctl_adjustment: { is: 'yesOrNo' },
          required_plugins: { is: 'words', form: /^[A-Za-z0-9_.+-]+$/u, must: 'be a list of names of plugins, without index' },
          tolerate_missing_plugins_annotation: { is: 'text' },
        },
      },
    },
  },
  storage: {
    is: 'table',
    keys: {
      // names of drivers that are gone are answered with the reason where the driver is made
      driver: { is: 'text' },
      image_store: { is: 'optionalPath' },
      additional_stores: { is: 'paths' },
      overlay_metacopy: { is: 'yesOrNo' },
      overlay_volatile: { is: 'yesOrNo' },
      container_size: { is: 'limit', least: 1024 * 1024 },
      mount_program: { is: 'text' },
      erofs_program: { is: 'text' },
    },
  },
  images: {
    is: 'table',
    keys: {
      registries_conf: { is: 'optionalPath' },
      registries_conf_dir: { is: 'optionalPath' },
      pinned: { is: 'words', form: /^(?:[^*\s\0]+\*?|\*[^*\s\0]+\*)$/u, must: 'be a list of names, of beginnings followed by *, or of parts between two *' },
      auth_files: { is: 'paths' },
      namespaced_auth_dir: { is: 'optionalPath' },
      certs_dirs: { is: 'paths' },
      signature_policy: { is: 'optionalPath' },
      signature_policy_dir: { is: 'optionalPath' },
      registries_d: { is: 'optionalPath' },
      progress_timeout_ms: { is: 'milliseconds', most: distributionLimits.stallMostMs },
      parallel_downloads: { is: 'count', most: storageLimits.transfersMost },
      parallel_downloads_per_registry: { is: 'count', most: storageLimits.transfersMost },
      http_proxy: proxyRule,
      https_proxy: proxyRule,
      no_proxy: { is: 'optionalForm', form: /^[^\s\0]+$/u, must: 'be hosts with commas between them' },
    },
  },
};
