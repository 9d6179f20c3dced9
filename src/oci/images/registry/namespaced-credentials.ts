/**
 * Credentials for one pull in one Kubernetes namespace: `<namespace>-<sha256 of the image's name>.json`, a file as
 * containers-auth.json(5) that a credential provider of the kubelet writes before the pull (CRI-O's namespaced_auth_dir
 * has the same names). The name is the normalised repository, without tag or digest. A file is good for one pull: it is
 * taken away before it is used, so that the next pull, perhaps another pod's, has to bring its own.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryAuth } from '../../../ports/images.ts';
import { fail } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { repositoryOf, type ImageReference } from '../model/reference.ts';
import { parseAuthFile } from './auth-file.ts';
import type { NodeCredentials } from './node-credentials.ts';

/** A name of a Kubernetes namespace (RFC 1123 label): nothing else becomes part of a path. */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;

export interface NamespacedOptions {
  /** Absolute; empty for none. */
  readonly directory: string;
  /** Knows how a file's entries are read. */
  readonly node: Pick<NodeCredentials, 'inFile'>;
}

/** What the first reference with a file has in it; the file is gone then. Throws `invalidRequest` for one that can't be read. */
export async function takeNamespaced(
  { directory, node }: NamespacedOptions,
  references: readonly ImageReference[],
  namespace: string,
  signal: AbortSignal,
): Promise<RegistryAuth | undefined> {
  if (directory === '' || !NAMESPACE.test(namespace)) return undefined;
  for (const reference of references) {
    const file = join(directory, namespacedFile(namespace, reference));
    const bytes = await taken(file);
    if (bytes === undefined) continue;
    const auth = await node.inFile(parseAuthFile(bytes, file), reference, signal);
    if (auth !== undefined) return auth;
  }
  return undefined;
}

/** The file's name in the directory. */
export function namespacedFile(namespace: string, reference: ImageReference): string {
  return `${namespace}-${createHash('sha256').update(repositoryOf(reference)).digest('hex')}.json`;
}

/** The file's bytes, once: of two that ask at the same time one gets them. What is no file of a bounded size stays, and is refused. */
async function taken(file: string): Promise<Buffer | undefined> {
  const refuse = (): never =>
    fail(
      'invalidRequest',
      `read ${file}: not a regular file of at most ${distributionLimits.confBytes} bytes`,
      { subject: file },
    );
  try {
    const handle = await open(
      file,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
    try {
      const stats = await handle.stat();
      const { size } = stats;
      if (!stats.isFile() || size > distributionLimits.confBytes) refuse();
      await unlink(file);
      // no more than was found, although it may grow meanwhile
      const bytes = Buffer.alloc(size);
      const { bytesRead } = await handle.read(bytes, 0, size, 0);
      return bytes.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (['ELOOP', 'ENXIO'].includes(codeOf(error) ?? '')) return refuse();
    throw error;
  }
}
