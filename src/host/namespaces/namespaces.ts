/**
 * Namespaces of pods, kept without a process: each is pinned by a bind mount of an nsfs file. One worker
 * thread creates them (a new thread per pod costs 17 ms, this one less than 1 ms).
 *
 * The pin root is a mount of its own, and unbindable. A pin in a shared mount would be copied into every
 * container that mounts the directory above it with propagation, and a pin in a private mount into every
 * recursive bind of that directory; each copy keeps the namespace alive after it was unpinned. Unbindable
 * mounts are excluded from both. A new mount namespace still copies the pin (runc creates one per container
 * and drops the old root; services with a private view keep it). That copy disappears when the pin's file is
 * removed: since Linux 3.18 this detaches every mount on it, in all mount namespaces, without EBUSY.
 */
import { mkdirSync } from 'node:fs';
import { mkdir, realpath, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import { Semaphore } from '../../base/bounded.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { codeOf, fromNode, onlyAbsent } from '../ffi/errno.ts';
import { NSFS_MAGIC } from '../ffi/constants.ts';
import { isInMemory } from '../files/state-files.ts';
import { askKernelThread } from '../kernel-thread/kernel-thread.ts';
import type { Asking } from '../kernel-thread/kernel-thread.ts';
import { findMount, readMountInfo } from '../mounts/mountinfo.ts';
import { mountBind, setPropagation, unmount } from '../mounts/mounts.ts';
import { PIN_KINDS, USER_PIN } from '../kernel-thread/thread-protocol.ts';
import type { PinKind, PinOrder, PinPaths, ThreadOrder } from '../kernel-thread/thread-protocol.ts';
import { sysctlNamespace } from './sysctl.ts';
import type { Sysctl } from '../../ports/specs.ts';
import { withUserNamespace } from './userns-process.ts';
import type { UserNamespaceRequest } from './userns-process.ts';

type NamespaceClock = Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;

export interface PinRequest {
  /** Absolute, in a prepared pin root; created when it does not exist. */
  readonly directory: string;
  readonly net: boolean;
  readonly ipc: boolean;
  readonly uts: boolean;
  /** Set in the new UTS namespace; at most 64 bytes. */
  readonly hostname?: string;
  /** Each must belong to one of the new namespaces. */
  readonly sysctls: readonly Sysctl[];
  /** A new user namespace that owns the others. */
  readonly user?: UserNamespaceRequest | undefined;
}

/** Prepares `root` for pins: a directory that is an unbindable mount. Repeatable. */
export async function preparePinRoot(root: string): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o711 });
  const path = await realpath(root);
  const mounted = findMount(await readMountInfo(), path);
  if (mounted?.isUnbindable === true) return;
  if (mounted === undefined) await mountBind({ source: path, target: path });
  await setPropagation(path, 'unbindable');
}

/** Unmounts the pin root's own mount; its pins must be gone. Repeatable. */
export async function releasePinRoot(root: string): Promise<void> {
  await unmount(root);
}

/**
 * Creates the requested namespaces and pins them as `<directory>/net`, `ipc`, `uts` and `user`. When all of
 * them are pinned already, it returns those; when a crash left only some, it removes these first.
 */
export async function pinNamespaces(request: PinRequest, clock: ClockPort): Promise<PinPaths> {
  const { directory, hostname, sysctls, user } = request;
  const kinds = PIN_KINDS.filter((kind) => request[kind]);
  checkSysctls(sysctls, kinds, directory);
  const names = user === undefined ? kinds : [...kinds, USER_PIN];
  const paths = Object.fromEntries(names.map((name) => [name, join(directory, name)])) as PinPaths;
  if (names.length === 0) return paths;
  if (!(await makeDirectory(directory))) {
    const present = await Promise.all(Object.values(paths).map(isNamespacePin));
    if (present.every(Boolean)) return paths;
    await unpinNamespaces(directory);
    await makeDirectory(directory);
  }
  const order: PinOrder = {
    kind: 'pin',
    directory,
    kinds,
    sysctls,
    ...(hostname === undefined ? {} : { hostname }),
  };
  const give = (whole: PinOrder): Promise<unknown> =>
    askInTurn(whole, { attempted: `pin namespaces in ${directory}`, subject: directory, clock });
  if (user === undefined) await give(order);
  else {
    const rootUid = user.mappings.uids.hostId;
    await withUserNamespace(user, directory, clock, (path) => give({ ...order, from: { path, rootUid } }));
  }
  return paths;
}

/** False when it exists already. For a new pod, the usual case, no pin has to be checked then. */
async function makeDirectory(directory: string): Promise<boolean> {
  try {
    // not makeOwnDirectory: a missing pin root is an error, since without its own mount pins would be copied
    if (isInMemory(directory)) mkdirSync(directory, 0o711);
    else await mkdir(directory, 0o711);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw fromNode(error, 'create pin directory', directory);
  }
}

/**
 * Removes all pins in `directory`, and the directory. Repeatable. The namespaces end with their last user.
 */
export async function unpinNamespaces(directory: string): Promise<void> {
  await askKernelThread(
    { kind: 'unpin', directory },
    { attempted: `unpin namespaces in ${directory}`, subject: directory },
  );
}

/**
 * True when a namespace is pinned at `path`; false when nothing is there, and for a plain file that a crash
 * left.
 */
export async function isNamespacePin(path: string): Promise<boolean> {
  return (await statfs(path).catch(onlyAbsent))?.type === NSFS_MAGIC;
}

/** Without this check, a sysctl of another namespace would be set on the host. */
function checkSysctls(sysctls: readonly Sysctl[], kinds: readonly PinKind[], directory: string): void {
  for (const { name } of sysctls) {
    const namespace = sysctlNamespace(name);
    if (namespace !== undefined && kinds.includes(namespace)) continue;
    fail('invalidRequest', `pin namespaces in ${directory}: sysctl ${name} does not belong to any of them`, {
      subject: name,
    });
  }
}

/** One at a time: a thread that failed to return to the host's namespaces must not start on another pod. */
const turn = new Semaphore('namespace thread', 1, hostLimits.pinsWaiting);

/** The kernel thread's answer to a request for which it enters or makes a pod's namespaces. */
function askInTurn(
  order: ThreadOrder,
  { clock, ...asking }: Pick<Asking, 'attempted' | 'subject'> & { readonly clock: NamespaceClock },
): Promise<unknown> {
  const bound = { clock, timeoutMs: hostLimits.pinMs };
  return turn.with(() => askKernelThread(order, { ...asking, bound }));
}

/**
 * Sets parameters of interfaces in the network namespace pinned at `netns`. Throws `invalidRequest` for a
 * parameter that does not exist or does not accept the value; earlier ones are set then.
 */
export async function setSysctlsInNamespace(
  netns: string,
  sysctls: readonly Sysctl[],
  clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>,
): Promise<void> {
  const attempted = `set ${sysctls.map(({ name }) => name).join(', ')} in network namespace ${netns}`;
  for (const { name } of sysctls) {
    if (sysctlNamespace(name) !== 'net')
      fail('invalidRequest', `${attempted}: ${name} is not a network parameter`, { subject: name });
  }
  await askInTurn({ kind: 'sysctl', netns, sysctls }, { attempted, subject: netns, clock });
}

/**
 * Creates a socket of the given family and type in the network namespace pinned at `netns`; the caller owns
 * the descriptor. Throws `outside` when the namespace is gone or does not support the family.
 */
export async function socketInNamespace(
  netns: string,
  family: number,
  type: number,
  clock: NamespaceClock,
): Promise<number> {
  const attempted = `create a socket in network namespace ${netns}`;
  const fd = await askInTurn({ kind: 'socket', netns, family, type }, { attempted, subject: netns, clock });
  return typeof fd === 'number'
    ? fd
    : fail('bug', `${attempted}: no descriptor returned`, { subject: netns });
}

/**
 * The first IPv4 address of an interface in the network namespace pinned at `netns`; undefined when the interface is
 * gone or has none. Throws `outside` when the namespace is gone.
 */
export async function ipv4Of(
  netns: string,
  name: string,
  clock: NamespaceClock,
): Promise<string | undefined> {
  const attempted = `read the address of ${name} in network namespace ${netns}`;
  const address = await askInTurn({ kind: 'ipv4', netns, name }, { attempted, subject: netns, clock });
  return typeof address === 'string' ? address : undefined;
}

/**
 * The text of net/dev in the network namespace pinned at `netns`. Throws `outside` when the namespace is
 * gone.
 */
export async function netDevOf(netns: string, clock: NamespaceClock): Promise<string> {
  const attempted = `read the interfaces of network namespace ${netns}`;
  const text = await askInTurn({ kind: 'netDev', netns }, { attempted, subject: netns, clock });
  return typeof text === 'string' ? text : fail('bug', `${attempted}: no text returned`, { subject: netns });
}
