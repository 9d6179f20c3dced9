/**
 * The exit file `<exits>/<id>` holds the exit code in decimal. conmon writes it after the container's process has
 * exited and renames it into place. Its mtime is the time of the exit. Its content is not trusted (F40).
 */
import type { ClockPort } from '../../../ports/clock.ts';
import type { ExitFact } from '../../../ports/journal.ts';
import { monitorLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { readOwnFile } from '../../../host/files/state-files.ts';
import { pause } from '../../../host/clock/wait.ts';

/** Exit code for an unknown code, as containerd and CRI-O report it. */
export const UNKNOWN_EXIT_CODE = 255;
/** 128 + SIGKILL: the exit code of a process killed by the OOM killer. */
export const KILLED_EXIT_CODE = 137;

export interface ExitFile {
  readonly exitCode: number;
  readonly finishedAtNs: bigint;
  /** Why the code is 255; empty for a valid file. */
  readonly problem: string;
}

/** The exit code; undefined if the text is not a decimal number of 0 to 255. */
export function parseExitCode(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^\d{1,3}$/u.test(trimmed)) return undefined;
  const code = Number(trimmed);
  return code <= 255 ? code : undefined;
}

/**
 * Reads the exit file; undefined if it does not exist. A file that stays empty or has no valid code gives 255 and the
 * reason.
 */
export async function readExitFile(path: string, clock: ClockPort): Promise<ExitFile | undefined> {
  let latest: { text: string; mtimeNs: bigint } | undefined;
  for (let attempt = 0; attempt < monitorLimits.exitFilePolls; attempt += 1) {
    if (attempt > 0) await pause(clock, monitorLimits.exitFilePollMs);
    latest = await readOnce(path);
    if (latest === undefined || latest.text !== '') break;
  }
  if (latest === undefined) return undefined;
  const exitCode = parseExitCode(latest.text);
  if (exitCode !== undefined) return { exitCode, finishedAtNs: latest.mtimeNs, problem: '' };
  const problem =
    latest.text === ''
      ? 'the exit file is empty'
      : `invalid exit file: ${JSON.stringify(latest.text.slice(0, 32))}`;
  return { exitCode: UNKNOWN_EXIT_CODE, finishedAtNs: latest.mtimeNs, problem };
}

async function readOnce(path: string): Promise<{ text: string; mtimeNs: bigint } | undefined> {
  try {
    // a symbolic link or a FIFO put there by hand must neither be followed nor block
    const file = await readOwnFile(path, monitorLimits.exitFileBytes);
    if (file === undefined) return undefined;
    return {
      text: file.stat.isFile() ? file.bytes.toString('latin1') : 'not a regular file',
      mtimeNs: file.stat.mtimeNs,
    };
  } catch (error) {
    if (codeOf(error) === 'ELOOP') return { text: 'a symbolic link', mtimeNs: 0n };
    throw error;
  }
}

/**
 * The exit fact of an exit file. `oomKills` is the kernel's counter of the container's cgroup. It counts only when
 * init was killed too: an OOM kill of a child alone is not an OOM kill of the container (F47).
 */
export function exitFactOf(file: ExitFile, oomKills: number): ExitFact {
  const base = { exitCode: file.exitCode, finishedAtNs: file.finishedAtNs, observedBy: 'exitFile' as const };
  if (file.problem !== '') return { ...base, oomKilled: false, reason: 'Unknown', message: file.problem };
  const oomKilled = file.exitCode === KILLED_EXIT_CODE && oomKills > 0;
  if (oomKilled) return { ...base, oomKilled, reason: 'OOMKilled', message: '' };
  return { ...base, oomKilled, reason: file.exitCode === 0 ? 'Completed' : 'Error', message: '' };
}
