// Reads an archive at once or in pieces, and keeps what the reader gave.
import type { Fault } from '../../../../src/base/fault.ts';
import type { TarEntry } from '../../../../src/oci/layers/tar-entry.ts';
import { TarReader } from '../../../../src/oci/layers/tar-reader.ts';
import { faultBy } from '../../../support/fault-of.ts';

interface Seen {
  readonly entry: TarEntry;
  readonly pieces: { at: number; text: string }[];
  finished: boolean;
}

/** Reads an archive in pieces of `step` bytes. */
export function read(bytes: Buffer, step = bytes.length, maxEntries?: number): Seen[] {
  const seen: Seen[] = [];
  const reader = new TarReader(
    {
      begin: (it) => void seen.push({ entry: it, pieces: [], finished: false }),
      data: (data, at) => void seen.at(-1)?.pieces.push({ at, text: Buffer.from(data).toString('latin1') }),
      finish: () => {
        const last = seen.at(-1);
        if (last !== undefined) last.finished = true;
      },
    },
    maxEntries,
  );
  for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
  reader.end();
  return seen;
}

export function textOf(seen: Seen | undefined): string {
  return (seen?.pieces ?? []).map((piece) => piece.text).join('');
}

export const refusal = (bytes: Buffer, maxEntries?: number): Fault =>
  faultBy(() => read(bytes, bytes.length, maxEntries));
