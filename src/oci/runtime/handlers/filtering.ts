/** The program that is called in place of runc for containers with the short seccomp profile (filtering-elf.ts). */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { missingAs } from '../../../host/ffi/errno.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { outerFilter } from '../spec/outer-filter.ts';
import { filteringElf } from './filtering-elf.ts';

const DIGEST_CHARS = 16;

/**
 * Returns the path of the launcher for a runtime, and writes it unless it is there. Its name has the digest of its
 * content: a launcher of another release or for another program is another file, which its users keep.
 */
export async function filteringLauncher(directory: string, program: string): Promise<string> {
  const content = filteringElf(program, outerFilter());
  const digest = createHash('sha256').update(content).digest('hex').slice(0, DIGEST_CHARS);
  const path = join(directory, `seccomp-${digest}`);
  const isThere = await missingAs(
    access(path, constants.X_OK).then(() => true),
    false,
  );
  if (isThere) return path;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeWhole(path, content, 0o700);
  return path;
}
