/** Where a container's log goes: log_directory and log_path, neither of which may lead anywhere else (S09, S32, S75). */
import { constants } from 'node:fs';
import { lstat, mkdir, open, rm } from 'node:fs/promises';
import { posix } from 'node:path';
import { fail } from '../../base/fault.ts';
import { specLimits } from '../../base/limits.ts';
import { codeOf, missingAs } from '../../host/errno.ts';
import { makeDirectories } from '../../host/make-directories.ts';

/** The absolute path, or empty for no log. Pure. Throws `invalidRequest` with the field's name. */
export function effectiveLogPath(logDirectory: string, logPath: string): string {
  if (logPath === '') return '';
  check(logDirectory, 'log_directory');
  check(logPath, 'log_path');
  if (!posix.isAbsolute(logDirectory)) {
    fail('invalidRequest', `log to directory ${logDirectory}: it is not absolute`, { subject: 'log_directory' });
  }
  if (posix.isAbsolute(logPath) || logPath.endsWith('/')) {
    fail('invalidRequest', `log to ${logPath}: it must be a file's name relative to log_directory`, { subject: 'log_path' });
  }
  const path = posix.join(logDirectory, logPath);
  if (Buffer.byteLength(path) >= specLimits.pathBytes) {
    fail('invalidRequest', `log to a path of ${Buffer.byteLength(path)} bytes: at most ${specLimits.pathBytes - 1}`, { subject: 'log_path' });
  }
  return path;
}

function check(path: string, field: string): void {
  if (path.includes('\0') || path.split('/').some((part) => part === '..' || part === '.')) {
    fail('invalidRequest', `log to ${JSON.stringify(path)}: it must not contain NUL, . or ..`, { subject: field });
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
      fail('invalidRequest', `log to ${path}: ${at} is not a directory but a link or a file`, { subject: 'log_path' });
    }
  }
  const found = await missingAs(lstat(posix.join(at, name ?? '')), undefined);
  if (found !== undefined && !found.isFile()) {
    fail('invalidRequest', `log to ${path}: what is there is not a regular file`, { subject: 'log_path' });
  }
}

/**
 * Makes sure that the monitor can make a new log at the path: where it cannot (the directory was deleted, the disk is
 * full or read-only), conmon ends instead of going on with the old one, and with it goes the container.
 */
export async function prepareNewLog(path: string): Promise<void> {
  await prepareLog(posix.dirname(path), path);
  // by this name conmon makes the new one, and follows what has it (S32)
  await prepareLog(posix.dirname(path), `${path}.tmp`);
  // as long as conmon's own `.tmp`, beside which it must not be mistaken
  const trial = `${path}.try`;
  const file = await open(trial, constants.O_WRONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  await file.close();
  await rm(trial, { force: true });
}
