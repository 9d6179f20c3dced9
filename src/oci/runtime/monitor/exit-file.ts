/**
 * The exit file: `<exits>/<id>` holding the exit code in decimal, written by conmon when its container's process
 * has ended, renamed into place whole. Its mtime is the time of the exit. Nothing in it is trusted (F40).
 */
import type { ClockPort } from '../../../ports/clock.ts';
import type { ExitFact } from '../../../ports/journal.ts';
import { monitorLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { readOwnFile } from '../../../host/files/state-files.ts';
import { pause } from '../../../host/clock/wait.ts';

/** What the peers report when the true code can't be known. */
export const UNKNOWN_EXIT_CODE = 255;
/** 128 + SIGKILL: how a process killed by the kernel's OOM killer ends. */
export const KILLED_EXIT_CODE = 137;

export interface ExitFile {
  readonly exitCode: number;
  readonly finishedAtNs: bigint;
  /** Why the code is 255; empty when the file was good. */
  readonly problem: string;
}

/** The exit code, or undefined when the text is not a decimal number of 0 to 255. */
export function parseExitCode(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^\d{1,3}$/u.test(trimmed)) return undefined;
  const code = Number(trimmed);
  return code <= 255 ? code : undefined;
}

/** The file's content, or undefined when there is none. A file that stays empty or is no number tells 255 and why. */
export async function readExitFile(path: string, clock: ClockPort): Promise<ExitFile | undefined> {
  let latest: { text: string; mtimeNs: bigint } | undefined;
  for (let look = 0; look < monitorLimits.exitFilePolls; look += 1) {
    if (look > 0) await pause(clock, monitorLimits.exitFilePollMs);
    latest = await readOnce(path);
    if (latest === undefined || latest.text !== '') break;
  }
  if (latest === undefined) return undefined;
  const exitCode = parseExitCode(latest.text);
  if (exitCode !== undefined) return { exitCode, finishedAtNs: latest.mtimeNs, problem: '' };
  const problem =
    latest.text === ''
      ? 'the exit file is empty'
      : `the exit file holds ${JSON.stringify(latest.text.slice(0, 32))}`;
  return { exitCode: UNKNOWN_EXIT_CODE, finishedAtNs: latest.mtimeNs, problem };
}

async function readOnce(path: string): Promise<{ text: string; mtimeNs: bigint } | undefined> {
  try {
    // a link or a FIFO put there by hand must neither lead elsewhere nor block
    const file = await readOwnFile(path, monitorLimits.exitFileBytes);
    if (file === undefined) return undefined;
    return {
      text: file.stat.isFile() ? file.bytes.toString('latin1') : 'no regular file',
      mtimeNs: file.stat.mtimeNs,
    };
  } catch (error) {
    if (codeOf(error) === 'ELOOP') return { text: 'a symbolic link', mtimeNs: 0n };
    throw error;
  }
}

/**
 * The fact of an exit. `oomKills` is the kernel's counter of the container's cgroup: a killed child with another
 * exit code of init is no OOM kill of the container (F47).
 */
export function exitFactOf(file: ExitFile, oomKills: number): ExitFact {
  const base = { exitCode: file.exitCode, finishedAtNs: file.finishedAtNs, observedBy: 'exitFile' as const };
  if (file.problem !== '') return { ...base, oomKilled: false, reason: 'Unknown', message: file.problem };
  const oomKilled = file.exitCode === KILLED_EXIT_CODE && oomKills > 0;
  if (oomKilled) return { ...base, oomKilled, reason: 'OOMKilled', message: '' };
  return { ...base, oomKilled, reason: file.exitCode === 0 ? 'Completed' : 'Error', message: '' };
}
