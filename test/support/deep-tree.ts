/** Trees that containers leave and no path is long enough for. */
import { closeSync } from 'node:fs';
import { createFileAt, mkdirAt, openDirectoryAt } from '../../src/oci/image/unpack-sys.ts';
import { openOwnDirectory } from '../../src/oci/storage/own-directory.ts';

/** Makes directories in each other below `root`, `levels` of them, each with so many empty files beside the next. */
export function makeDeep(root: string, levels: number, filesEach = 0): void {
  let at = openOwnDirectory(root);
  for (let level = 0; level < levels; level += 1) {
    for (let file = 0; file < filesEach; file += 1) closeSync(createFileAt(at, `f${file}`));
    mkdirAt(at, 'd', 0o755);
    const next = openDirectoryAt(at, 'd');
    closeSync(at);
    at = next;
  }
  closeSync(at);
}
