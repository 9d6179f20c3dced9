/** The record in a layer's directory. A layer with a valid record is complete. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../../../base/ids.ts';
import { parseDigest } from '../../../../base/ids.ts';
import { jsonObject } from '../../../../base/json-object.ts';
import { storageLimits } from '../../../bounds.ts';
import { codeOf, isAbsent, missingAs } from '../../../../host/ffi/errno.ts';
import { writeAtomic } from '../../../../host/files/files.ts';
import { readSmallFile } from '../../../../host/files/small-file.ts';
import { DIFF, IMAGE, RECORD } from './layer-layout.ts';
import { storedVersions } from '../../../../base/stored-versions.ts';

export interface LayerRecord {
  readonly version: typeof storedVersions.layerRecord;
  readonly diffId: Digest;
  /** Digest of the blob that it was unpacked from. */
  readonly blobDigest: Digest;
  /** Received bytes of that blob; missing in records of older versions. */
  readonly blobBytes?: number;
  readonly tarBytes: number;
  readonly entries: number;
  /** Bytes on disk as du(1) counts them, including the layer's directory. */
  readonly usedBytes: number;
  readonly inodes: number;
  /** Whether the layer hides all lower layers. */
  readonly rootOpaque: boolean;
  readonly xattrsDropped: number;
  /** Bytes of `layer.erofs`, if that replaces the files. */
  readonly imageBytes?: number;
}

/** Replaces the record and syncs it. Does nothing if the layer has no valid record. */
export async function rewriteLayerRecord(
  dir: string,
  diffId: Digest,
  change: (record: LayerRecord) => LayerRecord,
): Promise<void> {
  const record = await readLayerRecord(dir, diffId, (call) => call());
  if (record !== undefined)
    await writeAtomic(join(dir, RECORD), Buffer.from(encodeLayerRecord(change(record))), RECORD_MODE);
}

const RECORD_MODE = 0o600;

export function encodeLayerRecord(record: LayerRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/** Parses a record; undefined if it is not valid: the layer then counts as missing (F27, F28). */
export function parseLayerRecord(text: string, diffId: Digest): LayerRecord | undefined {
  const fields = jsonObject(text);
  if (fields === undefined) return undefined;
  const blobDigest = typeof fields['blobDigest'] === 'string' ? parseDigest(fields['blobDigest']) : undefined;
  const numbers = ['tarBytes', 'entries', 'usedBytes', 'inodes', 'xattrsDropped'].map((key) => fields[key]);
  const [tarBytes, entries, usedBytes, inodes, xattrsDropped] = numbers.filter(isCount);
  if (
    fields['version'] !== storedVersions.layerRecord ||
    fields['diffId'] !== diffId ||
    blobDigest === undefined
  )
    return undefined;
  if (typeof fields['rootOpaque'] !== 'boolean') return undefined;
  // a value that is not a count is filtered out, so that the last of the five is undefined
  if (tarBytes === undefined || entries === undefined || usedBytes === undefined) return undefined;
  if (inodes === undefined || xattrsDropped === undefined) return undefined;
  const { blobBytes, imageBytes } = fields;
  if (imageBytes !== undefined && !isCount(imageBytes)) return undefined;
  return {
    version: storedVersions.layerRecord,
    diffId,
    blobDigest,
    tarBytes,
    entries,
    usedBytes,
    inodes,
    rootOpaque: fields['rootOpaque'],
    xattrsDropped,
    ...(isCount(blobBytes) ? { blobBytes } : {}),
    ...(imageBytes === undefined ? {} : { imageBytes }),
  };
}

/**
 * Reads the record of the layer in `dir`. Undefined if the layer is incomplete: without a valid record, without its
 * files, or with an image of another size (F27, F28). Each call to the disk goes through `gate`.
 */
export async function readLayerRecord(
  dir: string,
  diffId: Digest,
  gate: <T>(call: () => Promise<T>) => Promise<T>,
): Promise<LayerRecord | undefined> {
  try {
    const bounds = { usualBytes: storageLimits.recordUsualBytes, bytesMax: storageLimits.recordBytes };
    const [text, hasTree] = await Promise.all([
      gate(() => readSmallFile(join(dir, RECORD), bounds)),
      gate(() => isTree(join(dir, DIFF))),
    ]);
    const record = text === undefined ? undefined : parseLayerRecord(text, diffId);
    if (hasTree || record?.imageBytes === undefined) return hasTree ? record : undefined;
    const image = await gate(() => lstat(join(dir, IMAGE)));
    return image.isFile() && image.size === record.imageBytes ? record : undefined;
  } catch (error) {
    // a dangling symlink counts as no record, as do directories, FIFOs and large files, for which readSmallFile returns
    // undefined
    if (isAbsent(error) || codeOf(error) === 'ELOOP') return undefined;
    throw error;
  }
}

async function isTree(path: string): Promise<boolean> {
  return (await missingAs(lstat(path), undefined))?.isDirectory() ?? false;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
