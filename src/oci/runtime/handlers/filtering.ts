/** The program that is called in place of runc for containers with the short seccomp profile (filtering-elf.ts). */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { missingAs } from '../../../host/ffi/errno.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { outerFilter } from '../spec/outer-filter.ts';
import { filteringElf } from './filtering-elf.ts';

const DIGEST_CHARS = 16;

interface Launcher {
  readonly name: string;
  readonly content: Uint8Array;
}

/** By the runtime's path: of the few handlers' programs, and asked for with each exec. */
const launchers = new Map<string, Launcher>();
/** Those that are being written, by path: a second writer would rename the first one's file away. */
const writes = new Map<string, Promise<void>>();

/**
 * Returns the path of the launcher for a runtime, and writes it unless it is there. Its name has the digest of its
 * content: a launcher of another release or for another program is another file, which its users keep.
 */
export async function filteringLauncher(directory: string, program: string): Promise<string> {
  const { name, content } = launcherOf(program);
  const path = join(directory, name);
  if (await isWhole(path, content.length)) return path;
  const write = writes.get(path) ?? writeLauncher(directory, path, content);
  writes.set(path, write);
  try {
    await write;
  } finally {
    writes.delete(path);
  }
  return path;
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

/** A file that was not synced can be there without its content after a power loss. */
async function isWhole(path: string, size: number): Promise<boolean> {
  const found = await missingAs(stat(path), undefined);
  return (
    found !== undefined && found.isFile() && found.size === size && (found.mode & constants.S_IXUSR) !== 0
  );
}

async function writeLauncher(directory: string, path: string, content: Uint8Array): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeWhole(path, content, 0o700);
}
