/**
 * Accesses paths that users name (volumes, log directories, devices, profiles). A dead NFS or FUSE mount
 * behind one blocks a thread of libuv's pool for as long as it is dead, and the pool has a dozen for such
 * calls (F33, F45). So a path that leads to anything but a local file system is first probed by a small
 * process, which can be killed; our own access then uses only a few threads per mount.
 */
import { readlink } from 'node:fs/promises';
import { constants } from 'node:os';
import { posix } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import type { EffectContext } from '../../ports/effect.ts';
import { onAbort } from '../../base/abort.ts';
import { KeyedSemaphore } from '../../base/bounded.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { codeOf } from '../ffi/errno.ts';
import type { MountPlace, MountPlaces } from './mount-places.ts';
import { isRemote } from './remote-types.ts';
import { inPool } from '../ffi/pool.ts';
import { killProcess } from '../process/process-identity.ts';
import { spawnProcess } from '../process/process.ts';
import { within } from '../clock/wait.ts';

/** From coreutils, which is essential on Debian and Ubuntu. */
const STAT = '/usr/bin/stat';

export interface UserPath {
  /** Absolute. */
  readonly path: string;
  /** Beginning of error messages, such as `mount /data at /srv`. */
  readonly attempted: string;
  readonly mounts: MountPlaces;
  readonly clock: ClockPort;
  readonly fx: EffectContext;
}

/** The first mount along the path, links followed, that is not local. Accesses only local mounts itself. */
export async function firstRemote(path: string, mounts: MountPlaces): Promise<MountPlace | undefined> {
  // most machines have none, and then no file is accessed
  if (mounts.remote.length === 0) return undefined;
  let rest = posix.normalize(path).split('/').filter(Boolean);
  let at = '/';
  for (let step = 0; step < hostLimits.pathComponents && rest.length > 0; step += 1) {
    const [name = '', ...after] = rest;
    if (name === '.' || name === '..') {
      [at, rest] = [name === '..' ? posix.dirname(at) : at, after];
      continue;
    }
    const next = posix.join(at, name);
    const mount = mounts.over(next);
    if (mount !== undefined && isRemote(mount)) return mount;
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
    // EINVAL: not a link; other errors concern whoever uses the path
    if (['EINVAL', 'ENOENT', 'ENOTDIR', 'EACCES', 'ENAMETOOLONG', 'ELOOP'].includes(codeOf(error) ?? ''))
      return undefined;
    throw error;
  }
}

/**
 * The result of `work` on the path. Throws `timedOut` with the mount's name when its file system does not
 * answer within the effect's bound, and `cancelled` when the effect's signal aborts. Running work can't be
 * stopped then (a thread waits in the kernel): it keeps its slot in the pool, of which each mount has a few,
 * and its result is dropped.
 * @param work gets the mount point, whose slots in the pool it uses (`inPool`)
 */
export async function onUserPath<T>(request: UserPath, work: (mountPoint: string) => Promise<T>): Promise<T> {
  const { path, attempted, mounts, fx } = request;
  fx.note({ on: attempted });
  const remote = await firstRemote(path, mounts);
  const mount = remote ?? mounts.over(path);
  const where =
    mount === undefined ? 'the file system' : `the ${mount.fsType} file system at ${mount.mountPoint}`;
  const mountPoint = mount?.mountPoint ?? '/';
  return untilBound(request, mountPoint, where, async (signal) => {
    if (remote !== undefined) await ask(request, remote, where, signal);
    return inPool(mountPoint, () => work(mountPoint), signal);
  });
}

/**
 * Runs `work` until the effect's bound; then its signal aborts, and a later result is dropped. Throws `timedOut` or
 * `cancelled`.
 * @param where what the work waits for, for the message
 */
export async function untilBound<T>(
  { clock, fx, attempted }: Pick<UserPath, 'clock' | 'fx' | 'attempted'>,
  subject: string,
  where: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const unwanted = (): never => fail('cancelled', `${attempted}: no longer wanted`, { subject });
  if (fx.signal.aborted) unwanted();
  const controller = new AbortController();
  const running = work(controller.signal).then((value) => ({ value }));
  const first = await within({ clock, timeoutMs: fx.timeoutMs, signal: fx.signal }, running);
  if (typeof first === 'object') return first.value;
  running.catch(() => undefined);
  controller.abort();
  if (first === 'cancelled') return unwanted();
  return fail('timedOut', `${attempted}: timed out after ${fx.timeoutMs} ms waiting for ${where}`, {
    subject,
  });
}

const asking = new KeyedSemaphore('questions to', hostLimits.askedPerMount, hostLimits.poolCallsWaiting);

/**
 * Settles when a process has called stat on the path or was killed; does not report whether the path exists.
 * Each mount has a few such processes at once: one that even SIGKILL does not end keeps its slot, so that
 * they do not pile up.
 */
async function ask(
  { path, attempted, fx }: UserPath,
  { mountPoint }: MountPlace,
  where: string,
  signal: AbortSignal,
): Promise<void> {
  fx.note({ on: `${attempted}: ${where}` });
  const stat = async (): Promise<void> => {
    // --cached=never forces a request to the server: the root of a mount would be answered from the cache
    // (since coreutils 8.32)
    const argv = [STAT, '--dereference', '--cached=never', '--format=%s', '--', path];
    // no helper: it changes nothing, and on a dead server it may take days to end, for which no start of the
    // daemon may wait
    const child = await spawnProcess({ argv, env: {}, isHelper: false });
    fx.note({ on: `${attempted}: ${where}`, argv, pid: child.pid });
    const stopListening = onAbort(signal, () => void killProcess(child.identity, constants.signals.SIGKILL));
    await child.exited;
    stopListening();
  };
  await asking.with(mountPoint, stat, signal);
  signal.throwIfAborted();
}
