/**
 * The journal as an older version would have left it (F31): an older format in the header, records without the fields
 * that came later, and with the secrets that were recorded then (S91).
 */
import type { ContainerIntent, JournalRecord } from '../../src/ports/journal.ts';
import type { ImageRecord } from '../../src/ports/specs.ts';
import { crc32c } from '../../src/journal/crc32c.ts';
import { numbersIn } from '../../src/journal/file-names.ts';
import { FORMAT, frame, header, parse } from '../../src/journal/format.ts';
import type { DiskModel } from './disk-model.ts';

/** Stands in the records of older versions, and in no file once the new one has rewritten them. */
export const OLD_SECRET = 'secret-of-an-older-version';

/** Rewrites the newest file; false without one, and for one that does not end with a whole record. */
export function makeOlder(disk: DiskModel): boolean {
  const [newest = 0] = numbersIn(disk.list());
  const name = `journal.${newest}`;
  const bytes = disk.read(name);
  if (bytes === undefined) return false;
  const { records, end } = parse(bytes);
  if (end !== 'whole' || records.length === 0) return false;
  disk.put(name, Buffer.concat([olderHeader(), ...records.map((record) => frame(olderRecord(record)))]));
  return true;
}

function olderHeader(): Uint8Array {
  const bytes = header().slice();
  const view = new DataView(bytes.buffer);
  view.setUint32(8, FORMAT - 1, true);
  view.setUint32(12, crc32c(bytes.subarray(0, 12)), true);
  return bytes;
}

function olderRecord(record: JournalRecord): JournalRecord {
  switch (record.type) {
    case 'container.intent':
      return { ...record, spec: withSecrets(record.spec) };
    case 'container.stopping': {
      const { killAtMonoMs: _, ...rest } = record;
      return rest;
    }
    case 'image.fetching':
    case 'image.givenUp': {
      const { source: _source, namespace: _namespace, ...rest } = record;
      return rest;
    }
    case 'image.present':
      return { ...record, image: withoutSources(record.image) };
    default:
      return record;
  }
}

/** Command and environment were recorded. */
function withSecrets(spec: ContainerIntent['spec']): ContainerIntent['spec'] {
  return Object.assign({ env: [{ name: 'PASSWORD', value: OLD_SECRET }], command: [OLD_SECRET] }, spec);
}

/** One claim for all names of the image. */
function withoutSources({ sources = [], config, ...image }: ImageRecord): ImageRecord {
  const checkpointOf = sources.find((source) => source.checkpointOf !== undefined)?.checkpointOf;
  return { ...image, config: Object.assign({}, config, checkpointOf === undefined ? {} : { checkpointOf }) };
}
