/** Reads digest and media type of a layer from its bytes, for archives that do not state them. */
import { createHash } from 'node:crypto';
import { fail } from '../../../base/fault.ts';
import { parseDigest, type Digest } from '../../../base/ids.ts';
import type { SourceFile } from './source-files.ts';

const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar';
const GZIP_MAGIC = 0x1f8b;
const ZSTD_MAGIC = 0xfd2fb528;

export async function digestOfFile(file: SourceFile): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const piece of file.pieces()) hash.update(piece);
  return (
    parseDigest(`sha256:${hash.digest('hex')}`) ?? fail('bug', 'a computed sha256 does not parse as a digest')
  );
}

/** Determines the media type by the first bytes: archives name their layers `.tar` even when they are compressed. */
export async function layerTypeOf(file: SourceFile): Promise<string> {
  for await (const piece of file.pieces()) {
    if (piece.byteLength < 4) break;
    const head = Buffer.from(piece.buffer, piece.byteOffset, 4);
    if (head.readUInt16BE(0) === GZIP_MAGIC) return `${DOCKER_LAYER}.gzip`;
    return head.readUInt32LE(0) === ZSTD_MAGIC ? `${DOCKER_LAYER}.zstd` : DOCKER_LAYER;
  }
  return DOCKER_LAYER;
}
