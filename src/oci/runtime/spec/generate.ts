/**
 * Generates config.json from a request. Pure: everything that must be looked up on the machine is in the input. What
 * the node adds (hooks, CDI devices) is applied afterwards, by edits.ts.
 */
import { fail } from '../../../base/fault.ts';
import { resolveCapabilities } from './capabilities.ts';
import { runtimeAnnotations } from './annotations.ts';
import type { SpecInput, SpecHost } from './input.ts';
import { mountsOf, rootfsPropagation } from './mounts.ts';
import { namespacesOf } from './namespaces.ts';
import { guestHostname, processOf } from './process.ts';
import { devicesOf, resourcesOf } from './resources.ts';
import { defaultSeccomp } from './seccomp.ts';
import type { OciLinux, OciSeccomp, OciSpec } from './types.ts';
import { checkMapped, idMappings } from './userns.ts';

/** A version that runc 1.1.5 and crun 1.8.1 accept. */
export const OCI_VERSION = '1.0.2';

/**
 * Generates the document. Throws `invalidRequest` with the field's name, `unsupported` for what this node cannot
 * grant.
 */
export function generateSpec(input: SpecInput): OciSpec {
  const { spec, sandbox, paths } = input;
  const { privileged } = spec.security;
  checkMapped(input.user, sandbox.namespaces.user);
  const capabilities = resolveCapabilities(
    spec.security.capabilities,
    input.host.boundingCapabilities,
    privileged,
  );
  return {
    ociVersion: OCI_VERSION,
    ...guestHostname(input.handler, input),
    process: processOf(input, capabilities),
    root: { path: paths.rootfs, readonly: spec.security.readonlyRootfs },
    mounts: mountsOf(input),
    annotations: annotationsOf(input),
    linux: linuxOf(input, seccompOf(input, capabilities.bounding)),
  };
}

function linuxOf(input: SpecInput, seccomp: OciSeccomp | undefined): OciLinux {
  const { security } = input.spec;
  const propagation = rootfsPropagation(input.mounts);
  return {
    namespaces: namespacesOf(input),
    ...idMappings(input.sandbox.namespaces.user),
    devices: devicesOf(input.devices),
    cgroupsPath: input.paths.cgroup,
    resources: resourcesOf(input),
    ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
    ...(input.spec.selinuxLabels === undefined ? {} : { mountLabel: input.spec.selinuxLabels.mount }),
    ...(seccomp === undefined ? {} : { seccomp }),
    // an empty list means procMount Unmasked: no defaults are substituted
    maskedPaths: security.privileged ? [] : security.maskedPaths,
    readonlyPaths: security.privileged ? [] : security.readonlyPaths,
  };
}

/** What is known of the kernel that runs the container: of a virtual machine's only the architecture. */
function kernelOf({ host, handler }: SpecInput): Pick<SpecHost, 'arch' | 'refusedPrograms'> {
  return handler.ownKernel === true ? { arch: host.arch, refusedPrograms: [] } : host;
}

function seccompOf(input: SpecInput, bounding: readonly string[]): OciSeccomp | undefined {
  const { seccomp, privileged } = input.spec.security;
  if (privileged) return undefined;
  switch (seccomp.type) {
    case 'unconfined':
      return undefined;
    case 'runtimeDefault':
      return input.localSeccomp ?? defaultSeccomp(kernelOf(input), bounding);
    case 'localhost':
      return (
        input.localSeccomp ??
        fail('bug', `use seccomp profile ${seccomp.path}: not read`, { subject: seccomp.path })
      );
  }
}

/**
 * Our own annotations, and below them those allowed by the handler's configuration. Others are not passed on: runc
 * turns some annotations into systemd properties, crun into device and wasm switches (CVE-2024-3154, S05). crun and
 * Kata read annotations with our names. runsc would search for the pod's sandbox among its own containers and refuse
 * the container, so it gets none that say that there is a sandbox.
 */
function annotationsOf({ spec, sandbox, sandboxId, handler }: SpecInput): Readonly<Record<string, string>> {
  return {
    ...runtimeAnnotations(handler, { ...sandbox.annotations, ...spec.annotations }),
    ...(handler.ownSandbox === true
      ? {}
      : {
          'io.kubernetes.cri.container-type': 'container',
          'io.kubernetes.cri.sandbox-id': sandboxId,
        }),
    'io.kubernetes.cri.container-name': spec.key.name,
    'io.kubernetes.cri.sandbox-name': sandbox.key.name,
    'io.kubernetes.cri.sandbox-namespace': sandbox.key.namespace,
    'io.kubernetes.cri.sandbox-uid': sandbox.key.uid,
    'io.kubernetes.cri.image-name': spec.imageRequested,
    ...(handler.ownSandbox === true
      ? {}
      : {
          'io.kubernetes.cri-o.ContainerType': 'container',
          'io.kubernetes.cri-o.SandboxID': sandboxId,
        }),
  };
}
