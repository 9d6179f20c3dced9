/** The policy that counts in a namespace: a file of its own, or else the node's. Read at each use, so that a change counts at once. */
import { join } from 'node:path';
import { fail, toFault } from '../../../base/fault.ts';
import { signatureLimits } from '../bounds.ts';
import { codeOf } from '../../../host/ffi/errno.ts';
import { namesOf } from '../../../host/files/names-of.ts';
import { readCapped } from '../registry/read-capped.ts';
import { acceptAnything, parsePolicy, type Policy } from './policy.ts';

export interface PolicyPlaces {
  /** The node's policy; '' for none. */
  readonly file: string;
  /** With `<namespace>.json` for namespaces that have their own; '' for none. */
  readonly directory: string;
}

/** A DNS label, as Kubernetes' namespaces are: it becomes part of a path. */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;

/** Parsed files are kept by their bytes: parsing costs more than reading. */
export class PolicyFiles {
  readonly #places: PolicyPlaces;
  readonly #parsed = new Map<string, { readonly bytes: Buffer; readonly policy: Policy }>();

  constructor(places: PolicyPlaces) {
    this.#places = places;
  }

  /** Which policies differ for sure; the namespace itself where each may have its own. */
  scope(namespace: string): string {
    return this.#places.directory === '' ? '' : namespace;
  }

  /** Throws `invalidRequest` for a policy that can't be used, with its file and the reason. */
  async of(namespace: string): Promise<Policy> {
    const { file, directory } = this.#places;
    const own =
      directory === '' || namespace === ''
        ? undefined
        : await this.#read(join(directory, `${checked(namespace)}.json`));
    if (own !== undefined) return own;
    const node = file === '' ? undefined : await this.#read(file);
    return node ?? acceptAnything;
  }

  /** What is wrong with the files as they are now, the namespaces' own included: path → reason. Each refuses its images. */
  async problems(): Promise<ReadonlyMap<string, string>> {
    const { file, directory } = this.#places;
    const found = new Map<string, string>();
    const names =
      directory === ''
        ? []
        : await namesOf(directory).catch((error: unknown) => {
            found.set(directory, `it can't be listed (${codeOf(error) ?? String(error)})`);
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
        `read the signature policy of namespace ${JSON.stringify(namespace)}: it is no name of a namespace`,
      );
}
