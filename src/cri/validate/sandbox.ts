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

/** What RunPodSandbox asks for. Throws `invalidRequest` with the field's name. */
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

/** All but the attempt must be there: together they are the sandbox's name. */
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
 * CNI_ARGS is a list of `K=V` between semicolons: a name with these would add arguments, such as the pod's address
 * (S66). Slashes and dots are harmless: names never become paths.
 */
function name(field: string, value: string): string {
  line(field, required(field, value), requestLimits.nameBytes);
  return /[;=]/u.test(value) ? refuse(field, `${quoted(value)} contains ; or =`) : value;
}

/** It stands in /etc/hostname and in a line of /etc/hosts. */
function hostname(field: string, value: string): string {
  line(field, value, requestLimits.hostnameBytes);
  return value === '' || /^[A-Za-z0-9_.-]+$/u.test(value)
    ? value
    : refuse(field, `${quoted(value)} is no host name`);
}

function cleanPath(field: string, value: string): string {
  return line(field, absolutePath(field, value), portLimits.pathBytes);
}

/** Without slashes at the end. Two ways of writing, one per driver; the wrong one would make cgroups where nobody looks. */
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
    if (!isSlice) refuse(field, `${quoted(value)} is no slice, but the cgroup driver is systemd`);
    // systemd.slice(5): a dash separates levels
    if (!/^(?:-|[^-]+(?:-[^-]+)*)\.slice$/u.test(parts.at(-1) ?? ''))
      refuse(field, `${quoted(value)} is no slice: a dash can stand neither first, nor last, nor twice`);
    return trimmed;
  }
  if (isSlice) refuse(field, `${quoted(value)} is a systemd slice, but the cgroup driver is cgroupfs`);
  if (!value.startsWith('/')) refuse(field, `${quoted(value)} is not absolute`);
  if (parts.slice(1).some((part) => part === '' || part === '.'))
    refuse(field, `${quoted(value)} has an empty component or a dot`);
  return trimmed;
}

/** For runtimes that size a virtual machine by them, and for plugins; the pod's own cgroup is the kubelet's. */
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
