/**
 * Finds the policy of a namespace: its own file, or else the node's. Files are read at each use, so that changes apply
 * at once.
 */
import { join } from 'node:path';
import { fail, toFault } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { readCapped } from '../registry/read-capped.ts';
import { acceptAnything, parsePolicy, type Policy } from './policy.ts';

export interface PolicyPaths {
  /** The node's policy; empty if not configured. */
  readonly file: string;
  /** Directory with `<namespace>.json` for namespaces that have their own policy; empty if not configured. */
  readonly directory: string;
}

/** Names of Kubernetes namespaces (DNS labels). The name becomes part of a path. */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;

/**
 * Reads and caches policies. A file is parsed again only if its bytes have changed, since parsing costs more than
 * reading.
 */
export class PolicyFiles {
  readonly #paths: () => PolicyPaths;
  readonly #parsed = new Map<string, { readonly bytes: Buffer; readonly policy: Policy }>();

  /** @param paths called at each use */
  constructor(paths: () => PolicyPaths) {
    this.#paths = paths;
  }

  /**
   * Namespaces with the same scope have the same policy. The scope is the namespace itself if each may have its own.
   */
  scope(namespace: string): string {
    return this.#paths().directory === '' ? '' : namespace;
  }

  /** The policy of a namespace. Throws `invalidRequest`, with path and reason, for a policy that cannot be used. */
  async of(namespace: string): Promise<Policy> {
    const { file, directory } = this.#paths();
    const own =
      directory === '' || namespace === ''
        ? undefined
        : await this.#read(join(directory, `${checked(namespace)}.json`));
    if (own !== undefined) return own;
    const node = file === '' ? undefined : await this.#read(file);
    return node ?? acceptAnything;
  }

  /** Current problems of all policy files: path → reason. A policy with a problem refuses all its images. */
  async problems(): Promise<ReadonlyMap<string, string>> {
    const { file, directory } = this.#paths();
    const found = new Map<string, string>();
    const names =
      directory === ''
        ? []
        : await namesOf(directory).catch((error: unknown) => {
            found.set(directory, `list directory: ${codeOf(error) ?? String(error)}`);
            return [];
          });
    const own = names
      .filter((name) => name.endsWith('.json'))
      .slice(0, signatureLimits.confFiles)
      .map((name) => join(directory, name));
    for (const path of [...(file === '' ? [] : [file]), ...own]) {
      await this.#read(path).catch((error: unknown) => found.set(path, toFault(error).message));
    }
    return found;
  }

  async #read(path: string): Promise<Policy | undefined> {
    const bytes = await readCapped(path, signatureLimits.confBytes);
    if (bytes === undefined) {
      this.#parsed.delete(path);
      return undefined;
    }
    const kept = this.#parsed.get(path);
    if (kept?.bytes.equals(bytes) === true) return kept.policy;
    const policy = parsePolicy(bytes, path);
    this.#parsed.set(path, { bytes, policy });
    for (const oldest of this.#parsed.keys()) {
      if (this.#parsed.size <= signatureLimits.confFiles) break;
      this.#parsed.delete(oldest);
    }
    return policy;
  }
}

function checked(namespace: string): string {
  return NAMESPACE.test(namespace)
    ? namespace
    : fail(
        'invalidRequest',
        `read the signature policy of namespace ${JSON.stringify(namespace)}: it is not a valid namespace name`,
      );
}
