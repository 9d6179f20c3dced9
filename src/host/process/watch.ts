/**
 * Watches a directory for new files. node:fs.watch does not report an overflow of the kernel's queue (libuv
 * drops that event), and an exit would be lost (F41); so this uses inotify directly.
 */
import { closeSync, readSync } from 'node:fs';
import { hostLimits } from '../bounds.ts';
import { codeOf, must } from '../ffi/errno.ts';
import {
  INOTIFY_HEADER_BYTES,
  IN_CLOSE_WRITE,
  IN_DELETE_SELF,
  IN_IGNORED,
  IN_MOVED_TO,
  IN_MOVE_SELF,
  IN_ONLYDIR,
  IN_Q_OVERFLOW,
  IN_UNMOUNT,
  O_CLOEXEC,
  O_NONBLOCK,
} from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { pollReadable } from '../io/poll.ts';
import { callInPool } from '../ffi/pool.ts';
import { openPidfd } from './process-identity.ts';
import type { HostIdentity } from './process-identity.ts';

export interface DirectoryWatcher {
  /**
   * A file of this name was written and closed, or renamed into the directory. An event is a hint: read the
   * file.
   */
  onName(name: string): void;
  /**
   * Events were lost: scan the whole directory. `overflow`: the watch continues. `lost`: the directory was
   * removed, moved or unmounted; the watch has ended and a new one is needed.
   */
  onRescan(reason: 'overflow' | 'lost'): void;
}

export interface Watch {
  close(): void;
}

/** Begins to watch. Existing files are not announced, so scan the directory after this has resolved. */
export async function watchDirectory(path: string, watcher: DirectoryWatcher): Promise<Watch> {
  const fd = must(callSync(libc.inotifyInit, O_NONBLOCK | O_CLOEXEC), 'watch', path);
  const added = await callInPool(path, libc.inotifyAddWatch, fd, path, WATCHED);
  if (added.result === -1) closeSync(fd);
  must(added, 'watch', path);
  let isOpen = true;
  const poll = pollReadable(fd, () => {
    const events = drain(fd);
    for (const name of namesOf(events)) if (isOpen) watcher.onName(name);
    const isLost = events.some((event) => (event.mask & LOST) !== 0);
    if (!isOpen) return;
    if (isLost) {
      stop();
      watcher.onRescan('lost');
    } else if (events.some((event) => (event.mask & IN_Q_OVERFLOW) !== 0)) watcher.onRescan('overflow');
  });
  const stop = (): void => {
    if (!isOpen) return;
    isOpen = false;
    poll.close();
    closeSync(fd);
  };
  return { close: stop };
}

const WATCHED = IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
const LOST = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

export interface InotifyEvent {
  readonly mask: number;
  /** Empty for events of the directory itself. */
  readonly name: string;
}

/** Events in the kernel's layout (inotify(7)). */
export function parseInotify(bytes: Buffer): InotifyEvent[] {
  const events: InotifyEvent[] = [];
  let at = 0;
  while (at + INOTIFY_HEADER_BYTES <= bytes.length) {
    const nameAt = at + INOTIFY_HEADER_BYTES;
    const next = nameAt + bytes.readUInt32LE(at + 12);
    const end = bytes.indexOf(0, nameAt);
    events.push({
      mask: bytes.readUInt32LE(at + 4),
      name: bytes.toString('utf8', nameAt, end < 0 ? next : Math.min(end, next)),
    });
    at = next;
  }
  return events;
}

/** Each name once, in the order of the first events. */
function namesOf(events: readonly InotifyEvent[]): Set<string> {
  const isFile = (event: InotifyEvent): boolean =>
    (event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) !== 0 && event.name !== '';
  return new Set(events.filter(isFile).map((event) => event.name));
}

/** Reads queued events, up to a bound; the rest triggers another call. Reads memory and never waits. */
function drain(fd: number): InotifyEvent[] {
  const events: InotifyEvent[] = [];
  const buffer = Buffer.alloc(hostLimits.inotifyReadBytes);
  for (let round = 0; round < hostLimits.inotifyReads; round += 1) {
    try {
      events.push(...parseInotify(buffer.subarray(0, readSync(fd, buffer))));
    } catch (error) {
      if (codeOf(error) === 'EAGAIN') break;
      throw error;
    }
  }
  return events;
}

/**
 * Calls `onExit` once when exactly this process ends, whoever its parent is; at the next turn if it is gone
 * already.
 */
export function watchProcess(identity: HostIdentity, onExit: () => void): Watch {
  // one that can't be proven to be another has not ended
  const pidfd = openPidfd(identity);
  if (pidfd === undefined) {
    let isOpen = true;
    setImmediate(() => {
      if (isOpen) onExit();
    });
    return { close: () => void (isOpen = false) };
  }
  let isOpen = true;
  const poll = pollReadable(pidfd, () => {
    stop();
    onExit();
  });
  const stop = (): void => {
    if (!isOpen) return;
    isOpen = false;
    poll.close();
    closeSync(pidfd);
  };
  return { close: stop };
}
