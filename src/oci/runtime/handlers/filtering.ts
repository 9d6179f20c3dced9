/** The program that is called in place of runc for containers with the short seccomp profile (filtering-elf.ts). */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { missingAs } from '../../../host/ffi/errno.ts';
import { outerFilter } from '../spec/outer-filter.ts';
import { readOwnFile } from '../../../host/files/state-files.ts';
import { filteringElf } from './filtering-elf.ts';
import { writeProgram } from './stand-ins.ts';

const DIGEST_CHARS = 16;

interface Launcher {
  readonly name: string;
  readonly content: Uint8Array;
}

/** By the runtime's path: of the few handlers' programs, and asked for with each exec. */
const launchers = new Map<string, Launcher>();
/** Those that are being written, by path: one write is enough for all that ask. */
const writes = new Map<string, Promise<string>>();
/** What the files were, by path, when their content was compared. */
const compared = new Map<string, string>();

/**
 * Returns the path of the launcher for a runtime, and writes it unless it is there. Its name has the digest of its
 * content: a launcher of another release or for another program is another file, which its users keep.
 */
export async function filteringLauncher(directory: string, program: string): Promise<string> {
  const { name, content } = launcherOf(program);
  const path = join(directory, name);
  if (await isWhole(path, content)) return path;
  const write = writes.get(path) ?? writeProgram(directory, name, content);
  writes.set(path, write);
  try {
    return await write;
  } finally {
    writes.delete(path);
  }
}

/** The file name of the launcher for a runtime. */
export function launcherName(program: string): string {
  return launcherOf(program).name;
}

function launcherOf(program: string): Launcher {
  const known = launchers.get(program);
  if (known !== undefined) return known;
  const content = filteringElf(program, outerFilter());
  const digest = createHash('sha256').update(content).digest('hex').slice(0, DIGEST_CHARS);
  const launcher = { name: `seccomp-${digest}`, content };
  launchers.set(program, launcher);
  return launcher;
}

/**
 * A file that was not synced can have another content after a power loss, of any length. It is compared once, and then
 * again when it has changed.
 */
async function isWhole(path: string, content: Uint8Array): Promise<boolean> {
  const found = await missingAs(stat(path, { bigint: true }), undefined);
  if (found?.isFile() !== true || (Number(found.mode) & constants.S_IXUSR) === 0) return false;
  const identity = [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(' ');
  if (compared.get(path) === identity) return true;
  if (found.size !== BigInt(content.length)) return false;
  const there = await readOwnFile(path, content.length);
  if (there?.bytes.equals(content) !== true) return false;
  compared.set(path, identity);
  return true;
}
