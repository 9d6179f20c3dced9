/**
 * Signatures of images that are here, so that the policy can be asked again without a registry. Nothing of it is trusted:
 * each use verifies anew. Files below `root`, one for each image and repository, since a repository full of signatures
 * must not take the room of another's (S86); what is lost or damaged is fetched again.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { FaultError } from '../../base/fault.ts';
import type { Digest, ImageId } from '../../base/ids.ts';
import { imageLimits, signatureLimits } from '../../base/limits.ts';
import { missingAs } from '../../host/errno.ts';
import { writeWhole } from '../../host/whole-file.ts';
import { readCapped } from '../distribution/read-capped.ts';
import { parseDocument, type Fields } from '../image/fields.ts';
import { decodeBase64 } from './base64.ts';
import type { Signature } from './signature.ts';

export interface Evidence {
  /** Of manifests that were seen to lead to this image. */
  readonly digests: readonly Digest[];
  readonly signatures: readonly Signature[];
}

/** Digits of a repository's hash in a name: 128 bits. */
const REPOSITORY_HEX = 32;

export class KeptSignatures {
  readonly #directory: string;
  /** One writer at a time for each file, and one that clears up. */
  #last: Promise<void> = Promise.resolve();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Undefined for none, and for a file that is damaged. Older versions had one file for all repositories. */
  async of(id: ImageId, repository: string): Promise<Evidence | undefined> {
    return (await this.#read(this.#path(id, repository))) ?? this.#read(this.#earlierPath(id));
  }

  async #read(path: string): Promise<Evidence | undefined> {
    const bytes = await readCapped(path, imageLimits.documentBytes);
    if (bytes === undefined) return undefined;
    try {
      return evidenceIn(parseDocument(bytes, `kept signatures ${path}`));
    } catch (error) {
      if (error instanceof FaultError) return undefined;
      throw error;
    }
  }

  /** Adds to what is kept of the image already: the repository may have several manifests of it. */
  keep(id: ImageId, repository: string, fresh: Evidence): Promise<void> {
    const turn = this.#last.then(async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      const path = this.#path(id, repository);
      const old = await this.#read(path);
      await writeWhole(path, encode(merged(fresh, old)), 0o600);
      await this.#clearUp();
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** It served again: others go first. */
  async touch(id: ImageId, repository: string, now: Date): Promise<void> {
    for (const path of [this.#path(id, repository), this.#earlierPath(id)]) await missingAs(utimes(path, now, now), undefined);
  }

  /** A repository's name is no name of a file: it has slashes, and is as long as a file's name may be. */
  #path(id: ImageId, repository: string): string {
    return join(this.#directory, `${id.replace(':', '-')}.${createHash('sha256').update(repository).digest('hex').slice(0, REPOSITORY_HEX)}.json`);
  }

  #earlierPath(id: ImageId): string {
    return join(this.#directory, `${id.replace(':', '-')}.json`);
  }

  async #clearUp(): Promise<void> {
    const names = await readdir(this.#directory);
    if (names.length <= signatureLimits.keptImages) return;
    const aged = await Promise.all(names.map(async (name) => ({ name, at: (await missingAs(stat(join(this.#directory, name)), undefined))?.mtimeMs ?? 0 })));
    const oldest = aged.toSorted((one, other) => one.at - other.at).slice(0, names.length - signatureLimits.keptImages);
    for (const { name } of oldest) await rm(join(this.#directory, name), { force: true });
  }
}

function merged(fresh: Evidence, old: Evidence = { digests: [], signatures: [] }): Evidence {
  const digests = [...new Set([...fresh.digests, ...old.digests])];
  const seen = new Map([...fresh.signatures, ...old.signatures].map((one) => [JSON.stringify(plain(one)), one]));
  let bytes = 0;
  const signatures = [...seen.values()].filter((one) => {
    const fits = bytes + sizeOf(one) <= signatureLimits.keptBytes;
    if (fits) bytes += sizeOf(one);
    return fits;
  });
  return { digests: digests.slice(0, signatureLimits.signatures), signatures: signatures.slice(0, signatureLimits.signatures) };
}

function sizeOf(one: Signature): number {
  return one.kind === 'simple' ? one.message.byteLength : one.payload.byteLength + JSON.stringify(one.parts).length;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function plain(one: Signature): object {
  return one.kind === 'simple' ? { kind: one.kind, message: base64(one.message) } : { kind: one.kind, payload: base64(one.payload), ...one.parts };
}

function encode({ digests, signatures }: Evidence): string {
  return JSON.stringify({ digests, signatures: signatures.map(plain) });
}

function evidenceIn(fields: Fields): Evidence {
  return {
    digests: fields.digests('digests', signatureLimits.signatures),
    signatures: fields.objects('signatures', signatureLimits.signatures).map((one): Signature => {
      if (one.text('kind', '') === 'simple') return { kind: 'simple', message: bytesIn(one, 'message') };
      const text = (name: string): string => one.text(name, '');
      const parts = { signature: text('signature'), certificate: text('certificate'), chain: text('chain'), bundle: text('bundle') };
      return { kind: 'sigstore', payload: bytesIn(one, 'payload'), parts };
    }),
  };
}

function bytesIn(fields: Fields, name: string): Uint8Array {
  return decodeBase64(fields.text(name, '', imageLimits.documentBytes)) ?? fields.refuse(name, 'is not base64');
}
