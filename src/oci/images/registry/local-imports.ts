/**
 * Where `troupe import` and the daemon meet. The command serves the image like a registry on a Unix socket below the
 * state directory, whose name is made of the reference; a pull of that reference asks there instead of its registry. So
 * the daemon reads no archive and no path that somebody names, and verifies an import as it does a pull. Only who may
 * write in the state directory can offer one.
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../../host/ffi/errno.ts';
import { formatReference, type ImageReference } from '../model/reference.ts';

/** Hex digits of the hash: a path of a socket ends at 107 bytes (unix(7)). */
const NAME_DIGITS = 32;

/** The directory of the sockets, mode 0700. */
export function importsDirectory(state: string): string {
  return join(state, 'imports');
}

/** The socket of an import of this reference. */
export function importSocketPath(state: string, reference: ImageReference): string {
  const name = createHash('sha256').update(formatReference(reference)).digest('hex').slice(0, NAME_DIGITS);
  return join(importsDirectory(state), name);
}

/** The socket of the import that offers this reference now; one whose command was killed is removed. */
export async function offeredImport(state: string, reference: ImageReference): Promise<string | undefined> {
  const path = importSocketPath(state, reference);
  const code = await connectCode(path);
  if (code === undefined) return path;
  if (code === 'ECONNREFUSED') await unlink(path).catch(() => undefined);
  return undefined;
}

/** Undefined when somebody listens. A Unix socket answers at once, so that there is nothing to bound. */
function connectCode(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error) => resolve(codeOf(error) ?? 'ENOENT'));
  });
}
