/** `nri`: plugins of the Node Resource Interface; off unless a socket or a directory is named. */
import { nriLimits } from '../../../nri/bounds.ts';
import type { ValidatorSettings } from '../../../nri/validator.ts';
import type { Rule } from './config-rule.ts';

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

export const nriRule: Rule = {
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
        required_plugins: {
          is: 'words',
          form: /^[A-Za-z0-9_.+-]+$/u,
          must: 'be a list of plugin names without index',
        },
        tolerate_missing_plugins_annotation: { is: 'text' },
      },
    },
  },
};
