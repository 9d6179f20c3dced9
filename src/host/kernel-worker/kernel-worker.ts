/**
 * The thread for many small synchronous calls on the kernel's own objects (namespaces, cgroups, lists of
 * mounts and processes). A hop through libuv's pool per call costs more than the call, and a v1 machine has
 * eleven hierarchies. No call here waits for a disk or another file system, only for the kernel's own locks and for
 * processes of the host whose memory is read.
 */
import { readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { fail, toFault } from '../../base/fault.ts';
import { cgroupInThread } from './cgroup-thread.ts';
import { MountScan } from './mount-places-thread.ts';
import { codeOf } from '../ffi/errno.ts';
import { findHelpers } from '../process/helper-scan.ts';
import { scanMarked } from '../process/marked-scan.ts';
import {
  makeSocket,
  pinInThread,
  readNetDevInThread,
  ipv4InThread,
  setSysctlsInThread,
  unpinInThread,
} from './namespaces-thread.ts';
import type { CgroupLayout, ThreadAnswer, ThreadRequest } from '../kernel-thread/thread-protocol.ts';

const scan = new MountScan();
/** By number; kernel-thread.ts gives out `hostLimits.threadLayouts` numbers. */
const layouts = new Map<number, CgroupLayout>();

parentPort?.on('message', ({ id, order, layout }: ThreadRequest) => {
  if (layout !== undefined && order.kind === 'cgroup') layouts.set(order.layout, layout);
  parentPort?.postMessage({ ...carryOut(order), id } satisfies ThreadAnswer);
});

function carryOut(order: ThreadRequest['order']): Omit<ThreadAnswer, 'id'> {
  switch (order.kind) {
    case 'pin':
      return pinInThread(order);
    case 'unpin':
      return giving(() => unpinInThread(order));
    case 'socket':
      return makeSocket(order);
    case 'sysctl':
      return setSysctlsInThread(order);
    case 'netDev':
      return readNetDevInThread(order);
    case 'ipv4':
      return ipv4InThread(order);
    case 'cgroup':
      return giving(() => cgroupInThread({ ...order, layout: layoutOf(order.layout) }));
    case 'helpers':
      return giving(() => findHelpers(order));
    case 'marked':
      return giving(() => scanMarked(order));
    case 'mountInfo':
      return giving(() => readFileSync('/proc/self/mountinfo', 'utf8'));
    case 'mountPlaces':
      return giving(() => scan.read());
    case 'ping':
      return { isLost: false };
  }
}

function layoutOf(number: number): CgroupLayout {
  return (
    layouts.get(number) ?? fail('bug', `find cgroup layout ${number}: not sent`, { subject: String(number) })
  );
}

function giving(work: () => unknown): Omit<ThreadAnswer, 'id'> {
  try {
    return { value: work(), isLost: false };
  } catch (error) {
    const code = codeOf(error);
    return { failure: toFault(error), isLost: false, ...(code === undefined ? {} : { code }) };
  }
}
