/**
 * Canaries: secrets that a test puts in, and then searches for in every byte that was written. A file is searched for
 * the text itself, for its base64 at each of the three alignments, for its base64 in URLs, and for the hexadecimal of
 * its bytes.
 */
import { constants } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes read at once of a large file. */
const PIECE = 1024 * 1024;

/** All of them begin with it, so that most files are searched for one word only. */
const BEGINNING = 'Canary.';

/** A secret that stands nowhere else; `what` says in a failure which one was found. */
export function canary(what: string): string {
  return `${BEGINNING}${what}.${crypto.randomUUID().replaceAll('-', '')}`;
}

/** Those of `canaries` that stand in the bytes, in any of the forms. */
export function findInBytes(bytes: Uint8Array, canaries: readonly string[]): readonly string[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const has = (one: string): boolean => formsOf(one).some((form) => text.includes(form));
  const mayBe = canaries.some((one) => !one.startsWith(BEGINNING)) || has(BEGINNING);
  return mayBe ? canaries.filter(has) : [];
}

/**
 * As `path: canary` each, of everything below `directory`: names, targets of links, extended over mounts; none is left
 * out without a line.
 */
export async function findBelow(
  directory: string,
  canaries: readonly string[],
  skip: (path: string) => boolean = () => false,
): Promise<readonly string[]> {
  const found: string[] = [];
  const names = await readdir(directory).catch((thrown: unknown) => {
    if ((thrown as { code?: unknown }).code === 'ENOENT') return [];
    throw thrown;
  });
  for (const name of names) {
    const path = join(directory, name);
    if (skip(path)) continue;
    const say = (hits: readonly string[]): void => void found.push(...hits.map((hit) => `${path}: ${hit}`));
    say(findInBytes(Buffer.from(name), canaries));
    const stat = await lstat(path).catch(() => undefined);
    if (stat?.isDirectory() === true) found.push(...(await findBelow(path, canaries, skip)));
    if (stat?.isSymbolicLink() === true)
      say(findInBytes(Buffer.from(await readlink(path).catch(() => '')), canaries));
    if (stat?.isFile() === true) say(await findInFile(path, canaries));
  }
  return found;
}

/** Pieces overlap, so that nothing is cut in two. */
async function findInFile(path: string, canaries: readonly string[]): Promise<readonly string[]> {
  const overlap = 2 * Math.max(...canaries.map((one) => Buffer.byteLength(one)));
  // one that went away meanwhile holds nothing any more
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    () => undefined,
  );
  if (file === undefined) return [];
  const found = new Set<string>();
  try {
    const buffer = Buffer.alloc(PIECE + overlap);
    for (let kept = 0; ;) {
      // a namespace's pin is a regular file that can't be read
      const { bytesRead } = await file.read(buffer, kept, PIECE, null).catch(() => ({ bytesRead: 0 }));
      if (bytesRead === 0) return [...found];
      const filled = kept + bytesRead;
      for (const one of findInBytes(buffer.subarray(0, filled), canaries)) found.add(one);
      kept = Math.min(overlap, filled);
      buffer.copyWithin(0, filled - kept, filled);
    }
  } finally {
    await file.close();
  }
}

const forms = new Map<string, readonly Buffer[]>();

function formsOf(one: string): readonly Buffer[] {
  const known = forms.get(one);
  if (known !== undefined) return known;
  const raw = Buffer.from(one);
  // of each alignment the characters that the neighbours' bits are not in
  const encoded = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), raw]).toString('base64');
    return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + raw.length) * 8) / 6));
  });
  const all = [
    ...encoded,
    ...encoded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    raw.toString('hex'),
  ];
  const made = [raw, ...new Set(all)].map((form) => Buffer.from(form));
  forms.set(one, made);
  return made;
}
