/** `images`: where images come from, and which ones are accepted. */
import { storageLimits } from '../../../oci/bounds.ts';
import { distributionLimits } from '../../../oci/images/bounds.ts';
import type { SecretUrl } from '../../../base/secret-url.ts';
import type { ConfigKey } from './config-rule.ts';

export interface ImagesSettings {
  readonly registries_conf: string;
  readonly registries_conf_dir: string;
  /** Images that garbage collection keeps: names, prefixes followed by `*`, parts between two `*`. */
  readonly pinned: readonly string[];
  readonly auth_files: readonly string[];
  /**
   * Credentials for one pull in one namespace each: `<namespace>-<sha256 of the image's name>.json`; empty for none.
   */
  readonly namespaced_auth_dir: string;
  readonly certs_dirs: readonly string[];
  /** containers-policy.json(5); a missing file, or an empty path, accepts every image. */
  readonly signature_policy: string;
  /** `<namespace>.json` in it replaces that file for pods of the namespace; empty for none. */
  readonly signature_policy_dir: string;
  /** Where signatures are, containers-registries.d(5). */
  readonly registries_d: string;
  /** Milliseconds without progress after which a download is interrupted and resumed, or tried at a mirror. */
  readonly progress_timeout_ms: number;
  /** Layers that are downloaded and unpacked at once, over all images. */
  readonly parallel_downloads: number;
  /** The same from one registry. */
  readonly parallel_downloads_per_registry: number;
  readonly http_proxy: SecretUrl | '';
  readonly https_proxy: SecretUrl | '';
  readonly no_proxy: string;
}

export const imagesDefaults: ImagesSettings = {
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
};

const proxyRule: ConfigKey = {
  is: 'secretUrl',
  form: /^https?:\/\/[^\s\0]+$/u,
  must: 'be the URL of a proxy',
  reload: true,
};

export const imagesRule: ConfigKey = {
  is: 'table',
  keys: {
    registries_conf: { is: 'optionalPath', reload: true },
    registries_conf_dir: { is: 'optionalPath', reload: true },
    pinned: {
      is: 'words',
      form: /^(?:[^*\s\0]+\*?|\*[^*\s\0]+\*)$/u,
      must: 'be a list of names, of prefixes followed by *, or of parts between two *',
      reload: true,
    },
    auth_files: { is: 'paths', reload: true },
    namespaced_auth_dir: { is: 'optionalPath', reload: true },
    certs_dirs: { is: 'paths', reload: true },
    signature_policy: { is: 'optionalPath', reload: true },
    signature_policy_dir: { is: 'optionalPath', reload: true },
    registries_d: { is: 'optionalPath', reload: true },
    progress_timeout_ms: { is: 'milliseconds', most: distributionLimits.stallMostMs, reload: true },
    parallel_downloads: { is: 'count', most: storageLimits.transfersMost, reload: true },
    parallel_downloads_per_registry: { is: 'count', most: storageLimits.transfersMost, reload: true },
    http_proxy: proxyRule,
    https_proxy: proxyRule,
    no_proxy: {
      is: 'optionalForm',
      form: /^[^\s\0]+$/u,
      must: 'be a comma-separated list of hosts',
      reload: true,
    },
  },
};
