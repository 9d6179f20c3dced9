/**
 * Decides whether two requests under one name ask for the same sandbox or container. Comparing whole configs would not
 * do: in each retry the kubelet gives the termination log a new random file name on the host, and annotations and
 * labels change while the pod starts.
 */
import { encodePlain } from '../../base/codec.ts';
import type { ContainerSpec, Mount, SandboxSpec } from '../../ports/specs.ts';

/** Annotation in which the kubelet gives the path of the termination log inside the container. */
const TERMINATION_PATH = 'io.kubernetes.container.terminationMessagePath';
/** The kubelet's default for that path. */
const DEFAULT_TERMINATION_PATH = '/dev/termination-log';

/** True when both requests ask for the same container. */
export function isSameContainerRequest(a: ContainerSpec, b: ContainerSpec): boolean {
  return containerRequest(a) === containerRequest(b) && hasSameProgram(a, b);
}

/** True when both requests ask for the same sandbox. */
export function isSameSandboxRequest(a: SandboxSpec, b: SandboxSpec): boolean {
  return sandboxRequest(a) === sandboxRequest(b);
}

function containerRequest(spec: ContainerSpec): string {
  const termination = spec.annotations[TERMINATION_PATH] ?? DEFAULT_TERMINATION_PATH;
  const mounts = spec.mounts.map((mount: Mount) =>
    mount.containerPath === termination ? { ...mount, hostPath: '' } : mount,
  );
  const {
    restore,
    imageId,
    workingDir,
    devices,
    cdiDevices,
    resources,
    security,
    selinux,
    stdin,
    stdinOnce,
    tty,
    stopSignal,
  } = spec;
  return encodePlain({
    restore,
    imageId,
    workingDir,
    mounts,
    devices,
    cdiDevices,
    resources,
    security,
    selinux,
    stdin,
    stdinOnce,
    tty,
    stopSignal,
  });
}

/**
 * True unless both programs are known and differ. The journal holds no program (S91), so after a restart the other
 * fields decide. That is enough: they differ between the containers of a pod, and a joined request builds nothing.
 */
function hasSameProgram(a: ContainerSpec, b: ContainerSpec): boolean {
  if (a.command === undefined || b.command === undefined) return true;
  return encodePlain([a.command, a.args]) === encodePlain([b.command, b.args]);
}

function sandboxRequest(spec: SandboxSpec): string {
  const {
    labels: _labels,
    annotations: _annotations,
    runtime: _runtime,
    selinuxLabels: _given,
    ...rest
  } = spec;
  return encodePlain(rest);
}
