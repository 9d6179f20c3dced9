/**
 * The built-in validator, with the rules and names of NRI's own (nri, plugins/default-validator): which kinds
 * of adjustment plugins may not make, and which plugins must be connected. Pure.
 */
import { fail } from '../base/fault.ts';
import type { NriPod } from '../ports/nri.ts';
import type { ContainerSpec } from '../ports/specs.ts';
import { Field } from '../gen/nri/v1alpha1/api_pb.ts';
import type { Owners } from './owners.ts';

export interface ValidatorSettings {
  readonly enable: boolean;
  readonly reject_oci_hook_adjustment: boolean;
  readonly reject_runtime_default_seccomp_adjustment: boolean;
  readonly reject_unconfined_seccomp_adjustment: boolean;
  readonly reject_custom_seccomp_adjustment: boolean;
  readonly reject_namespace_adjustment: boolean;
  readonly reject_sysctl_adjustment: boolean;
  /** Plugin names without index; no container is created while one of them is missing. */
  readonly required_plugins: readonly string[];
  /** Annotation of pods that may run without them; empty for none. */
  readonly tolerate_missing_plugins_annotation: string;
}

/** Annotation by which a pod names the plugins that it needs. */
const REQUIRED_PLUGINS = 'required-plugins.noderesource.dev';

const SECCOMP_RULES = {
  unconfined: 'reject_unconfined_seccomp_adjustment',
  runtimeDefault: 'reject_runtime_default_seccomp_adjustment',
  localhost: 'reject_custom_seccomp_adjustment',
} as const;

export interface Validated {
  readonly id: string;
  readonly spec: ContainerSpec;
  readonly pod: NriPod;
  readonly owners: Owners;
  /** Names without index of the plugins that were called. */
  readonly plugins: readonly string[];
}

/** Throws `denied` with the plugin's name and the adjustment that is not allowed. */
export function validate(settings: ValidatorSettings, { id, spec, pod, owners, plugins }: Validated): void {
  if (!settings.enable) return;
  const refuse = (who: string | undefined, what: string): void => {
    if (who !== undefined)
      fail(
        'denied',
        `nri: plugin ${who} adjusted ${what} of container ${spec.key.name}: this node's configuration does not allow it`,
        { subject: id },
      );
  };
  if (settings.reject_oci_hook_adjustment) refuse(owners.ownerOf(id, Field.OciHooks), 'OCI hooks');
  const profile = spec.security.privileged ? 'unconfined' : spec.security.seccomp.type;
  if (settings[SECCOMP_RULES[profile]])
    refuse(owners.ownerOf(id, Field.SeccompPolicy), `the ${profile} seccomp policy`);
  for (const [isRejected, field, what] of [
    [settings.reject_namespace_adjustment, Field.Namespace, 'namespace'],
    [settings.reject_sysctl_adjustment, Field.Sysctl, 'sysctl'],
  ] as const) {
    if (!isRejected) continue;
    for (const { key, plugin } of owners.touchedOf(id, field)) refuse(plugin, `${what} ${key}`);
  }
  checkRequired(settings, { spec, pod, plugins });
}

function checkRequired(
  settings: ValidatorSettings,
  about: Pick<Validated, 'spec' | 'pod' | 'plugins'>,
): void {
  const missing = missingPlugins(settings, about);
  if (missing.length === 0) return;
  const { name } = about.spec.key;
  fail('denied', `nri: create container ${name}: required plugin ${missing.join(', ')} not found`, {
    subject: name,
  });
}

/** Names of the plugins without which this container may not be created, and that are not among `plugins`. */
export function missingPlugins(
  settings: ValidatorSettings,
  { spec, pod, plugins }: Pick<Validated, 'spec' | 'pod' | 'plugins'>,
): readonly string[] {
  if (!settings.enable) return [];
  const annotation = (key: string): string | undefined => effective(pod.spec.annotations, key, spec.key.name);
  const tolerated = settings.tolerate_missing_plugins_annotation;
  if (tolerated !== '' && isTrue(annotation(tolerated))) return [];
  const required = [...settings.required_plugins, ...namesIn(annotation(REQUIRED_PLUGINS))];
  return required.filter((name) => !plugins.includes(name));
}

/** A container's own annotation, or else its pod's. */
function effective(
  annotations: Readonly<Record<string, string>>,
  key: string,
  container: string,
): string | undefined {
  return annotations[`${key}/container.${container}`] ?? annotations[`${key}/pod`] ?? annotations[key];
}

/** True for the values that Go's ParseBool accepts. */
function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value);
}

/** The names in a YAML list of either plain form: `[a, b]`, or one `- a` per line. */
function namesIn(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  const list = text.trim();
  const parts =
    list.startsWith('[') && list.endsWith(']')
      ? list.slice(1, -1).split(',')
      : list.split('\n').map((line) => line.replace(/^\s*-\s*/u, ''));
  return parts.map((part) => part.trim().replace(/^(["'])(.*)\1$/u, '$2')).filter((name) => name !== '');
}
