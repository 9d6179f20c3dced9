/** Trees that containers leave and no path is long enough for. */
import { closeSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createFileAt, mkdirAt, openDirectoryAt } from '../../src/oci/trees/entry-calls.ts';
import { openOwnDirectory } from '../../src/oci/trees/own-directory.ts';
import { runOrThrow } from './run.ts';
import { PROGRAM_MS } from './patience.ts';

/**
 * Makes directories in each other below `root`, `levels` of them, each with so many files of one byte beside the next.
 */
export function makeDeep(root: string, levels: number, filesEach = 0): void {
  let at = openOwnDirectory(root);
  for (let level = 0; level < levels; level += 1) {
    for (let file = 0; file < filesEach; file += 1) {
      const fd = createFileAt(at, `f${file}`);
      writeSync(fd, 'x');
      closeSync(fd);
    }
    mkdirAt(at, 'd', 0o755);
    const next = openDirectoryAt(at, 'd');
    closeSync(at);
    at = next;
  }
  closeSync(at);
}

/** Makes empty files in the directory, `files` of them. */
export function makeWide(directory: string, files: number): void {
  const at = openOwnDirectory(directory);
  for (let file = 0; file < files; file += 1) closeSync(createFileAt(at, `f${file}`));
  closeSync(at);
}

/** The same in a process of its own: a test that is connected to a daemon must not stand still so long. */
export async function makeDeepAside(root: string, levels: number): Promise<void> {
  await runOrThrow([
    process.execPath,
    fileURLToPath(new URL('make-deep.ts', import.meta.url)),
    root,
    String(levels),
  ]);
}

/** As `makeDeepAside`. */
export async function makeWideAside(directory: string, files: number): Promise<void> {
  await runOrThrow(
    [
      process.execPath,
      fileURLToPath(new URL('make-deep.ts', import.meta.url)),
      directory,
      String(files),
      'wide',
    ],
    { timeoutMs: PROGRAM_MS },
  );
}
