/**
 * Keeps signatures of pulled images on disk, so that the policy can be applied again without a registry. The files are
 * not trusted: each use verifies the signatures again. There is one file for each image, repository and namespace, so
 * that neither a repository with many signatures nor a namespace with many images displaces those of others (S86). Lost
 * or damaged files are fetched again.
 */
import { link, lstat, mkdir, opendir, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { FaultError } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { LeftDebris } from '../../../base/left-debris.ts';
import type { DebrisReport } from '../../../base/left-debris.ts';
import { imageLimits } from '../../bounds.ts';
import { signatureLimits } from '../bounds.ts';
import { codeOf, isAbsent, missingAs, onlyAbsent } from '../../../host/ffi/errno.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { readCapped } from '../registry/read-capped.ts';
import { parseDocument, type Fields } from '../../documents/fields.ts';
import { decodeBase64 } from './base64.ts';
import { earlierFileOf, fileOf, isKeptName, KeptIndex } from './kept-index.ts';
import type { KeptFor } from './kept-index.ts';
import type { Signature } from './signature.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

export interface SignatureEvidence {
  /** Digests of manifests that lead to this image, as verified when the signatures were fetched. */
  readonly digests: readonly Digest[];
  readonly signatures: readonly Signature[];
}

export interface KeptOptions {
  readonly directory: string;
  /** Reports files that cannot be deleted. */
  readonly conditions: DebrisReport;
  /** Moves a directory in the place of a file into the trash. May fail if the trash is on another disk. */
  readonly discard: (path: string) => Promise<void>;
}

export class KeptSignatures {
  readonly #directory: string;
  readonly #discard: KeptOptions['discard'];
  readonly #left: LeftDebris;
  /** One writer at a time. */
  #last: Promise<void> = Promise.resolve();
  #index: Promise<KeptIndex> | undefined;

  constructor({ directory, conditions, discard }: KeptOptions) {
    this.#directory = directory;
    this.#discard = discard;
    this.#left = new LeftDebris(conditions);
  }

  /**
   * The kept signatures, merged with the most recently used ones of another namespace: those alone that this namespace
   * has pulled may not satisfy its policy. Undefined without any; damaged files count as missing.
   */
  async of(wanted: KeptFor): Promise<SignatureEvidence | undefined> {
    const own = fileOf(wanted);
    const other = (await this.#known()).fileOfOther(own);
    const found = [await this.#read(own), other === undefined ? undefined : await this.#read(other)].filter(
      (one) => one !== undefined,
    );
    const [first, second] = found;
    return first === undefined ? this.#read(earlierFileOf(wanted.id)) : merged(first, second);
  }

  async #read(name: string): Promise<SignatureEvidence | undefined> {
    const path = join(this.#directory, name);
    try {
      const bytes = await readCapped(path, imageLimits.documentBytes);
      return bytes === undefined ? undefined : evidenceIn(parseDocument(bytes, `kept signatures ${path}`));
    } catch (error) {
      if (error instanceof FaultError) return undefined;
      throw error;
    }
  }

  /**
   * Adds signatures to the kept ones, since a repository can have several manifests of the image. `nowMs`: ms since
   * 1970.
   */
  keep(wanted: KeptFor, fresh: SignatureEvidence, nowMs: number): Promise<void> {
    return this.#inTurn(async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const index = await this.#known();
      const name = fileOf(wanted);
      for (const one of [name, `${name}.new`]) await this.#removeNonFile(one);
      await writeWhole(join(this.#directory, name), encode(merged(fresh, await this.#read(name))), 0o600);
      await this.#mark(index, name, nowMs);
      await this.#clearUp(index);
    });
  }

  /**
   * Records a use, so that others are deleted first. A file of another namespace is linked for this one, to outlive the
   * other.
   */
  used(wanted: KeptFor, nowMs: number): Promise<void> {
    return this.#inTurn(async () => {
      const index = await this.#known();
      const own = fileOf(wanted);
      const other = index.fileOfOther(own) ?? earlierFileOf(wanted.id);
      if (!index.has(own))
        await link(join(this.#directory, other), join(this.#directory, own)).catch(onlyAbsentOrThere);
      await this.#mark(index, own, nowMs);
      await this.#clearUp(index);
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #mark(index: KeptIndex, name: string, nowMs: number): Promise<void> {
    const at = nowMs / 1000;
    const isThere = await missingAs(
      utimes(join(this.#directory, name), at, at).then(() => true),
      false,
    );
    if (isThere) index.set(name, nowMs);
    else index.delete(name);
  }

  /** The index. The directory is scanned at the first use; after a failure, again at the next. */
  #known(): Promise<KeptIndex> {
    this.#index ??= this.#scan().catch((error: unknown) => {
      this.#index = undefined;
      throw error;
    });
    return this.#index;
  }

  /** Scans the directory. Deletes everything else in it, such as unfinished files and files of others (F89). */
  async #scan(): Promise<KeptIndex> {
    const index = new KeptIndex();
    const names: string[] = [];
    try {
      for await (const { name } of await opendir(this.#directory)) {
        names.push(name);
        if (names.length >= signatureLimits.keptScanned) break;
      }
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    for (const name of names) {
      const found = await missingAs(lstat(join(this.#directory, name)), undefined);
      if (found?.isFile() === true && isKeptName(name)) index.set(name, found.mtimeMs);
      else if (found !== undefined) await this.#remove(name, found.isDirectory());
    }
    return index;
  }

  /** Deletes what has this name but is not a regular file. */
  async #removeNonFile(name: string): Promise<void> {
    const found = await missingAs(lstat(join(this.#directory, name)), undefined);
    if (found !== undefined && !found.isFile()) await this.#remove(name, found.isDirectory());
  }

  /** Deletes an entry. A failure is reported and does not stop the rest. */
  async #remove(name: string, isDirectory = false): Promise<void> {
    const path = join(this.#directory, name);
    const removeTree = (): Promise<void> => rm(path, { recursive: true, force: true });
    const round = this.#left.round();
    await round.attempt(path, () =>
      isDirectory ? this.#discard(path).catch(removeTree) : rm(path, { force: true }),
    );
  }

  async #clearUp(index: KeptIndex): Promise<void> {
    for (const name of index.surplus(signatureLimits.keptImages)) {
      index.delete(name);
      const found = await missingAs(lstat(join(this.#directory, name)), undefined);
      await this.#remove(name, found?.isDirectory());
    }
  }
}

/** Ignores a missing file, and an existing one that the bounded scan did not reach. */
function onlyAbsentOrThere(thrown: unknown): undefined {
  return codeOf(thrown) === 'EEXIST' ? undefined : onlyAbsent(thrown);
}

function merged(
  fresh: SignatureEvidence,
  old: SignatureEvidence = { digests: [], signatures: [] },
): SignatureEvidence {
  const digests = [...new Set([...fresh.digests, ...old.digests])];
  const seen = new Map(
    [...fresh.signatures, ...old.signatures].map((one) => [JSON.stringify(plain(one)), one]),
  );
  let bytes = 0;
  const signatures = [...seen.values()].filter((one) => {
    const fits = bytes + sizeOf(one) <= signatureLimits.keptBytes;
    if (fits) bytes += sizeOf(one);
    return fits;
  });
  return {
    digests: digests.slice(0, signatureLimits.signatures),
    signatures: signatures.slice(0, signatureLimits.signatures),
  };
}

function sizeOf(one: Signature): number {
  return one.kind === 'simple'
    ? one.message.byteLength
    : one.payload.byteLength + JSON.stringify(one.parts).length;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function plain(one: Signature): object {
  return one.kind === 'simple'
    ? { kind: one.kind, message: base64(one.message) }
    : { kind: one.kind, payload: base64(one.payload), ...one.parts };
}

function encode({ digests, signatures }: SignatureEvidence): string {
  return JSON.stringify({
    version: storedVersions.keptSignatures,
    digests,
    signatures: signatures.map(plain),
  });
}

function evidenceIn(fields: Fields): SignatureEvidence {
  fields.integer('version', 1, storedVersions.keptSignatures);
  return {
    digests: fields.digests('digests', signatureLimits.signatures),
    signatures: fields.objects('signatures', signatureLimits.signatures).map((one): Signature => {
      if (one.text('kind', '') === 'simple') return { kind: 'simple', message: bytesIn(one, 'message') };
      const text = (name: string): string => one.text(name, '');
      const parts = {
        signature: text('signature'),
        certificate: text('certificate'),
        chain: text('chain'),
        bundle: text('bundle'),
      };
      return { kind: 'sigstore', payload: bytesIn(one, 'payload'), parts };
    }),
  };
}

function bytesIn(fields: Fields, name: string): Uint8Array {
  return (
    decodeBase64(fields.text(name, '', imageLimits.documentBytes)) ?? fields.refuse(name, 'is not base64')
  );
}
