/**
 * The only place that starts processes. posix_spawn (vfork with shared memory in glibc) costs the same
 * whatever the daemon's size, while Node's fork blocks the event loop in proportion to it. It runs in the
 * pool, since it blocks its caller until the exec: a binary on a dead file system would block the event loop.
 *
 * A child gets only what is stated (S38, S64): the given environment and the helper's mark, descriptors 0, 1,
 * 2 and the declared ones, no blocked or ignored signals, its own session, an explicit working directory.
 */
import { closeSync, fchownSync, fstatSync } from 'node:fs';
import { constants } from 'node:os';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { duplicateFrom, makePipe, memoryFile } from '../io/descriptors.ts';
import { KernelError, errnoName } from '../ffi/errno.ts';
import { O_RDONLY, O_RDWR, SIGSET_BYTES, SPAWN_FLAGS, SPAWN_STRUCT_BYTES } from '../ffi/constants.ts';
import { addressOf, callAsync, callSync, libc } from '../ffi/ffi.ts';
import type { Native } from '../ffi/native.ts';
import { helperVariable } from './helper-mark.ts';
import { inPool } from '../ffi/pool.ts';
import { identityOfChild } from './process-identity.ts';
import type { HostIdentity } from './process-identity.ts';
import { awaitChild } from './process-reaper.ts';
import type { ExitStatus } from './process-reaper.ts';
import { SocketReader } from '../io/socket-reader.ts';

/** A descriptor of ours that the child gets under another number. The caller keeps its own and closes it. */
export interface ExtraFd {
  readonly childFd: number;
  readonly fd: number;
}

/** Ids on the host. */
export interface PipeOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface SpawnRequest {
  /** argv[0] is the absolute path of the binary. */
  readonly argv: readonly string[];
  /** The whole environment except the mark; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * False for a program that must survive the daemon's death, and for one that changes nothing: it gets no
   * mark (helper-mark.ts). All others are ended by the next boot of the daemon.
   */
  readonly isHelper?: boolean;
  /** Absolute; the root directory when absent, never the daemon's own. */
  readonly cwd?: string;
  /** Bytes are passed as a file in memory. /dev/null when absent. */
  readonly stdin?: Uint8Array | 'null' | number;
  readonly stdout?: 'null' | 'pipe' | number;
  readonly stderr?: 'null' | 'pipe' | number;
  /** Owner of the pipes, who may open them by name, such as /dev/stdout. The daemon's own when absent. */
  readonly pipeOwner?: PipeOwner | undefined;
  /** Child numbers from 3 on, each once. */
  readonly extraFds?: readonly ExtraFd[];
}

export interface Spawned {
  readonly pid: number;
  readonly identity: HostIdentity;
  /** Never rejects. */
  readonly exited: Promise<ExitStatus>;
}

/** Set when 'pipe' was requested. */
export interface Child extends Spawned {
  readonly stdout?: SocketReader;
  readonly stderr?: SocketReader;
}

/** Set when 'pipe' was requested: read ends, which the caller owns. */
interface ChildWithPipes extends Spawned {
  readonly stdout?: number;
  readonly stderr?: number;
}

/** Starts a program. Throws a KernelError with the error of exec (ENOENT, EACCES, E2BIG …). */
export async function spawnProcess(request: SpawnRequest): Promise<Child> {
  const { stdout, stderr, ...spawned } = await spawnWithPipes(request);
  return {
    ...spawned,
    ...(stdout === undefined ? {} : { stdout: new SocketReader(stdout) }),
    ...(stderr === undefined ? {} : { stderr: new SocketReader(stderr) }),
  };
}

/** The same for a caller that reads the pipes in its own way. */
export async function spawnWithPipes(request: SpawnRequest): Promise<ChildWithPipes> {
  const binary = checkRequest(request);
  const argv = stringTable(request.argv, binary);
  const opened: number[] = [];
  const streams: Partial<Record<'stdout' | 'stderr', number>> = {};
  try {
    const table = descriptorTable(request, opened, streams);
    const variables = [
      ...(request.isHelper === false ? [] : helperVariable(pipeOf(streams))),
      ...Object.entries(request.env),
    ];
    const env = stringTable(
      variables.map(([name, value]) => `${name}=${value}`),
      binary,
    );
    const pid = await start(binary, request.cwd ?? '/', argv, env, table);
    const identity = identityOfNew(pid);
    return { pid, identity, exited: awaitChild(pid), ...takeStreams(streams) };
  } finally {
    for (const fd of opened) closeSync(fd);
    // still present only when the start failed
    for (const fd of Object.values(streams)) closeSync(fd);
  }
}

/** The inode of the pipe of its stdout or stderr; 0 for none. */
function pipeOf({ stdout, stderr }: Partial<Record<'stdout' | 'stderr', number>>): number {
  const fd = stdout ?? stderr;
  return fd === undefined ? 0 : fstatSync(fd).ino;
}

/**
 * An unreaped child always has an entry in /proc. When reading it fails, the child is killed, since nothing
 * would wait for it.
 */
function identityOfNew(pid: number): HostIdentity {
  try {
    const identity = identityOfChild(pid);
    if (identity !== undefined) return identity;
    fail('bug', `start process ${pid}: not found in /proc`, { subject: String(pid) });
  } catch (error) {
    callSync(libc.kill, pid, constants.signals.SIGKILL);
    void awaitChild(pid);
    throw error;
  }
}

function takeStreams(fds: Partial<Record<'stdout' | 'stderr', number>>): typeof fds {
  const taken = { ...fds };
  delete fds.stdout;
  delete fds.stderr;
  return taken;
}

function checkRequest(request: SpawnRequest): string {
  const binary = request.argv[0] ?? '';
  const refuse = (reason: string): never => fail('bug', `start ${binary}: ${reason}`, { subject: binary });
  if (!binary.startsWith('/')) refuse('path of the binary is not absolute');
  if (request.cwd !== undefined && !request.cwd.startsWith('/'))
    refuse(`working directory ${request.cwd} is not absolute`);
  for (const name of Object.keys(request.env)) {
    if (name === '' || name.includes('='))
      refuse(`${JSON.stringify(name)} is not a valid name of an environment variable`);
  }
  const seen = new Set<number>();
  for (const { childFd } of request.extraFds ?? []) {
    const isFree =
      Number.isInteger(childFd) && childFd > 2 && childFd <= hostLimits.childFd && !seen.has(childFd);
    if (!isFree) refuse(`child descriptor ${childFd} is in use or out of range`);
    seen.add(childFd);
  }
  return binary;
}

/**
 * char *table[]: pointers followed by the strings, in one buffer of our own, since koffi's heap is limited.
 */
function stringTable(strings: readonly string[], binary: string): Uint8Array {
  if (strings.some((text) => text.includes('\0'))) {
    fail('invalidRequest', `start ${binary}: an argument or environment variable contains a NUL byte`, {
      subject: binary,
    });
  }
  const texts = strings.map((text) => Buffer.from(`${text}\0`));
  const pointerBytes = (texts.length + 1) * 8;
  const size = texts.reduce((sum, text) => sum + text.length, pointerBytes);
  if (size > hostLimits.argumentBytes) {
    fail(
      'exhausted',
      `start ${binary}: ${size} bytes of arguments or environment exceed ${hostLimits.argumentBytes}`,
      {
        subject: binary,
        retryable: false,
      },
    );
  }
  const table = Buffer.alloc(size);
  const base = addressOf(table);
  let at = pointerBytes;
  for (const [index, text] of texts.entries()) {
    table.writeBigUInt64LE(base + BigInt(at), index * 8);
    text.copy(table, at);
    at += text.length;
  }
  return table;
}

/** The source of each descriptor of the child: a descriptor of ours, or undefined for /dev/null. */
type DescriptorTable = ReadonlyMap<number, number | undefined>;

function descriptorTable(
  request: SpawnRequest,
  opened: number[],
  streams: Partial<Record<'stdout' | 'stderr', number>>,
): DescriptorTable {
  const table = new Map<number, number | undefined>();
  const { stdin = 'null' } = request;
  if (stdin instanceof Uint8Array) {
    const fd = memoryFile(stdin);
    opened.push(fd);
    table.set(0, fd);
  } else table.set(0, stdin === 'null' ? undefined : stdin);
  for (const [childFd, name] of [
    [1, 'stdout'],
    [2, 'stderr'],
  ] as const) {
    const wanted = request[name] ?? 'null';
    if (wanted === 'pipe') {
      const pipe = makePipe();
      streams[name] = pipe.read;
      opened.push(pipe.write);
      if (request.pipeOwner !== undefined)
        fchownSync(pipe.write, request.pipeOwner.uid, request.pipeOwner.gid);
      table.set(childFd, pipe.write);
    } else table.set(childFd, wanted === 'null' ? undefined : wanted);
  }
  for (const { childFd, fd } of request.extraFds ?? []) table.set(childFd, fd);
  const highest = Math.max(...table.keys());
  for (const [childFd, fd] of table) {
    if (fd === undefined || fd > highest) continue;
    // a source within the range of targets could be overwritten by an earlier dup2
    const copy = duplicateFrom(fd, highest + 1);
    opened.push(copy);
    table.set(childFd, copy);
  }
  return table;
}

async function start(
  binary: string,
  cwd: string,
  argv: Uint8Array,
  env: Uint8Array,
  table: DescriptorTable,
): Promise<number> {
  const attributes = Buffer.alloc(SPAWN_STRUCT_BYTES);
  const actions = Buffer.alloc(SPAWN_STRUCT_BYTES);
  // all bits: sigfillset omits the two signals that glibc reserves, and posix_spawn skips those itself
  const everySignal = Buffer.alloc(SIGSET_BYTES, 0xff);
  const noSignal = Buffer.alloc(SIGSET_BYTES);
  const pid = Buffer.alloc(4);
  const set = <A extends unknown[]>(fn: Native<A>, ...args: A): void => {
    // these return the errno instead of setting it (posix_spawnattr_init(3))
    const errno = callSync(fn, ...args).result;
    if (errno !== 0) throw new KernelError(`prepare the start of ${binary}`, errno, binary);
  };
  set(libc.spawnattrInit, attributes);
  set(libc.actionsInit, actions);
  try {
    set(libc.spawnattrSetflags, attributes, SPAWN_FLAGS);
    // Node ignores SIGPIPE, and ignored signals stay ignored after an exec
    set(libc.spawnattrSetsigdefault, attributes, everySignal);
    set(libc.spawnattrSetsigmask, attributes, noSignal);
    addActions(actions, cwd, table, set);
    const once = async (): Promise<number> =>
      (await callAsync(libc.posixSpawn, pid, binary, actions, attributes, argv, env)).result;
    let errno = await inPool(binary, once);
    // the program's file was just written: a child that was forked meanwhile holds its descriptor until its
    // own execve
    for (
      let again = 0;
      errno !== 0 && errnoName(errno) === 'ETXTBSY' && again < hostLimits.busyStarts;
      again += 1
    )
      errno = await inPool(binary, once);
    if (errno !== 0) throw new KernelError(`start ${binary}`, errno, binary);
    return pid.readInt32LE(0);
  } finally {
    callSync(libc.actionsDestroy, actions);
    callSync(libc.spawnattrDestroy, attributes);
  }
}

function addActions(
  actions: Uint8Array,
  cwd: string,
  table: DescriptorTable,
  set: <A extends unknown[]>(fn: Native<A>, ...args: A) => void,
): void {
  const highest = Math.max(...table.keys());
  for (let childFd = 0; childFd <= highest; childFd += 1) {
    const fd = table.get(childFd);
    if (fd !== undefined) set(libc.actionsAdddup2, actions, fd, childFd);
    else if (!table.has(childFd)) set(libc.actionsAddclose, actions, childFd);
    else set(libc.actionsAddopen, actions, childFd, '/dev/null', childFd === 0 ? O_RDONLY : O_RDWR, 0);
  }
  set(libc.actionsAddchdir, actions, cwd);
  // last: until then the child holds the lock of our root, so the next daemon, which scans for it, can't
  // begin
  set(libc.actionsAddclosefrom, actions, highest + 1);
}
