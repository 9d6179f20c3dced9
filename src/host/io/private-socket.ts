/**
 * A Unix socket that only root can connect to, from its first moment on. When somebody removes its file, the
 * file is created again: the kernel keeps a listener whose file was removed, but no client can connect to it
 * any more, and the node would be unusable (F90).
 */
import { chmod, link, lstat, mkdir, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { ClockPort, TimerHandle } from '../../ports/clock.ts';
import { fail, toFault } from '../../base/fault.ts';
import { hostLimits, socketLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { codeOf, onlyAbsent } from '../ffi/errno.ts';
import { makeDirectories } from '../files/make-directories.ts';
import { lstatOwn } from '../files/state-files.ts';
import { closeFd } from './descriptors.ts';
import { duplicateOf, whyNotListeningAt } from './listening.ts';
import { listenerAt } from './socket-peer.ts';
import type { SocketPeer } from './socket-peer.ts';

export interface PrivateSocketOptions {
  /** Absolute; its directory is created (mode 0700) when missing. */
  readonly path: string;
  readonly clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>;
  readonly log: Log;
  readonly onConnection: (socket: Socket) => void;
  /** Whether a client that has ended its side can still get an answer, as HTTP needs; default false. */
  readonly allowHalfOpen?: boolean;
  /**
   * Descriptors from systemd or another daemon, owned by this call from now on. The first one that is the listening
   * socket at the path is used; the others are closed. Without one that is, the path is bound as usual.
   */
  readonly given?: readonly number[];
  /** Called before the path is bound although descriptors were given: none of them was used. */
  readonly onUnfit?: () => Promise<void>;
  /** Called with each server that listens: the first one, and those made again after its file was removed. */
  readonly onListening?: (listener: Server) => void;
  /**
   * Whether somebody else goes on accepting on the socket when it is closed: the file then stays. Default: nobody.
   */
  readonly isKept?: () => boolean;
  /** Called once, when another process has bound the path. That process's socket file is left alone. */
  readonly onTaken?: (listener: SocketPeer) => void;
}

export interface PrivateSocket {
  /**
   * Removes the file if it is still ours (unless it is kept), then stops accepting; open connections stay.
   * Repeatable.
   */
  close(): Promise<void>;
  /**
   * Stops accepting without removing the file: another holder of the descriptor goes on, and the connections that
   * nobody has accepted are its. Open connections stay. A later `close` does nothing.
   */
  release(): Promise<void>;
  /** A duplicate of the listening descriptor, owned by the caller. Throws `cancelled` once closed. */
  duplicate(): number;
}

/**
 * Listens until closed. Throws FaultError when the path belongs to another process, or the socket can't be
 * created.
 */
export async function listenPrivately(options: PrivateSocketOptions): Promise<PrivateSocket> {
  const socket = new KeptSocket(options);
  await socket.open();
  return socket;
}

/** Distinguishes files: some file systems reuse an inode's number, but then with another change time. */
interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly ctimeNs: bigint;
}

interface Bound {
  readonly listener: Server;
  readonly identity: FileIdentity;
}

class KeptSocket implements PrivateSocket {
  readonly #options: PrivateSocketOptions;
  #bound: Bound | undefined;
  #timer: TimerHandle | undefined;
  #scanning: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  /** The last problem that was logged; empty while all is well. */
  #problem = '';
  #isTaken = false;

  constructor(options: PrivateSocketOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { path } = this.#options;
    this.#bound = await this.#adopt();
    if (this.#bound === undefined) {
      await refuseForeign(path);
      this.#bound = await this.#bind();
    }
    this.#scanLater();
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close(this.#options.isKept?.() ?? false));
  }

  release(): Promise<void> {
    return (this.#closing ??= this.#close(true));
  }

  duplicate(): number {
    const { path } = this.#options;
    if (this.#bound === undefined || this.#closing !== undefined)
      return fail('cancelled', `duplicate the descriptor of ${path}: closed`, { subject: path });
    return duplicateOf(this.#bound.listener);
  }

  async #close(isKept: boolean): Promise<void> {
    const { path, clock } = this.#options;
    if (this.#timer !== undefined) clock.clearTimeout(this.#timer);
    // a scan that runs now could create the file again after the unlink
    await this.#scanning;
    try {
      // a new client must find no socket rather than one that nobody serves
      if (isKept) return;
      if (await this.#isOurs(await lstat(path, { bigint: true }).catch(onlyAbsent))) await unlink(path);
    } finally {
      this.#bound?.listener.close();
    }
  }

  #scanLater(): void {
    if (this.#closing !== undefined) return;
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#scanning = this.#scan()
        .catch((error: unknown) => this.#note(`check ${this.#options.path}: ${toFault(error).message}`))
        .then(() => this.#scanLater());
    }, socketLimits.scanMs);
  }

  async #scan(): Promise<void> {
    const { path, log, onTaken } = this.#options;
    // by default the path is on a tmpfs, so this needs no pool thread every few seconds
    const found = await lstatOwn(path);
    if (found !== undefined && same(found, this.#bound?.identity)) {
      this.#problem = '';
      return;
    }
    const listener = await listenerAt(path);
    if (listener === 'unknown') return this.#note(`check ${path}: could not connect`);
    if (listener === 'nobody') {
      if (found === undefined || found.isSocket()) return this.#restore();
      return this.#note(`listen on ${path}: replaced by a file that is not a socket`);
    }
    if (listener.pid === process.pid) {
      // only its mode, owner or name was changed
      if (found !== undefined && this.#bound !== undefined) this.#bound = { ...this.#bound, identity: found };
      return;
    }
    if (this.#isTaken) return;
    this.#isTaken = true;
    log.error({ ...listener }, `listen on ${path}: another process is listening there now`);
    onTaken?.(listener);
  }

  async #restore(): Promise<void> {
    const { path, log } = this.#options;
    const before = this.#bound;
    this.#bound = await this.#bind();
    before?.listener.close();
    log.warn({}, `socket ${path} was removed or replaced: created again`);
  }

  async #isOurs(found: (FileIdentity & { isSocket(): boolean }) | undefined): Promise<boolean> {
    const identity = this.#bound?.identity;
    if (found?.ino !== identity?.ino || found?.dev !== identity?.dev || found === undefined) return false;
    if (same(found, identity)) return true;
    const listener = await listenerAt(this.#options.path);
    return typeof listener === 'object' && listener.pid === process.pid;
  }

  async #bind(): Promise<Bound> {
    const listener = this.#server();
    return this.#use(listener, await bindPrivately(listener, this.#options.path));
  }

  /** Listens on the first descriptor that fits, and closes the others. */
  async #adopt(): Promise<Bound | undefined> {
    const { path, log, given = [], onUnfit } = this.#options;
    let bound: Bound | undefined;
    for (const fd of given) {
      const reason = whyNotListeningAt(fd, path);
      if (reason === undefined && bound === undefined) {
        bound = await this.#listenOn(fd);
        continue;
      }
      closeFd(fd);
      // a second one that fits is the same socket: systemd passes that of a socket unit and the one in its store
      if (reason !== undefined) log.warn({ reason }, `descriptor for ${path} is not used`);
    }
    if (given.length > 0 && bound === undefined) await onUnfit?.();
    return bound;
  }

  /** Undefined when the file was removed meanwhile. */
  async #listenOn(fd: number): Promise<Bound | undefined> {
    const { path, log } = this.#options;
    const listener = this.#server();
    await listening(listener, { fd });
    const found = await lstat(path).catch(onlyAbsent);
    if (found === undefined) {
      listener.close();
      return undefined;
    }
    // only where it must be: the change is one of the file, which another daemon that listens would notice
    if ((found.mode & 0o777) !== 0o600) {
      log.warn(
        { mode: (found.mode & 0o777).toString(8) },
        `socket ${path} was open to others: closed to them`,
      );
      await chmod(path, 0o600);
    }
    return this.#use(listener, await lstat(path, { bigint: true }));
  }

  #server(): Server {
    const { onConnection, allowHalfOpen = false } = this.#options;
    return createServer({ allowHalfOpen }, onConnection);
  }

  #use(listener: Server, identity: FileIdentity): Bound {
    const { path, log, onListening } = this.#options;
    listener.on('error', (error) => log.error({ error: error.message }, `listen on ${path}: socket failed`));
    onListening?.(listener);
    return { listener, identity };
  }

  /** Logs each problem once. */
  #note(problem: string): void {
    if (problem !== this.#problem) this.#options.log.error({}, problem);
    this.#problem = problem;
  }
}

function same(one: FileIdentity, other: FileIdentity | undefined): boolean {
  return one.dev === other?.dev && one.ino === other.ino && one.ctimeNs === other.ctimeNs;
}

/**
 * Binds so that no other user can connect at any moment: the socket is created in a directory of mode 0700,
 * where it gets its mode 0600, and is then moved out. (A umask would do too, but it affects the whole
 * process.)
 */
async function bindPrivately(listener: Server, path: string): Promise<FileIdentity> {
  const slash = path.lastIndexOf('/');
  const privateDirectory = `${path.slice(0, slash)}/.${path.slice(slash + 1)}`;
  const made = `${privateDirectory}/s`;
  const parent = path.slice(0, slash) || '/';
  await makeDirectories(parent, 0o700).catch((error: unknown) =>
    fail('outside', `create directory ${parent}: ${toFault(error).message}`, { subject: path }),
  );
  await makePrivateDirectory(privateDirectory, made);
  try {
    await listening(listener, { path: made });
    await chmod(made, 0o600);
    await moveOut(made, path);
  } catch (error) {
    listener.close();
    await rm(privateDirectory, { recursive: true, force: true });
    throw error;
  }
  await rmdir(privateDirectory);
  return lstat(path, { bigint: true });
}

function listening(listener: Server, at: { readonly path: string } | { readonly fd: number }): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen(at, () => {
      listener.off('error', reject);
      resolve();
    });
  });
}

/**
 * A hard link fails when another file took the name meanwhile; a rename would replace it, so it is used only
 * when nobody listens there.
 */
async function moveOut(made: string, path: string): Promise<void> {
  try {
    await link(made, path);
    await unlink(made);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' && !NO_HARD_LINKS.has(codeOf(error) ?? '')) throw error;
    await refuseForeign(path);
    await rename(made, path);
  }
}

/**
 * Errors of file systems without hard links, such as some shared ones of virtual machines and networks
 * (link(2)).
 */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK']);

/** Throws unless `path` is valid for a socket, and free or a socket on which nobody listens. */
async function refuseForeign(path: string): Promise<void> {
  if (!path.startsWith('/') || path.endsWith('/')) {
    fail('invalidRequest', `listen on ${path}: not an absolute path of a file`, { subject: path });
  }
  const most = hostLimits.privateSocketPathBytes;
  if (Buffer.byteLength(path) > most)
    fail('invalidRequest', `listen on ${path}: path is longer than ${most} bytes`, { subject: path });
  const found = await lstat(path).catch(onlyAbsent);
  if (found === undefined) return;
  if (!found.isSocket()) fail('conflict', `listen on ${path}: exists and is not a socket`, { subject: path });
  if (await someoneListens(path)) refuseTaken(path);
}

function refuseTaken(path: string): never {
  return fail('conflict', `listen on ${path}: another process is listening there`, { subject: path });
}

/** Also deletes what a killed start left in it. */
async function makePrivateDirectory(directory: string, made: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    const found = await lstat(directory);
    if (!found.isDirectory() || found.uid !== process.geteuid?.() || (found.mode & 0o077) !== 0) {
      fail('conflict', `listen on ${made}: ${directory} is not a private directory of ours`, {
        subject: directory,
      });
    }
    if (await someoneListens(made)) refuseTaken(made);
    // everything in it is ours: only root can access the directory
    for (const name of await readdir(directory))
      await rm(`${directory}/${name}`, { recursive: true, force: true });
  }
}

/**
 * Whether a process listens at the path. Only a refused connection proves that a socket is stale: any other error may
 * come from a live but busy process.
 */
export function someoneListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error) => resolve(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '')));
  });
}
