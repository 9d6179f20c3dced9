/**
 * The one thread that leaves the host's namespaces. It makes a pod's namespaces by unshare, sets them up from the
 * inside, pins them by bind mounts of its own /proc/thread-self/ns files, and comes back.
 *
 * Only synchronous calls here: an asynchronous one runs in libuv's pool, which is the whole process's, in the host's
 * namespaces (a sysctl would be set on the host) — and a pool made by this thread would live in a pod's.
 */
import { closeSync, openSync, readlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { FaultError, toFault } from '../base/fault.ts';
import type { Fault } from '../base/fault.ts';
import { must } from './errno.ts';
import {
  AF_INET,
  CLONE_NEWIPC,
  CLONE_NEWNET,
  CLONE_NEWUTS,
  IFF_UP,
  IFREQ_BYTES,
  IFREQ_FLAGS_OFFSET,
  MNT_DETACH,
  MS_BIND,
  SIOCGIFFLAGS,
  SIOCSIFFLAGS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  UMOUNT_NOFOLLOW,
} from './ffi-constants.ts';
import { callSync, libc } from './ffi.ts';
import type { PinAnswer, PinKind, PinOrder, WorkerStart } from './namespaces-protocol.ts';
import { sysctlPath } from './sysctl.ts';
import type { Sysctl } from './sysctl.ts';

const CLONE_FLAG: Readonly<Record<PinKind, number>> = { net: CLONE_NEWNET, ipc: CLONE_NEWIPC, uts: CLONE_NEWUTS };

/** Opened by the main thread, which never leaves the host's namespaces. */
const host = (workerData as WorkerStart).host;

parentPort?.on('message', (order: PinOrder) => {
  parentPort?.postMessage(carryOut(order));
});

function carryOut(order: PinOrder): PinAnswer {
  let failure: Fault | undefined;
  const pinned: string[] = [];
  try {
    makeAndPin(order, pinned);
  } catch (error) {
    failure = toFault(error, `pin namespaces in ${order.directory}`);
  }
  const isLost = !comeBack();
  if (failure !== undefined) for (const path of pinned) undoPin(path);
  return { id: order.id, isLost, ...(failure === undefined ? {} : { failure }) };
}

function makeAndPin(order: PinOrder, pinned: string[]): void {
  const { kinds, directory, hostname } = order;
  const flags = kinds.reduce((sum, kind) => sum | CLONE_FLAG[kind], 0);
  must(callSync(libc.unshare, flags), 'make namespaces for', directory);
  if (kinds.includes('net')) bringLoopbackUp(directory);
  if (kinds.includes('uts') && hostname !== undefined) {
    const bytes = Buffer.from(hostname);
    must(callSync(libc.sethostname, bytes, bytes.length), 'set host name', hostname);
  }
  for (const sysctl of order.sysctls) setSysctl(sysctl);
  // pinned last: a pin that is there is one of a namespace that was set up in full
  for (const kind of kinds) {
    const path = `${directory}/${kind}`;
    closeSync(openSync(path, 'wx', 0o444));
    pinned.push(path);
    must(callSync(libc.mount, `/proc/thread-self/ns/${kind}`, path, null, MS_BIND, null), 'pin namespace at', path);
  }
}

function setSysctl({ name, value }: Sysctl): void {
  try {
    writeFileSync(`/proc/sys/${sysctlPath(name)}`, value, { flag: 'r+' });
  } catch (error) {
    throw new FaultError(toFault(error, `set sysctl ${name}=${value}`));
  }
}

/** A new network namespace has lo, down; every program of a pod expects 127.0.0.1 to answer. */
function bringLoopbackUp(subject: string): void {
  const socket = must(callSync(libc.socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'open a socket in', subject);
  try {
    const request = Buffer.alloc(IFREQ_BYTES);
    request.write('lo', 'latin1');
    must(callSync(libc.ioctl, socket, SIOCGIFFLAGS, request), 'read the flags of lo in', subject);
    request.writeInt16LE(request.readInt16LE(IFREQ_FLAGS_OFFSET) | IFF_UP, IFREQ_FLAGS_OFFSET);
    must(callSync(libc.ioctl, socket, SIOCSIFFLAGS, request), 'bring lo up in', subject);
  } finally {
    closeSync(socket);
  }
}

/** True when the thread is in the host's namespaces again. */
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
