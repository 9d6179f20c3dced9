/**
 * Connects `troupe import` with the daemon. The command serves the image like a registry, on a Unix socket below the
 * state directory whose name is a hash of the reference. A pull of that reference uses the socket instead of the
 * registry. So the daemon reads neither archives nor paths chosen by users, and verifies an import as it verifies a
 * pull. Only users who may write to the state directory can offer an import.
 */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../../host/ffi/errno.ts';
import { formatReference, type ImageReference } from '../model/reference.ts';

/** Hex digits of the hash: the path of a socket has at most 107 bytes (unix(7)). */
const NAME_DIGITS = 32;

/** The directory of the sockets; it has mode 0700. */
export function importsDirectory(state: string): string {
  return join(state, 'imports');
}

/** The path of the socket for an import of this reference. */
export function importSocketPath(state: string, reference: ImageReference): string {
  const name = createHash('sha256').update(formatReference(reference)).digest('hex').slice(0, NAME_DIGITS);
  return join(importsDirectory(state), name);
}

/** The socket of a running import of this reference, or undefined. Removes the socket of a command that was killed. */
export async function offeredImport(state: string, reference: ImageReference): Promise<string | undefined> {
  const path = importSocketPath(state, reference);
  const code = await connectCode(path);
  if (code === undefined) return path;
  if (code === 'ECONNREFUSED') await unlink(path).catch(() => undefined);
  return undefined;
}

/**
 * The error code of a connection attempt; undefined if it succeeds. It needs no timeout: connect(2) to a Unix socket
 * does not wait.
 */
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
