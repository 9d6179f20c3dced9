// What a daemon holds open for others.
import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Instance } from '../../support/instance.ts';

/**
 * The number of a daemon's descriptors that sessions may leave: all but files of its own root and state, such as the
 * recording of the last minutes, which it opens whenever the first is to be written.
 */
export async function openForOthers({
  directory,
  pid,
}: Pick<Instance, 'directory' | 'pid'>): Promise<number> {
  const fds = `/proc/${pid()}/fd`;
  const targets = await Promise.all(
    (await readdir(fds)).map((fd) => readlink(join(fds, fd)).catch(() => '')),
  );
  return targets.filter((target) => target !== '' && !target.startsWith(`${directory}/`)).length;
}
