/** `nri`: plugins of the Node Resource Interface; off unless a socket or a directory is named. */
import { nriLimits } from '../../../nri/bounds.ts';
import type { ValidatorSettings } from '../../../nri/validator.ts';
import { optionalSocketRule } from './config-rule.ts';
import type { ConfigKey } from './config-rule.ts';

export interface NriSettings {
  /** Where plugins connect; empty: no socket. NRI's default is /var/run/nri/nri.sock. */
  readonly socket: string;
  /** Plugins that are started with the daemon, files NN-name; empty: none. NRI's default is /opt/nri/plugins. */
  readonly plugin_dir: string;
  /** Their configuration files. */
  readonly plugin_config_dir: string;
  readonly registration_timeout_ms: number;
  readonly request_timeout_ms: number;
  /** What plugins may not do, and which are required. */
  readonly default_validator: ValidatorSettings;
}

export const nriDefaults: NriSettings = {
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
};

export const nriRule: ConfigKey = {
  is: 'table',
  keys: {
    socket: { ...optionalSocketRule, reload: false },
    plugin_dir: { is: 'optionalPath', reload: false },
    plugin_config_dir: { is: 'path', reload: false },
    registration_timeout_ms: { is: 'milliseconds', most: nriLimits.timeoutMostMs, reload: false },
    request_timeout_ms: { is: 'milliseconds', most: nriLimits.timeoutMostMs, reload: false },
    default_validator: {
      is: 'table',
      keys: {
        enable: { is: 'yesOrNo', reload: false },
        reject_oci_hook_adjustment: { is: 'yesOrNo', reload: false },
        reject_runtime_default_seccomp_adjustment: { is: 'yesOrNo', reload: false },
        reject_unconfined_seccomp_adjustment: { is: 'yesOrNo', reload: false },
        reject_custom_seccomp_adjustment: { is: 'yesOrNo', reload: false },
        reject_namespace_adjustment: { is: 'yesOrNo', reload: false },
        reject_sysctl_adjustment: { is: 'yesOrNo', reload: false },
        required_plugins: {
          is: 'words',
          form: /^[A-Za-z0-9_.+-]+$/u,
          must: 'be a list of plugin names without index',
          reload: false,
        },
        tolerate_missing_plugins_annotation: { is: 'text', reload: false },
      },
    },
  },
};
