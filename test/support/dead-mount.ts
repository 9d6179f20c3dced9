// A FUSE file system that nobody serves: every access to it waits until it is unmounted, as on a dead server.
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '../../src/host/ffi/errno.ts';
import { MNT_DETACH, MS_NODEV, MS_NOSUID } from '../../src/host/ffi/constants.ts';
import { callSync, libc } from '../../src/host/ffi/ffi.ts';

/** Why there can be none here; empty when there can. */
export function whyNoDeadMount(): string {
  if (process.getuid?.() !== 0) return 'needs root';
  return existsSync('/dev/fuse') ? '' : 'needs /dev/fuse';
}

export interface DeadMount {
  readonly path: string;
  /** Whoever waits on it gets an error, and it is gone. */
  readonly remove: () => void;
}

/**
 * Mounts a FUSE file system on a directory; whoever has the descriptor is to serve it.
 * @param options more of them, each after a comma
 */
export function mountFuse(path: string, source: string, options = ''): number {
  const fd = openSync('/dev/fuse', 'r+');
  try {
    const data = Buffer.from(`fd=${fd},rootmode=40000,user_id=0,group_id=0${options}\0`);
    const from = Buffer.from(`${source}\0`);
    must(callSync(libc.mount, from, path, Buffer.from('fuse\0'), MS_NODEV | MS_NOSUID, data), 'mount', path);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Mounts one at the path, a directory, or at a new one below the directory for temporary files. Never
 * touch what lies below `path` in this process: it would wait for itself. With the end of this process it answers all
 * with an error. With `keepsWhatIsBelow`, the directory and what it holds is there again after `remove`.
 */
export function makeDeadMount(at?: string, keepsWhatIsBelow = false): DeadMount {
  const own = at === undefined ? mkdtempSync(join(tmpdir(), 'troupe-dead-')) : undefined;
  const path = at ?? join(own ?? '', 'mount');
  mkdirSync(path, { recursive: true });
  const fd = mountFuse(path, 'dead');
  return {
    path,
    remove() {
      // the last descriptor: the kernel gives up the connection, and with it every request that waits
      closeSync(fd);
      must(callSync(libc.umount, path, MNT_DETACH), 'unmount', path);
      // whoever waited may have gone on in the directory below by now
      if (!keepsWhatIsBelow) rmSync(own ?? path, { recursive: true });
    },
  };
}
