/** Which program a process runs: by its files, since a package puts others at the same path. */
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isAbsent } from '../../host/ffi/errno.ts';

/**
 * Inodes, sizes and times of the files of this process's program, as they are now.
 * @param main path of the script that Node runs: the bundle's launcher or main.ts
 */
export function programIdentity(main = process.argv[1] ?? '', node = process.execPath): string {
  return [main, join(dirname(main), 'troupe.cjs'), node].map(identityOf).join(' ');
}

function identityOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mtimeNs].join(':');
  } catch (thrown) {
    // sources have no bundle
    if (isAbsent(thrown)) return 'none';
    throw thrown;
  }
}
