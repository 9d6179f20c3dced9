/**
 * Does the file system behind a path that a user names answer at all? A dead NFS or FUSE mount holds a thread of
 * libuv's pool for as long as it is dead, and a dozen such threads are all there are (F33, F45). So a path that leads
 * to anything but a local file system is first asked by a small process, which can be killed.
 */
import { readlink } from 'node:fs/promises';
import { posix } from 'node:path';
import type { ClockPort } from '../actors/ports/clock.ts';
import type { EffectContext } from '../actors/ports/effect.ts';
import { fail } from '../base/fault.ts';
import { hostLimits } from '../base/limits.ts';
import { codeOf } from './errno.ts';
import type { MountInfo } from './mountinfo.ts';
import { runTool } from './process-tool.ts';

/** File systems that wait for nothing but a disk or memory of this machine. What is not named is asked first. */
const LOCAL: ReadonlySet<string> = new Set([
  'ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'zfs', 'f2fs', 'bcachefs', 'vfat', 'exfat', 'squashfs', 'erofs', 'overlay',
  'tmpfs', 'ramfs', 'devtmpfs', 'rootfs', 'proc', 'sysfs', 'cgroup', 'cgroup2', 'devpts', 'mqueue', 'hugetlbfs', 'bpf',
  'tracefs', 'debugfs', 'securityfs', 'configfs', 'pstore', 'nsfs', 'binfmt_misc',
]);

/** coreutils: essential on Debian and Ubuntu. */
const STAT = '/usr/bin/stat';

export interface AnswerRequest {
  /** Absolute. */
  readonly path: string;
  /** Begins the message, such as `mount /data at /srv`. */
  readonly attempted: string;
  readonly mounts: readonly MountInfo[];
  readonly clock: ClockPort;
  readonly fx: EffectContext;
}

/** The mount that a path lies on: the longest mount point above it, of equal ones the last, which lies on top. */
export function mountOver(path: string, mounts: readonly MountInfo[]): MountInfo | undefined {
  let found: MountInfo | undefined;
  for (const mount of mounts) {
    const { mountPoint } = mount;
    const isAbove = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (isAbove && (found === undefined || mountPoint.length >= found.mountPoint.length)) found = mount;
  }
  return found;
}

/**
 * Settles when the path can be touched without waiting for ever; whether it is there is not said. Throws `timedOut`
 * that names the mount when its file system does not answer within the effect's bound.
 */
export async function ensureAnswers(request: AnswerRequest): Promise<void> {
  const { path, attempted, clock, fx } = request;
  const remote = await firstRemote(path, request.mounts);
  if (remote === undefined) return;
  fx.note({ on: `${attempted}: ${remote.fsType} at ${remote.mountPoint}` });
  const result = await runTool({
    argv: [STAT, '--dereference', '--format=', '--', path],
    timeoutMs: fx.timeoutMs,
    signal: fx.signal,
    clock,
    onSpawn: (pid) => fx.note({ on: `${attempted}: ${remote.fsType} at ${remote.mountPoint}`, pid }),
  });
  if (!result.timedOut) return;
  fail('timedOut', `${attempted}: the ${remote.fsType} file system at ${remote.mountPoint} has not answered within ${fx.timeoutMs} ms`, {
    subject: remote.mountPoint,
  });
}

/** The first mount that is not local on the way along the path, links followed; only local ones are touched for it. */
async function firstRemote(path: string, mounts: readonly MountInfo[]): Promise<MountInfo | undefined> {
  let rest = posix.normalize(path).split('/').filter(Boolean);
  let at = '/';
  for (let step = 0; step < hostLimits.pathComponents && rest.length > 0; step += 1) {
    const [name = '', ...after] = rest;
    if (name === '..') {
      [at, rest] = [posix.dirname(at), after];
      continue;
    }
    const next = posix.join(at, name);
    const mount = mountOver(next, mounts);
    if (mount !== undefined && !LOCAL.has(mount.fsType)) return mount;
    const target = await linkTarget(next);
    if (target === undefined) [at, rest] = [next, after];
    else [at, rest] = [target.startsWith('/') ? '/' : at, [...target.split('/').filter(Boolean), ...after]];
  }
  return undefined;
}

async function linkTarget(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    // EINVAL: no link; the rest is the business of whoever uses the path
    if (['EINVAL', 'ENOENT', 'ENOTDIR', 'EACCES', 'ENAMETOOLONG', 'ELOOP'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
