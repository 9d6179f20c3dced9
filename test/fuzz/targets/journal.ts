/**
 * Bytes of a journal file: the longest whole prefix is read, written again it is the same, and no byte of it makes the
 * daemon hang.
 */
import { decodePlain, encodePlain } from '../../../src/base/codec.ts';
import type { JournalRecord } from '../../../src/ports/journal.ts';
import { crc32c } from '../../../src/journal/crc32c.ts';
import { frame, header, parse } from '../../../src/journal/format.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const ID = 'a'.repeat(64);
const HEADER_BYTES = 16;
/** Of the journal's own kinds, with less in them than a daemon writes. */
const RECORDS: readonly object[] = [
  {
    type: 'sandbox.intent',
    id: ID,
    spec: { key: { name: 'n', namespace: 's', uid: 'u', attempt: 0 }, labels: { $i: 'x' } },
    createdAtNs: 5n,
  },
  { type: 'sandbox.ready', id: ID, ips: ['10.0.0.5'], pause: { pid: 7, startTicks: 9n, bootId: 'b' } },
  { type: 'sandbox.stopping', id: ID },
  { type: 'sandbox.stopped', id: ID, owed: ['network'] },
  { type: 'sandbox.removed', id: ID },
];
const WHOLE = Buffer.concat([header(), ...RECORDS.map((record) => frame(record as JournalRecord))]);

/** Length and checksum of each record that has room made right again. */
function withSums(input: Buffer): Buffer {
  const bytes = Buffer.from(input);
  if (bytes.length >= HEADER_BYTES) bytes.writeUInt32LE(crc32c(bytes.subarray(0, 12)), 12);
  for (let at = HEADER_BYTES; at + 8 <= bytes.length;) {
    const length = Math.min(bytes.readUInt32LE(at), bytes.length - at - 8);
    bytes.writeUInt32LE(length, at);
    bytes.writeUInt32LE(
      crc32c(bytes.subarray(at + 8, at + 8 + length), crc32c(bytes.subarray(at, at + 4))),
      at + 4,
    );
    at += 8 + length;
  }
  return bytes;
}

const kinds: readonly Kind[] = [
  {
    name: 'file',
    seeds: [WHOLE, WHOLE.subarray(0, -3), Buffer.concat([WHOLE.subarray(0, 40), WHOLE.subarray(41)])],
    repair: withSums,
    run: (input) => {
      const { records, validBytes, end } = parse(input);
      if (
        validBytes > input.length ||
        (end === 'whole') !== (validBytes === input.length && validBytes >= HEADER_BYTES)
      )
        violated(`${end} with ${validBytes} of ${input.length} bytes`);
      const again = parse(input.subarray(0, validBytes));
      if (validBytes > 0 && (again.end !== 'whole' || encodePlain(again.records) !== encodePlain(records)))
        violated('the valid prefix is not one');
      for (const record of records)
        if (Object.getPrototypeOf(record) === null) violated('a record without a prototype');
      return end === 'whole' && records.length > 0;
    },
  },
  {
    name: 'plain',
    seeds: [encodePlain(RECORDS), '{"$o":{"$i":"1"}}', '{"__proto__":{"a":1}}', '{"$b":"AAEC"}'],
    run: (input) => {
      let value: unknown;
      try {
        value = decodePlain(input.toString('utf8'));
      } catch (error) {
        // documented: no such text
        if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError)
          return false;
        throw error;
      }
      const text = encodePlain(value);
      if (encodePlain(decodePlain(text)) !== text) violated('written and read again it is another value');
      return true;
    },
  },
];

export const journalLearner = learnerOf(
  kinds,
  ['unsupported'],
  ['{"$i":"', '{"$b":"', '{"$o":{', '__proto__', '"type":"container.intent"'],
);
