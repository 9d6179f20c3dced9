/**
 * The small process that creates a user namespace and the namespaces that belong to it; it runs until they
 * are pinned.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { closeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import type { IdMapping, IdMappings } from '../../ports/specs.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { makePipe } from '../io/descriptors.ts';
import { errnoName, fromNode } from '../ffi/errno.ts';
import { readOwnFile } from '../files/state-files.ts';
import { killTree } from '../process/process-kill.ts';
import { spawnProcess } from '../process/process.ts';
import type { Child } from '../process/process.ts';
import { usernsElf } from './userns-elf.ts';
import { within } from '../clock/wait.ts';

export interface UserNamespaceRequest {
  /** Absolute path; written when it does not exist. Its file system must not be mounted noexec. */
  readonly program: string;
  readonly mappings: IdMappings;
}

/**
 * Runs `use` with `/proc/PID/ns` of a process in a new user namespace with these mappings, and in network,
 * IPC and UTS namespaces that belong to it. The process ends with the call or with this daemon. `subject` is
 * for messages.
 */
export async function withUserNamespace<T>(
  request: UserNamespaceRequest,
  subject: string,
  clock: ClockPort,
  use: (from: string) => Promise<T>,
): Promise<T> {
  await writeProgram(request.program);
  const attempted = `create a user namespace for ${subject}`;
  const input = makePipe();
  let child: Child | undefined;
  try {
    try {
      child = await spawnProcess({ argv: [request.program], env: {}, stdin: input.read, stdout: 'pipe' });
    } finally {
      closeSync(input.read);
    }
    await untilMade(child, attempted, subject, clock);
    await writeMapping(child.pid, 'uid_map', request.mappings.uids, attempted);
    await writeMapping(child.pid, 'gid_map', request.mappings.gids, attempted);
    return await use(`/proc/${child.pid}/ns`);
  } finally {
    // the process exits at the end of its stdin; if it hangs, it is killed
    closeSync(input.write);
    child?.stdout?.destroy();
    if (child !== undefined) await ended(child, clock);
  }
}

/** Writes the program atomically; replaces one of another version. */
async function writeProgram(path: string): Promise<void> {
  const { arch } = process;
  if (arch !== 'x64' && arch !== 'arm64')
    return fail('unsupported', `create a user namespace: not supported on ${arch}`, { subject: arch });
  const program = usernsElf(arch);
  const there = await readOwnFile(path, program.length + 1);
  if (there !== undefined && Buffer.compare(there.bytes, program) === 0) return;
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  programs += 1;
  const temporary = `${path}.${process.pid}-${programs}`;
  await writeFile(temporary, program, { mode: 0o700 });
  await rename(temporary, path);
}

let programs = 0;

/** Settles when the process has written its byte: it is in its namespaces then. */
async function untilMade(child: Child, attempted: string, subject: string, clock: ClockPort): Promise<void> {
  const made = new Promise<'made'>((resolve) => {
    // when the pipe breaks, the process has ended, and its exit is reported
    child.stdout?.start(() => resolve('made'));
  });
  const first = await within({ clock, timeoutMs: hostLimits.pinMs }, Promise.race([made, child.exited]));
  if (first === 'made') return;
  if (typeof first === 'string')
    fail(
      'timedOut',
      `${attempted}: timed out after ${hostLimits.pinMs} ms waiting for the process (pid ${child.pid})`,
      { subject },
    );
  const reason = first.exitCode === null ? `signal ${first.signal}` : errnoName(first.exitCode);
  // ENOSPC means that a limit in /proc/sys/user was reached (namespaces(7))
  fail('outside', `${attempted}: refused by the kernel: ${reason}`, { subject });
}

async function writeMapping(pid: number, file: string, mapping: IdMapping, attempted: string): Promise<void> {
  const { containerId, hostId, length } = mapping;
  try {
    await writeFile(`/proc/${pid}/${file}`, `${containerId} ${hostId} ${length}\n`);
  } catch (error) {
    throw fromNode(error, `${attempted}: map ${length} ids from ${hostId} on, in`, file);
  }
}

async function ended(child: Child, clock: ClockPort): Promise<void> {
  if (typeof (await within({ clock, timeoutMs: hostLimits.pinMs }, child.exited)) === 'string')
    await killTree(child.identity, clock);
}
