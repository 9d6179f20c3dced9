/** A layer's own record, beside its files: that it is there means that the layer is whole. */
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

export interface LayerRecord {
  readonly version: 1;
  readonly diffId: Digest;
  /** Of the blob that it was unpacked from. */
  readonly blobDigest: Digest;
  /** Of that blob, as they were received; missing in records of older versions. */
  readonly blobBytes?: number;
  readonly tarBytes: number;
  readonly entries: number;
  /** On disk, as du counts it, the layer's directory included. */
  readonly usedBytes: number;
  readonly inodes: number;
  /** Hides all lower layers. */
  readonly rootOpaque: boolean;
  readonly xattrsDropped: number;
  /** Of `layer.erofs`, where that stands in place of the files. */
  readonly imageBytes?: number;
}

/** Puts another record in its place, synced; succeeds when the layer has none. */
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

/** The record, or undefined when the text is not one: the layer then counts as not there (F27, F28). */
export function parseLayerRecord(text: string, diffId: Digest): LayerRecord | undefined {
  const fields = jsonObject(text);
  if (fields === undefined) return undefined;
  const blobDigest = typeof fields['blobDigest'] === 'string' ? parseDigest(fields['blobDigest']) : undefined;
  const numbers = ['tarBytes', 'entries', 'usedBytes', 'inodes', 'xattrsDropped'].map((key) => fields[key]);
  const [tarBytes, entries, usedBytes, inodes, xattrsDropped] = numbers.filter(isCount);
  if (fields['version'] !== 1 || fields['diffId'] !== diffId || blobDigest === undefined) return undefined;
  if (typeof fields['rootOpaque'] !== 'boolean') return undefined;
  // one that is no count leaves the last of the five undefined
  if (tarBytes === undefined || entries === undefined || usedBytes === undefined) return undefined;
  if (inodes === undefined || xattrsDropped === undefined) return undefined;
  const { blobBytes, imageBytes } = fields;
  if (imageBytes !== undefined && !isCount(imageBytes)) return undefined;
  return {
    version: 1,
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
 * The record of the layer in `dir`, or undefined when the layer is not there whole: without a record, without its
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
    // a link in its place that leads nowhere is no record; a directory, a FIFO and a file that is too large are read as none
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
