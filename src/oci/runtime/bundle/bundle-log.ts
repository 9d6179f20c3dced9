/** The container's log file, given by log_directory and log_path. Neither may lead elsewhere (S09, S32, S75). */
import { constants } from 'node:fs';
import { lstat, mkdir, open, rm } from 'node:fs/promises';
import { posix } from 'node:path';
import { fail } from '../../../base/fault.ts';
import { specLimits } from '../bounds.ts';
import { codeOf, missingAs, onlyAbsent } from '../../../host/ffi/errno.ts';
import { makeDirectories } from '../../../host/files/make-directories.ts';

/** The absolute path of the log; empty for no log. Throws `invalidRequest` with the field's name. */
export function effectiveLogPath(logDirectory: string, logPath: string): string {
  if (logPath === '') return '';
  check(logDirectory, 'log_directory');
  check(logPath, 'log_path');
  if (!posix.isAbsolute(logDirectory)) {
    fail('invalidRequest', `log to directory ${logDirectory}: not an absolute path`, {
      subject: 'log_directory',
    });
  }
  if (posix.isAbsolute(logPath) || logPath.endsWith('/')) {
    fail('invalidRequest', `log to ${logPath}: not a file name relative to log_directory`, {
      subject: 'log_path',
    });
  }
  const path = posix.join(logDirectory, logPath);
  if (Buffer.byteLength(path) >= specLimits.pathBytes) {
    fail(
      'invalidRequest',
      `log to a path of ${Buffer.byteLength(path)} bytes: at most ${specLimits.pathBytes - 1} are allowed`,
      { subject: 'log_path' },
    );
  }
  return path;
}

function check(path: string, field: string): void {
  // conmon takes the path only up to a colon (strtok in its ctr_logging.c): the log would be another file
  if (path.includes(':'))
    fail('invalidRequest', `log to ${JSON.stringify(path)}: must not contain a colon`, { subject: field });
  if (path.includes('\0') || path.split('/').some((part) => part === '..' || part === '.')) {
    fail('invalidRequest', `log to ${JSON.stringify(path)}: must not contain NUL, . or ..`, {
      subject: field,
    });
  }
}

/** Makes an empty log and its directories. Keeps an existing log; throws `invalidRequest` if it is no regular file. */
export async function createLog(logDirectory: string, path: string): Promise<void> {
  await makeLogDirectories(logDirectory, path);
  // a file that was just created needs no check
  if (!(await makeLog(path))) await checkLog(path);
}

/**
 * Makes the directories and checks them. From log_directory on (which may itself be reached through symbolic links, as
 * /var/log often is), every component must be a real directory and an existing log a regular file: the monitor opens
 * the path as root and follows symbolic links.
 */
async function makeLogDirectories(logDirectory: string, path: string): Promise<void> {
  const steps = posix.relative(logDirectory, path).split('/').slice(0, -1);
  if (steps.length === 0) await makeDirectories(logDirectory, 0o755);
  let at = logDirectory;
  for (const [depth, step] of steps.entries()) {
    at = posix.join(at, step);
    // the kubelet has created it, and so the directories above it exist
    const found = await lstat(at).catch(onlyAbsent);
    if (found === undefined && depth === 0) await makeDirectories(logDirectory, 0o755);
    const isNew = found === undefined && (await makeNew(at));
    if (!isNew && !(found ?? (await lstat(at))).isDirectory()) {
      fail('invalidRequest', `log to ${path}: ${at} is not a directory but a link or a file`, {
        subject: 'log_path',
      });
    }
  }
}

async function checkLog(path: string): Promise<void> {
  const found = await missingAs(lstat(path), undefined);
  if (found !== undefined && !found.isFile())
    fail('invalidRequest', `log to ${path}: not a regular file`, { subject: 'log_path' });
}

/** False if something of this name is there. */
async function makeNew(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o755 });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Readable for the owner and its group, as containerd's logs are: collectors run as members of group 0 (cri-o issue
 * 9013). conmon before 2.1.13 makes logs readable for the owner only, but keeps the mode of an existing file.
 */
const LOG_MODE = 0o640;

/** Makes an empty log, to which the monitor appends. False if something of this name is there, which is kept. */
async function makeLog(path: string): Promise<boolean> {
  const file = await open(
    path,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    LOG_MODE,
  ).catch((error: unknown) => {
    if (codeOf(error) === 'EEXIST') return undefined;
    throw error;
  });
  try {
    // independent of the umask
    await file?.chmod(LOG_MODE);
  } finally {
    await file?.close();
  }
  return file !== undefined;
}

/**
 * Makes the file that the monitor renames to the path as the new log. conmon opens it by this name, follows a
 * symbolic link there (S32) and renames it. If it cannot be made (directory deleted, disk full or read-only), conmon
 * would exit instead of continuing with the old log, and the container with it.
 */
export async function prepareNewLog(path: string): Promise<void> {
  const directory = posix.dirname(path);
  await makeLogDirectories(directory, path);
  await checkLog(path);
  await createLog(directory, `${path}.tmp`);
}

/**
 * Called after the exit of a monitor that was to reopen its log, if no file was at the path before. True if the new
 * log exists. Otherwise removes the file of `prepareNewLog`, since the CRI requires that a failed reopen leaves no
 * new log.
 */
export async function settleNewLog(path: string): Promise<boolean> {
  if (await hasLog(path)) return true;
  await rm(`${path}.tmp`, { force: true });
  return false;
}

/** Whether something exists at the path. */
export async function hasLog(path: string): Promise<boolean> {
  return (await missingAs(lstat(path), undefined)) !== undefined;
}
