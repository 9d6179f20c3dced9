/**
 * What makes two requests under one name the same wish. A kubelet's retry never
 * sends the same config twice: the termination log has a new random file name on
 * the host, annotations and labels change while the pod starts (house rule 3.1).
 */
import { encodePlain } from '../../base/codec.ts';
import type { ContainerSpec, Mount, SandboxSpec } from '../../ports/specs.ts';

/** Set by the kubelet to the path that the termination log has inside the container. */
const TERMINATION_PATH = 'io.kubernetes.container.terminationMessagePath';
/** The kubelet's default for it. */
const DEFAULT_TERMINATION_PATH = '/dev/termination-log';

/** True when both ask for the same container. */
export function sameContainerWish(a: ContainerSpec, b: ContainerSpec): boolean {
  return containerWish(a) === containerWish(b) && hasSameProgram(a, b);
}

/** True when both ask for the same sandbox. */
export function sameSandboxWish(a: SandboxSpec, b: SandboxSpec): boolean {
  return sandboxWish(a) === sandboxWish(b);
}

function containerWish(spec: ContainerSpec): string {
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
 * No record has a program (S91): after a restart the rest decides, in which the requests of a pod's containers differ, and
 * nothing is built from what is joined then.
 */
function hasSameProgram(a: ContainerSpec, b: ContainerSpec): boolean {
  if (a.command === undefined || b.command === undefined) return true;
  return encodePlain([a.command, a.args]) === encodePlain([b.command, b.args]);
}

function sandboxWish(spec: SandboxSpec): string {
  const {
    labels: _labels,
    annotations: _annotations,
    runtime: _runtime,
    selinuxLabels: _given,
    ...rest
  } = spec;
  return encodePlain(rest);
}
