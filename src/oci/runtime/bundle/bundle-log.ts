/** Where a container's log goes: log_directory and log_path, neither of which may lead anywhere else (S09, S32, S75). */
import { constants } from 'node:fs';
import { lstat, mkdir, open, rm } from 'node:fs/promises';
import { posix } from 'node:path';
import { fail } from '../../../base/fault.ts';
import { specLimits } from '../bounds.ts';
import { codeOf, missingAs } from '../../../host/ffi/errno.ts';
import { makeDirectories } from '../../../host/files/make-directories.ts';

/** The absolute path, or empty for no log. Pure. Throws `invalidRequest` with the field's name. */
export function effectiveLogPath(logDirectory: string, logPath: string): string {
  if (logPath === '') return '';
  check(logDirectory, 'log_directory');
  check(logPath, 'log_path');
  if (!posix.isAbsolute(logDirectory)) {
    fail('invalidRequest', `log to directory ${logDirectory}: it is not absolute`, {
      subject: 'log_directory',
    });
  }
  if (posix.isAbsolute(logPath) || logPath.endsWith('/')) {
    fail('invalidRequest', `log to ${logPath}: it must be a file's name relative to log_directory`, {
      subject: 'log_path',
    });
  }
  const path = posix.join(logDirectory, logPath);
  if (Buffer.byteLength(path) >= specLimits.pathBytes) {
    fail(
      'invalidRequest',
      `log to a path of ${Buffer.byteLength(path)} bytes: at most ${specLimits.pathBytes - 1}`,
      { subject: 'log_path' },
    );
  }
  return path;
}

function check(path: string, field: string): void {
  if (path.includes('\0') || path.split('/').some((part) => part === '..' || part === '.')) {
    fail('invalidRequest', `log to ${JSON.stringify(path)}: it must not contain NUL, . or ..`, {
      subject: field,
    });
  }
}

/**
 * Makes the directories and looks at what lies at the path. From log_directory on (which may itself be reached by
 * links: /var/log often is one) every step must be a real directory, and what is there already a regular file:
 * the monitor opens the path as root and follows whatever it finds.
 */
export async function prepareLog(logDirectory: string, path: string): Promise<void> {
  await makeDirectories(logDirectory, 0o755);
  const steps = posix.relative(logDirectory, path).split('/');
  const name = steps.pop();
  let at = logDirectory;
  for (const step of steps) {
    at = posix.join(at, step);
    await mkdir(at, { mode: 0o755 }).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
    if (!(await lstat(at)).isDirectory()) {
      fail('invalidRequest', `log to ${path}: ${at} is not a directory but a link or a file`, {
        subject: 'log_path',
      });
    }
  }
  const found = await missingAs(lstat(posix.join(at, name ?? '')), undefined);
  if (found !== undefined && !found.isFile()) {
    fail('invalidRequest', `log to ${path}: what is there is not a regular file`, { subject: 'log_path' });
  }
}

/**
 * For the owner and its group, as containerd's: collectors run as members of the group 0 (cri-o issue 9013). conmon before 2.1.13
 * lets the owner alone read what it makes; it leaves the mode of a file that is there as it is.
 */
const LOG_MODE = 0o640;

/** Makes the log, empty, for the monitor to append to; what is there already stays as it is. */
export async function makeLog(path: string): Promise<void> {
  const file = await open(
    path,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    LOG_MODE,
  ).catch((error: unknown) => {
    if (codeOf(error) === 'EEXIST') return undefined;
    throw error;
  });
  try {
    // whatever our umask is
    await file?.chmod(LOG_MODE);
  } finally {
    await file?.close();
  }
}

/**
 * Makes the file that the monitor is to put at the path as the new log: by this name conmon opens it, follows what has it (S32) and
 * renames it. Where it could not be made (the directory was deleted, the disk is full or read-only) conmon would end instead of
 * going on with the old one, and with it the container.
 */
export async function prepareNewLog(path: string): Promise<void> {
  const directory = posix.dirname(path);
  await prepareLog(directory, path);
  const unfinished = `${path}.tmp`;
  await prepareLog(directory, unfinished);
  await makeLog(unfinished);
}

/**
 * After the end of a monitor that was to open its log anew, where nothing was at the path before: true when it has done so. Else
 * what `prepareNewLog` made is taken back, since the contract wants no new log beside a refusal.
 */
export async function settleNewLog(path: string): Promise<boolean> {
  if (await hasLog(path)) return true;
  await rm(`${path}.tmp`, { force: true });
  return false;
}

/** True when something is at the path. */
export async function hasLog(path: string): Promise<boolean> {
  return (await missingAs(lstat(path), undefined)) !== undefined;
}
