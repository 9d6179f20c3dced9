import { describe, expect, test } from 'vitest';
import {
  encodeLayerRecord,
  parseLayerRecord,
} from '../../../../../../src/oci/images/store/records/layer-record.ts';
import type { LayerRecord } from '../../../../../../src/oci/images/store/records/layer-record.ts';
import { digestOf } from '../../../layers/tar-builder.ts';

const record: LayerRecord = {
  version: 1,
  diffId: digestOf(Buffer.from('a')),
  blobDigest: digestOf(Buffer.from('b')),
  tarBytes: 10240,
  entries: 0,
  usedBytes: 4096,
  inodes: 2,
  rootOpaque: false,
  xattrsDropped: 0,
};

describe('a layer’s record', () => {
  test('is read back as written, also with unknown fields of a later version', () => {
    expect(parseLayerRecord(encodeLayerRecord(record), record.diffId)).toEqual(record);
    expect(parseLayerRecord(JSON.stringify({ ...record, later: 1 }), record.diffId)).toEqual(record);
  });

  test.each([
    ['empty', ''],
    ['cut short', encodeLayerRecord(record).slice(0, 80)],
    ['null', 'null'],
    ['an array', '[]'],
    ['another version', JSON.stringify({ ...record, version: 2 })],
    ['another layer', JSON.stringify({ ...record, diffId: record.blobDigest })],
    ['an invalid digest', JSON.stringify({ ...record, blobDigest: 'sha256:../../x' })],
    ['a negative size', JSON.stringify({ ...record, usedBytes: -1 })],
    ['a size that is text', JSON.stringify({ ...record, inodes: '2' })],
    ['no mark', JSON.stringify({ ...record, rootOpaque: undefined })],
  ])('F27, F28: %s is not a record', (_what, text) => {
    expect(parseLayerRecord(text, record.diffId)).toBeUndefined();
  });
});
