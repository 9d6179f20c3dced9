import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { fail } from '../../base/fault.ts';

/**
 * Directories that programs are searched in; also the PATH of programs that we start. A daemon does not trust its
 * environment's PATH.
 */
export const TOOL_DIRECTORIES: readonly string[] = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

/** The absolute path of a program; throws `invalidRequest` with its purpose if it is missing. */
export async function findProgram(name: string, purpose: string): Promise<string> {
  const candidates = isAbsolute(name) ? [name] : TOOL_DIRECTORIES.map((directory) => join(directory, name));
  for (const path of candidates) if (await isExecutable(path)) return path;
  return fail('invalidRequest', `find ${name} (${purpose}): no executable ${candidates.join(', ')}`, {
    subject: name,
  });
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
