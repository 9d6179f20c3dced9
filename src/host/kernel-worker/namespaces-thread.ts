/**
 * The kernel thread's operations on namespaces. This thread is the only one that leaves the host's
 * namespaces: it creates a pod's namespaces by unshare, sets them up from the inside, pins them by bind
 * mounts of its own /proc/thread-self/ns files, and returns.
 *
 * Only synchronous calls: an asynchronous one would run in libuv's pool, which is shared by the process, in
 * the host's namespaces (a sysctl would be set on the host), and a pool that this thread started would be in
 * a pod's namespaces.
 */
import { closeSync, openSync, readlinkSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { workerData } from 'node:worker_threads';
import { FaultError, toFault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { codeOf, errnoName, must } from '../ffi/errno.ts';
import {
  AF_INET,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWUTS,
  IFF_UP,
  IFREQ_BYTES,
  IFREQ_FLAGS_OFFSET,
  IFREQ_IPV4_OFFSET,
  MNT_DETACH,
  MS_BIND,
  SIOCGIFADDR,
  SIOCGIFFLAGS,
  SIOCSIFFLAGS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  UMOUNT_NOFOLLOW,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { readNetDev } from '../usage/kernel-files.ts';
import { PIN_KINDS, USER_PIN } from '../kernel-thread/thread-protocol.ts';
import type {
  Ipv4Order,
  NetDevOrder,
  PinKind,
  PinOrder,
  SocketOrder,
  SysctlOrder,
  ThreadAnswer,
  UnpinOrder,
  WorkerStart,
} from '../kernel-thread/thread-protocol.ts';
import { inOrderOfEffect, sysctlNamespace, sysctlPath } from '../namespaces/sysctl.ts';
import type { Sysctl } from '../../ports/specs.ts';

const CLONE_FLAG: Readonly<Record<PinKind, number>> = {
  net: CLONE_NEWNET,
  ipc: CLONE_NEWIPC,
  uts: CLONE_NEWUTS,
};

/** -1: setresuid(2) leaves this id unchanged. */
const UNCHANGED = 0xffffffff;

/** Opened by the main thread, which never leaves the host's namespaces. */
const host = (workerData as WorkerStart).host;

/** Enters that namespace for one call of socket(2); the descriptor then belongs to the main thread. */
export function makeSocket({ netns, family, type }: SocketOrder): Omit<ThreadAnswer, 'id'> {
  return inNetwork(netns, () =>
    must(callSync(libc.socket, family, type, 0), 'create a socket in network namespace', netns),
  );
}

/** The text of the namespace's net/dev, bounded to some thousand interfaces. */
export function readNetDevInThread({ netns }: NetDevOrder): Omit<ThreadAnswer, 'id'> {
  return inNetwork(netns, () => readNetDev('/proc/thread-self/net/dev') ?? '');
}

/**
 * The interface's first IPv4 address. Here, since the kernel answers under the lock of all network changes (rtnl_lock),
 * which the end of an interface holds for up to 0.4 s on a loaded machine.
 */
export function ipv4InThread({ netns, name }: Ipv4Order): Omit<ThreadAnswer, 'id'> {
  return inNetwork(netns, () =>
    withSocket(netns, (socket) => {
      const request = Buffer.alloc(IFREQ_BYTES);
      request.write(name, 'latin1');
      // ENODEV, EADDRNOTAVAIL (netdevice(7))
      if (callSync(libc.ioctl, socket, SIOCGIFADDR, request).result === -1) return undefined;
      return [...request.subarray(IFREQ_IPV4_OFFSET, IFREQ_IPV4_OFFSET + 4)].join('.');
    }),
  );
}

/** Enters that namespace and sets its parameters; those that were set stay when one fails. */
export function setSysctlsInThread({ netns, sysctls }: SysctlOrder): Omit<ThreadAnswer, 'id'> {
  return inNetwork(netns, () => setAll(sysctls, setSysctl));
}

function inNetwork(netns: string, work: () => unknown): Omit<ThreadAnswer, 'id'> {
  let failure: Fault | undefined;
  let value: unknown;
  try {
    enter(netns, CLONE_NEWNET);
    value = work();
  } catch (error) {
    failure = toFault(error);
  }
  const isLost = !comeBack();
  return { isLost, ...(failure === undefined ? { value } : { failure }) };
}

/** Creates and pins namespaces; on failure the pins made so far are removed. */
export function pinInThread(order: PinOrder): Omit<ThreadAnswer, 'id'> {
  let failure: Fault | undefined;
  const pinned: string[] = [];
  try {
    makeAndPin(order, pinned);
  } catch (error) {
    failure = toFault(error, `pin namespaces in ${order.directory}`);
  }
  const isLost = !comeBack();
  if (failure !== undefined) for (const path of pinned) undoPin(path);
  return { isLost, ...(failure === undefined ? {} : { failure }) };
}

/** Removes all pins in a directory, and the directory. Throws errors with the errno's name. */
export function unpinInThread({ directory }: UnpinOrder): void {
  for (const kind of [...PIN_KINDS, USER_PIN]) {
    const path = join(directory, kind);
    // lazy: nsfs holds no data, and a CNI plugin may have the file open now
    for (let layer = 0; layer < hostLimits.stackedMounts && unmountPin(path); layer += 1);
    removed(() => unlinkSync(path));
  }
  removed(() => rmdirSync(directory));
}

/** False when nothing is mounted there. */
function unmountPin(path: string): boolean {
  const outcome = callSync(libc.umount, path, MNT_DETACH | UMOUNT_NOFOLLOW);
  if (outcome.result === -1 && ['EINVAL', 'ENOENT', 'ENOTDIR'].includes(errnoName(outcome.errno)))
    return false;
  return must(outcome, 'unmount', path) === 0;
}

function removed(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function makeAndPin(order: PinOrder, pinned: string[]): void {
  const { kinds, directory, hostname, from } = order;
  if (from === undefined) {
    const flags = kinds.reduce((sum, kind) => sum | CLONE_FLAG[kind], 0);
    must(callSync(libc.unshare, flags), 'create namespaces for', directory);
  } else {
    // the host's root is privileged in all user namespaces below it, so there is no need to enter this one
    for (const kind of kinds) enter(`${from.path}/${kind}`, CLONE_FLAG[kind]);
  }
  if (kinds.includes('net')) bringLoopbackUp(directory);
  if (kinds.includes('uts') && hostname !== undefined) {
    const bytes = Buffer.from(hostname);
    must(callSync(libc.sethostname, bytes, bytes.length), 'set host name', hostname);
  }
  setAll(order.sysctls, (sysctl) => {
    const isOfIpc = sysctlNamespace(sysctl.name) === 'ipc';
    asUser(isOfIpc ? (from?.rootUid ?? 0) : 0, () => setSysctl(sysctl));
  });
  // pinned last, so that a pin proves a completely set up namespace
  for (const kind of kinds) pin(`/proc/thread-self/ns/${kind}`, `${directory}/${kind}`, pinned);
  if (from !== undefined) pin(`${from.path}/${USER_PIN}`, `${directory}/${USER_PIN}`, pinned);
}

/**
 * Only the root of an IPC namespace's own user namespace may write its parameters, not even the host's root
 * (ipc/ipc_sysctl.c, ipc_permissions; parameters of a network namespace check the capability instead). Only
 * this thread changes its effective user, and only during this call.
 */
function asUser(uid: number, work: () => void): void {
  if (uid === 0) return work();
  const become = (effective: number): number =>
    must(
      callSync(libc.setresuidOfThread, UNCHANGED, effective, UNCHANGED),
      'switch to user',
      String(effective),
    );
  become(uid);
  try {
    work();
  } finally {
    become(0);
  }
}

function pin(source: string, path: string, pinned: string[]): void {
  closeSync(openSync(path, 'wx', 0o444));
  pinned.push(path);
  must(callSync(libc.mount, source, path, null, MS_BIND, null), 'pin namespace at', path);
}

function enter(path: string, flag: number): void {
  const namespace = openSync(path, 'r');
  try {
    must(callSync(libc.setns, namespace, flag), 'enter namespace', path);
  } finally {
    closeSync(namespace);
  }
}

/**
 * Retries the parameters that the kernel refused once all others are set, since it checks some against each
 * other: ipv4_local_port_range may begin at 80 only once ports from 80 on are no longer privileged.
 */
function setAll(sysctls: readonly Sysctl[], set: (sysctl: Sysctl) => void): void {
  const again: Sysctl[] = [];
  for (const sysctl of inOrderOfEffect(sysctls)) {
    try {
      set(sysctl);
    } catch (error) {
      if (sysctls.length === 1) throw error;
      again.push(sysctl);
    }
  }
  again.forEach(set);
}

/** The parameter does not exist or does not accept this value: an invalid request. */
const WRONG_SYSCTL: ReadonlySet<string> = new Set(['ENOENT', 'EINVAL', 'ERANGE']);

function setSysctl({ name, value }: Sysctl): void {
  try {
    writeFileSync(`/proc/sys/${sysctlPath(name)}`, value, { flag: 'r+' });
  } catch (error) {
    const why = toFault(error, `set sysctl ${name}=${value}`);
    throw new FaultError(
      WRONG_SYSCTL.has(codeOf(error) ?? '')
        ? { ...why, kind: 'invalidRequest', subject: 'config.linux.sysctls' }
        : why,
    );
  }
}

/** In a new network namespace lo is down; every program of a pod expects 127.0.0.1 to answer. */
function bringLoopbackUp(subject: string): void {
  withSocket(subject, (socket) => {
    const request = Buffer.alloc(IFREQ_BYTES);
    request.write('lo', 'latin1');
    must(callSync(libc.ioctl, socket, SIOCGIFFLAGS, request), 'read the flags of lo in', subject);
    request.writeInt16LE(request.readInt16LE(IFREQ_FLAGS_OFFSET) | IFF_UP, IFREQ_FLAGS_OFFSET);
    must(callSync(libc.ioctl, socket, SIOCSIFFLAGS, request), 'bring lo up in', subject);
  });
}

/** With a socket of the namespace in which the thread is, for ioctl(2) on its interfaces (netdevice(7)). */
function withSocket<T>(subject: string, work: (socket: number) => T): T {
  const type = SOCK_DGRAM | SOCK_CLOEXEC;
  const socket = must(callSync(libc.socket, AF_INET, type, 0), 'open a socket in', subject);
  try {
    return work(socket);
  } finally {
    closeSync(socket);
  }
}

/** True when the thread is back in the host's namespaces. */
function comeBack(): boolean {
  for (const { kind, fd } of host) callSync(libc.setns, fd, CLONE_FLAG[kind]);
  try {
    return host.every(({ kind, name }) => readlinkSync(`/proc/thread-self/ns/${kind}`) === name);
  } catch {
    return false;
  }
}

function undoPin(path: string): void {
  callSync(libc.umount, path, MNT_DETACH | UMOUNT_NOFOLLOW);
  try {
    unlinkSync(path);
  } catch {
    // the failure that led here is the one to report; unpin removes what is left
  }
}
