/** ContainerConfig → ContainerSpec. Pure: the caller looks up sandbox and image. */
import type { ContainerSecurity, ContainerSpec, EnvVar, Namespaces, SandboxSpec } from '../../ports/specs.ts';
import type { ContainerId, ImageId, SandboxId } from '../../base/ids.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type {
  ContainerConfig,
  KeyValue,
  LinuxContainerSecurityContext,
} from '../../gen/runtime/v1/api_pb.ts';
import type { HostPolicy } from '../call/service-options.ts';
import {
  absolutePath,
  each,
  line,
  path,
  quoted,
  refuse,
  required,
  stringMap,
  text,
  unset,
  utf8Bytes,
} from './check.ts';
import { cdiDevices } from './cdi.ts';
import { devices, mounts } from './mounts.ts';
import { containerNamespaces } from './namespaces.ts';
import type { UsernsPolicy } from './namespaces.ts';
import { resources } from './resources.ts';
import { apparmorProfile, capabilities, seccompChoice, userChoice } from './security.ts';
import { selinuxOptions } from './selinux.ts';
import { criSignalName } from './signals.ts';
import { textOfBytes } from './text-of-bytes.ts';

/** What a ContainerConfig is checked against. */
export interface ContainerSurroundings extends HostPolicy, UsernsPolicy {
  readonly sandboxId: SandboxId;
  readonly sandbox: SandboxSpec;
  readonly isPrivilegedPod: boolean;
  /** Whether the sandbox's handler supports recursive read-only mounts. */
  readonly recursiveReadOnlyMounts: boolean;
  /** Finds the container of a target_id within this sandbox. */
  readonly findTarget: (id: string) => ContainerId | undefined;
  /** Finds the image of that name; throws `notFound`. */
  readonly findImage: (name: string) => ImageId;
}

/** The container that a config describes. Throws `invalidRequest` with the field's name. */
export function containerSpec(
  config: ContainerConfig | undefined,
  around: ContainerSurroundings,
): ContainerSpec {
  if (config === undefined) return refuse('config', 'is missing');
  unset('config.windows', config.windows === undefined, 'Windows is');
  const { metadata, linux } = config;
  if (metadata === undefined) return refuse('config.metadata', 'is missing');
  const parsed = {
    key: {
      sandboxId: around.sandboxId,
      name: line(
        'config.metadata.name',
        required('config.metadata.name', metadata.name),
        requestLimits.nameBytes,
      ),
      attempt: metadata.attempt,
    },
    imageRequested: line(
      'config.image.image',
      required('config.image.image', config.image?.image ?? ''),
      portLimits.imageNameBytes,
    ),
    imageUserSpecified: line(
      'config.image.user_specified_image',
      config.image?.userSpecifiedImage ?? '',
      portLimits.imageNameBytes,
    ),
    command: words('config.command', config.command),
    args: words('config.args', config.args),
    workingDir: config.workingDir === '' ? '' : absolutePath('config.working_dir', config.workingDir),
    env: env('config.envs', config.envs),
    mounts: mounts('config.mounts', config.mounts, around),
    devices: devices('config.devices', config.devices, around.sandbox.namespaces),
    ...cdi(config),
    labels: stringMap('config.labels', config.labels),
    annotations: stringMap('config.annotations', config.annotations),
    logPath: logPath('config.log_path', config.logPath),
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    resources: resources('config.linux.resources', linux?.resources),
    security: security('config.linux.security_context', linux?.securityContext, around),
    ...label(linux?.securityContext, around),
    stopSignal: criSignalName('config.stop_signal', config.stopSignal),
  };
  // last, so that an invalid field is reported even when the image is also missing
  return { ...parsed, imageId: around.findImage(parsed.imageRequested) };
}

function label(
  context: LinuxContainerSecurityContext | undefined,
  { selinuxEnabled }: HostPolicy,
): Pick<ContainerSpec, 'selinux'> {
  const selinux = selinuxOptions(
    'config.linux.security_context.selinux_options',
    context?.selinuxOptions,
    selinuxEnabled,
  );
  return selinux === undefined ? {} : { selinux };
}

function cdi({ CDIDevices, annotations }: ContainerConfig): Pick<ContainerSpec, 'cdiDevices'> {
  const names = cdiDevices('config.CDI_devices', CDIDevices, annotations);
  return names.length === 0 ? {} : { cdiDevices: names };
}

/** Arguments within the limits of execve. */
export function words(field: string, items: readonly string[]): readonly string[] {
  let bytes = 0;
  const checked = each(
    field,
    items,
    (at, item) => {
      bytes += utf8Bytes(text(at, item, requestLimits.argumentBytes)) + 1;
      return item;
    },
    requestLimits.arguments,
  );
  return bytes > requestLimits.argumentsBytes
    ? refuse(field, `${bytes} bytes together, more than ${requestLimits.argumentsBytes}`)
    : checked;
}

function env(field: string, variables: readonly KeyValue[]): readonly EnvVar[] {
  let bytes = 0;
  const checked = each(
    field,
    variables,
    (at, { key, value }) => {
      const name = text(`${at}.key`, required(`${at}.key`, key), requestLimits.argumentBytes);
      if (name.includes('=')) refuse(`${at}.key`, `${quoted(name)} contains =`);
      const variable = { name, value: variableValue(`${at}.value`, name, value) };
      bytes += utf8Bytes(name) + utf8Bytes(variable.value) + 2;
      return variable;
    },
    requestLimits.arguments,
  );
  return bytes > requestLimits.argumentsBytes
    ? refuse(field, `${bytes} bytes together, more than ${requestLimits.argumentsBytes}`)
    : checked;
}

/** The value of a variable, as text. No message quotes it: it may be a secret. */
function variableValue(field: string, name: string, bytes: Uint8Array): string {
  const room = requestLimits.argumentBytes - utf8Bytes(name) - 1;
  const tooLong = (): never =>
    refuse(
      field,
      `longer than ${requestLimits.argumentBytes} bytes with its name, the kernel's limit of one variable`,
    );
  if (bytes.length > room) tooLong();
  const value = textOfBytes(bytes);
  // the replacement of an invalid byte has three bytes
  if (utf8Bytes(value) > room) tooLong();
  if (value.includes('\0')) refuse(field, 'contains a NUL');
  // HOME becomes a field of a line in /etc/passwd (S04)
  if (name === 'HOME' && /[\n\r:]/u.test(value)) refuse(field, 'HOME contains a line break or a colon');
  return value;
}

/** A path below the sandbox's log_directory (S75). */
function logPath(field: string, value: string): string {
  if (value === '') return '';
  path(field, line(field, value, portLimits.pathBytes));
  if (value.startsWith('/')) refuse(field, `${quoted(value)} is absolute`);
  const last = value.split('/').at(-1);
  return last === '' || last === '.' ? refuse(field, `${quoted(value)} names a directory`) : value;
}

function security(
  field: string,
  context: LinuxContainerSecurityContext | undefined,
  around: ContainerSurroundings,
): ContainerSecurity {
  const privileged = context?.privileged ?? false;
  if (privileged && !around.isPrivilegedPod)
    refuse(`${field}.privileged`, 'is set, but the sandbox is not privileged');
  return {
    privileged,
    capabilities: capabilities(`${field}.capabilities`, context?.capabilities, around),
    namespaces: namespaces(`${field}.namespace_options`, context, around),
    user: userChoice(field, {
      runAsUser: context?.runAsUser,
      runAsGroup: context?.runAsGroup,
      runAsUsername: context?.runAsUsername ?? '',
      supplementalGroups: context?.supplementalGroups ?? [],
      supplementalGroupsPolicy: context?.supplementalGroupsPolicy ?? 0,
    }),
    readonlyRootfs: context?.readonlyRootfs ?? false,
    noNewPrivs: context?.noNewPrivs ?? false,
    // an empty list in a security context means procMount Unmasked; without a context the defaults apply
    maskedPaths:
      context === undefined
        ? around.defaultMaskedPaths
        : hidden(`${field}.masked_paths`, context.maskedPaths),
    readonlyPaths:
      context === undefined
        ? around.defaultReadonlyPaths
        : hidden(`${field}.readonly_paths`, context.readonlyPaths),
    seccomp: seccompChoice(field, context?.seccomp, context?.seccompProfilePath ?? ''),
    apparmorProfile: apparmorProfile(field, context?.apparmor, context?.apparmorProfile ?? '', around),
  };
}

function hidden(field: string, paths: readonly string[]): readonly string[] {
  return each(field, paths, absolutePath, requestLimits.hiddenPaths);
}

function namespaces(
  field: string,
  context: LinuxContainerSecurityContext | undefined,
  around: ContainerSurroundings,
): Namespaces {
  return containerNamespaces(field, context?.namespaceOptions, around.sandbox.namespaces, around.findTarget);
}
