/**
 * Credentials for one pull in one Kubernetes namespace. A kubelet credential provider writes them before the pull into
 * `<namespace>-<sha256 of the image's name>.json`, in the format of containers-auth.json(5); CRI-O's
 * namespaced_auth_dir uses the same names. The hashed name is the repository without tag or digest as the kubelet
 * normalises it: it reads no registries.conf, so a short name means docker.io for it. Each file is for one pull: it is
 * deleted before it is used, so that the next pull, perhaps of another pod, needs its own. It has an entry for each
 * mirror that wants a password, since the kubelet's own way has none for mirrors.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { DepositedAuth } from '../../../ports/images.ts';
import { fail, FaultError } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { repositoryOf, type ImageReference } from '../model/reference.ts';
import { parseAuthFile, type AuthFile } from './auth-file.ts';
import type { PullPlaces } from './client.ts';
import type { NodeCredentials } from './node-credentials.ts';

/** Names of Kubernetes namespaces (RFC 1123 labels). No other text may become part of a path. */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;

export interface NamespacedOptions {
  /** Absolute path; empty to disable. */
  readonly directory: string;
  /** Reads the entries of a file and runs its helpers. */
  readonly node: Pick<NodeCredentials, 'inFile'>;
}

/**
 * Reads and deletes the file of the first name that has one with an entry for an endpoint. Returns each entry with its
 * endpoint alone (S79). Throws `invalidRequest` if a file cannot be parsed, and if none has an entry that can be used
 * the reason why one cannot: a file that is gone is reported nowhere else.
 */
export async function takeNamespaced(
  { directory, node }: NamespacedOptions,
  { names, endpoints }: PullPlaces,
  namespace: string,
  signal: AbortSignal,
): Promise<readonly DepositedAuth[]> {
  if (directory === '' || !NAMESPACE.test(namespace)) return [];
  let failed: FaultError | undefined;
  const inFile = async (content: AuthFile): Promise<readonly DepositedAuth[]> => {
    const found: DepositedAuth[] = [];
    for (const { host, repository } of endpoints) {
      try {
        const auth = await node.inFile(content, { host, repository }, signal);
        if (auth !== undefined) found.push({ host, repository, auth });
      } catch (error) {
        // a mirror's broken helper does not rule out the registry
        if (!(error instanceof FaultError) || signal.aborted) throw error;
        failed ??= error;
      }
    }
    return found;
  };
  let problem: string | undefined;
  for (const name of new Set(names.map((reference) => namespacedFile(namespace, reference)))) {
    const file = join(directory, name);
    const bytes = await taken(file);
    if (bytes === undefined) continue;
    const content = parseAuthFile(bytes, file);
    const found = await inFile(content);
    if (found.length > 0) return found;
    problem ??= content.problems[0];
  }
  if (failed !== undefined) throw failed;
  return problem === undefined ? [] : fail('invalidRequest', problem);
}

/** The file's name in the directory. */
export function namespacedFile(namespace: string, reference: ImageReference): string {
  return `${namespace}-${createHash('sha256').update(repositoryOf(reference)).digest('hex')}.json`;
}

/** Reads the file and deletes it. Refuses, and does not delete, what is not a regular file of limited size. */
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
      // read only the size found before, even if the file has grown since
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
