/** PodSandboxConfig → SandboxSpec. Pure. */
import type { SandboxKey, SandboxSpec } from '../../ports/specs.ts';
import { requestLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type {
  LinuxPodSandboxConfig,
  PodSandboxConfig,
  PodSandboxMetadata,
} from '../../gen/runtime/v1/api_pb.ts';
import type { HostPolicy } from '../call/service-options.ts';
import { absolutePath, line, path, quoted, refuse, required, stringMap, unset } from './check.ts';
import { sandboxNamespaces } from './namespaces.ts';
import type { UsernsPolicy } from './namespaces.ts';
import { dnsConfig, portMappings } from './network.ts';
import { resources } from './resources.ts';
import { apparmorProfile, seccompChoice, userChoice } from './security.ts';
import { selinuxOptions } from './selinux.ts';
import { sysctls } from './sysctls.ts';

/** The sandbox that a config describes. Throws `invalidRequest` with the field's name. */
export function sandboxSpec(
  config: PodSandboxConfig | undefined,
  handler: string,
  policy: HostPolicy & UsernsPolicy,
): SandboxSpec {
  if (config === undefined) return refuse('config', 'is missing');
  unset('config.windows', config.windows === undefined, 'Windows is');
  const { linux } = config;
  const context = linux?.securityContext;
  const at = 'config.linux.security_context';
  const namespaces = sandboxNamespaces(`${at}.namespace_options`, context?.namespaceOptions, policy);
  const selinux = selinuxOptions(`${at}.selinux_options`, context?.selinuxOptions, policy.selinuxEnabled);
  apparmorProfile(at, context?.apparmor, '', policy);
  return {
    key: sandboxKey('config.metadata', config.metadata),
    hostname: hostname('config.hostname', config.hostname),
    logDirectory: config.logDirectory === '' ? '' : cleanPath('config.log_directory', config.logDirectory),
    dns: dnsConfig('config.dns_config', config.dnsConfig),
    portMappings: portMappings('config.port_mappings', config.portMappings, namespaces),
    labels: stringMap('config.labels', config.labels),
    annotations: stringMap('config.annotations', config.annotations),
    handler: line('runtime_handler', handler, requestLimits.nameBytes),
    cgroupParent: cgroupParent('config.linux.cgroup_parent', linux?.cgroupParent ?? '', policy),
    sysctls: sysctls('config.linux.sysctls', linux?.sysctls ?? {}, namespaces),
    namespaces,
    privileged: context?.privileged ?? false,
    user: userChoice(at, {
      runAsUser: context?.runAsUser,
      runAsGroup: context?.runAsGroup,
      runAsUsername: '',
      supplementalGroups: context?.supplementalGroups ?? [],
      supplementalGroupsPolicy: context?.supplementalGroupsPolicy ?? 0,
    }),
    readonlyRootfs: context?.readonlyRootfs ?? false,
    seccomp: seccompChoice(at, context?.seccomp, context?.seccompProfilePath ?? ''),
    ...(selinux === undefined ? {} : { selinux }),
    ...podResources(linux),
  };
}

/** The sandbox's name: every field but the attempt is required. */
function sandboxKey(field: string, metadata: PodSandboxMetadata | undefined): SandboxKey {
  if (metadata === undefined) return refuse(field, 'is missing');
  return {
    name: name(`${field}.name`, metadata.name),
    namespace: name(`${field}.namespace`, metadata.namespace),
    uid: name(`${field}.uid`, metadata.uid),
    attempt: metadata.attempt,
  };
}

/**
 * A name for CNI_ARGS, a list of `K=V` separated by semicolons: a name with these characters would add arguments, such
 * as the pod's address (S66). Slashes and dots are allowed, since names never become paths.
 */
function name(field: string, value: string): string {
  line(field, required(field, value), requestLimits.nameBytes);
  return /[;=]/u.test(value) ? refuse(field, `${quoted(value)} contains ; or =`) : value;
}

/** A host name: it becomes the content of /etc/hostname and part of a line in /etc/hosts. */
function hostname(field: string, value: string): string {
  line(field, value, requestLimits.hostnameBytes);
  return value === '' || /^[A-Za-z0-9_.-]+$/u.test(value)
    ? value
    : refuse(field, `${quoted(value)} is not a host name`);
}

function cleanPath(field: string, value: string): string {
  return line(field, absolutePath(field, value), portLimits.pathBytes);
}

/**
 * The cgroup parent without trailing slashes. Each cgroup driver has its own notation; the other driver's would create
 * cgroups in the wrong place.
 */
function cgroupParent(field: string, value: string, policy: HostPolicy): string {
  if (value === '') return '';
  path(field, line(field, value, portLimits.pathBytes));
  const parts = value.split('/');
  while (parts.at(-1) === '') parts.pop();
  if (parts.length > requestLimits.cgroupComponents)
    refuse(field, `${parts.length} components, more than ${requestLimits.cgroupComponents}`);
  const trimmed = parts.join('/');
  const isSlice = trimmed.endsWith('.slice');
  if (policy.cgroupDriver === 'systemd') {
    if (!isSlice) refuse(field, `${quoted(value)} is not a slice, but the cgroup driver is systemd`);
    // a dash separates the levels of the hierarchy (systemd.slice(5))
    if (!/^(?:-|[^-]+(?:-[^-]+)*)\.slice$/u.test(parts.at(-1) ?? ''))
      refuse(field, `${quoted(value)} is not a slice: a dash is first, last or doubled`);
    return trimmed;
  }
  if (isSlice) refuse(field, `${quoted(value)} is a systemd slice, but the cgroup driver is cgroupfs`);
  if (!value.startsWith('/')) refuse(field, `${quoted(value)} is not absolute`);
  if (parts.slice(1).some((part) => part === '' || part === '.'))
    refuse(field, `${quoted(value)} has an empty component or a dot`);
  return trimmed;
}

/** Resources and overhead of the pod, for virtual machines and NRI plugins. The pod's cgroup belongs to the kubelet. */
function podResources(linux: LinuxPodSandboxConfig | undefined): Pick<SandboxSpec, 'resources' | 'overhead'> {
  return {
    ...(linux?.resources === undefined
      ? {}
      : { resources: resources('config.linux.resources', linux.resources) }),
    ...(linux?.overhead === undefined
      ? {}
      : { overhead: resources('config.linux.overhead', linux.overhead) }),
  };
}
