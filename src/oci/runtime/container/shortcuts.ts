/**
 * `start` and `delete` of a release of runc whose state directory is known, without running runc. Go's start alone
 * takes 5 ms and twice that of processor time, for reading one byte and removing two files. The same end state as
 * runc's, and runc can be run at any point in between: whatever is not as it should be is left to it, so that it says
 * what is wrong. (start.go, delete.go, libcontainer/container_linux.go and state_linux.go, the same from 1.1 to 1.5.)
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { EffectContext } from '../../../ports/effect.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { fail, toFault } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { pollReadable } from '../../../host/io/poll.ts';
import { removedAtOnce } from '../../../host/cgroups/cgroups.ts';
import { scopeOf } from '../../../host/cgroups/slices.ts';
import { within } from '../../../host/clock/wait.ts';
import { processExists } from '../../../host/process/process-identity.ts';
import {
  isInMemory,
  readAtOnce,
  readOwnDirectory,
  removeEmpty,
  removeFile,
} from '../../../host/files/state-files.ts';
import type { DriverParts } from './parts.ts';
import { readNote } from './record.ts';
import { readRuntimeState } from './state.ts';
import { EXEC_FIFO } from './runc.ts';
import type { RuntimeState } from './runc.ts';
import type { Handler } from '../handlers/handlers.ts';

/** The first line of `--version` of releases whose state directory is known. */
const KNOWN = /^runc version 1\.[1-5]\.\d/u;
/** First bytes of a program (elf(5)); a script that calls runc may add to what it does. */
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

/** Whether the program is runc itself, in a release whose state directory is known. Never rejects. */
export async function hasKnownState(path: string, versionText: string): Promise<boolean> {
  return KNOWN.test(versionText) && (await isElf(path).catch(() => false));
}

async function isElf(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(ELF.length), 0, ELF.length, 0);
    return ELF.equals(buffer);
  } finally {
    await file.close();
  }
}

/** What both verbs need: false where they are left to the runtime. */
function isKnown(parts: DriverParts, handler: Handler): boolean {
  return parts.table.hasShortcuts(handler.name) && isInMemory(join(handler.root, EXEC_FIFO));
}

/**
 * Lets init go on, as `runc start` does: init waits until somebody opens its FIFO for reading, then writes a byte into
 * it and executes the container's program; the FIFO is removed. False if nothing was done and the runtime is to be
 * called. Throws `timedOut` when init does not answer (a frozen cgroup), `cancelled`.
 */
export async function startByFifo(
  parts: DriverParts,
  handler: Handler,
  id: ContainerId,
  fx: EffectContext,
): Promise<boolean> {
  if (!isKnown(parts, handler)) return false;
  const init = await readRuntimeState(handler.root, id);
  if (init === undefined || !processExists(init)) return false;
  const path = join(handler.root, id, EXEC_FIFO);
  const fd = openFifo(path);
  if (fd === undefined) return false;
  fx.note({ on: 'init to leave its FIFO', pid: init.pid });
  try {
    if (!(await untilWritten(parts, fd, { init, id, fx }))) return false;
  } finally {
    closeSync(fd);
  }
  await removeFile(path);
  return true;
}

/** Undefined if it is not there: the container was started already. */
function openFifo(path: string): number | undefined {
  // without O_NONBLOCK it would wait for a writer, which may have died
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
  let fd: number;
  try {
    fd = openSync(path, flags);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  if (fstatSync(fd).isFIFO()) return fd;
  closeSync(fd);
  return undefined;
}

interface InitStart {
  readonly init: RuntimeState;
  readonly id: ContainerId;
  readonly fx: EffectContext;
}

/** True once init has written; false if it ended before. */
async function untilWritten(
  { clock }: DriverParts,
  fd: number,
  { init, id, fx }: InitStart,
): Promise<boolean> {
  const until = clock.monoMs() + fx.timeoutMs;
  for (;;) {
    const readable = Promise.withResolvers<void>();
    const watch = pollReadable(fd, () => readable.resolve());
    try {
      const bound = { clock, timeoutMs: driverLimits.initCheckMs, signal: fx.signal };
      if ((await within(bound, readable.promise)) === 'cancelled')
        fail('cancelled', `start container ${id}: the result is no longer wanted`, { subject: id });
    } finally {
      watch.close();
    }
    if (hasByte(fd)) return true;
    // once more: it may have written and ended since
    if (!processExists(init)) return hasByte(fd);
    if (clock.monoMs() >= until) {
      fail('timedOut', `start container ${id}: timed out after ${fx.timeoutMs} ms waiting for init`, {
        subject: id,
      });
    }
  }
}

const byte = new Uint8Array(1);

/** A FIFO that nobody has written to reads as empty (0 bytes) before its writer opens it, and as EAGAIN after that. */
function hasByte(fd: number): boolean {
  try {
    return readSync(fd, byte, 0, byte.length, null) > 0;
  } catch (error) {
    if (codeOf(error) === 'EAGAIN') return false;
    throw error;
  }
}

/** In a document: hooks after the end, which runc's delete runs, and a group of resctrl, which it removes. */
const NEEDS_RUNC = ['"poststop"', '"intelRdt"'];

/**
 * Removes the cgroup and the state directory of an exited container, as `runc delete` does. False if something is left
 * and the runtime is to be called.
 */
export async function deleteByHand(parts: DriverParts, handler: Handler, id: ContainerId): Promise<boolean> {
  const { layout, log } = parts;
  if (!isKnown(parts, handler)) return false;
  const note = await readNote(layout, id);
  // a scope is systemd's: runc asks it to forget a failed one
  if (note === undefined || scopeOf(note.cgroup) !== undefined) return false;
  const init = await readRuntimeState(handler.root, id);
  if (init === undefined || processExists(init)) return false;
  const document = readAtOnce(layout.configJson(id), driverLimits.stateFileBytes);
  if (document === undefined || NEEDS_RUNC.some((word) => document.includes(word))) return false;
  try {
    // the runtime kills what outlived an init without a PID namespace of its own
    if (!(await removedAtOnce(parts.cgroups, note.cgroup))) return false;
    parts.removedCgroups.add(note.cgroup);
    const directory = join(handler.root, id);
    for (const { name } of (await readOwnDirectory(directory)) ?? []) await removeFile(join(directory, name));
    await removeEmpty(directory);
  } catch (error) {
    log.debug({ id, reason: toFault(error).message }, 'delete without the runtime failed: it is called');
    return false;
  }
  return true;
}
