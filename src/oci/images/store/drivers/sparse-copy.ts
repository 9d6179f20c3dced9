/** Copies a sparse file and keeps its holes. */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { fail } from '../../../../base/fault.ts';
import { storageLimits } from '../../../bounds.ts';
import { errnoName, must } from '../../../../host/ffi/errno.ts';
import { O_CLOEXEC, SEEK_DATA, SEEK_HOLE } from '../../../../host/ffi/constants.ts';
import { callSync, libc } from '../../../../host/ffi/ffi.ts';

/** Copies the ranges with data (lseek(2), SEEK_DATA) into a new file of the same size. */
export function copySparse(source: Buffer, target: Buffer): void {
  const from = openSync(source, constants.O_RDONLY | O_CLOEXEC | constants.O_NOFOLLOW);
  try {
    const to = openSync(target, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | O_CLOEXEC, 0o600);
    try {
      const { size } = fstatSync(from);
      ftruncateSync(to, size);
      const piece = Buffer.allocUnsafe(storageLimits.copyBytes);
      for (let at = nextData(from, 0); at !== undefined;) {
        const end = must(
          callSync(libc.lseek, from, at, SEEK_HOLE),
          'find the end of data in',
          source.toString(),
        );
        copyRange(from, to, at, end, piece);
        at = end >= size ? undefined : nextData(from, end);
      }
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

/** Offset of the next data at or after `at`; undefined if there is no more (ENXIO). */
function nextData(fd: number, at: number): number | undefined {
  const found = callSync(libc.lseek, fd, at, SEEK_DATA);
  if (found.result === -1 && errnoName(found.errno) === 'ENXIO') return undefined;
  return must(found, 'find data in descriptor', String(fd));
}

function copyRange(from: number, to: number, begin: number, end: number, piece: Buffer): void {
  for (let at = begin; at < end;) {
    const bytes = readSync(from, piece, 0, Math.min(piece.length, end - at), at);
    if (bytes === 0) fail('outside', `copy sparse file: it ended at ${at} instead of ${end}`);
    for (let written = 0; written < bytes;)
      written += writeSync(to, piece, written, bytes - written, at + written);
    at += bytes;
  }
}
