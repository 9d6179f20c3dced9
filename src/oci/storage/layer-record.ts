/** A layer's own record, beside its files: that it is there means that the layer is whole. */
import type { Digest } from '../../base/ids.ts';
import { parseDigest } from '../../base/ids.ts';
import { jsonObject } from '../../base/json-object.ts';

export interface LayerRecord {
  readonly version: 1;
  readonly diffId: Digest;
  /** Of the blob that it was unpacked from. */
  readonly blobDigest: Digest;
  readonly tarBytes: number;
  readonly entries: number;
  /** On disk, as du counts it, the layer's directory included. */
  readonly usedBytes: number;
  readonly inodes: number;
  /** Hides all lower layers. */
  readonly rootOpaque: boolean;
  readonly xattrsDropped: number;
}

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
  return { version: 1, diffId, blobDigest, tarBytes, entries, usedBytes, inodes, rootOpaque: fields['rootOpaque'], xattrsDropped };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
