import { expect, test } from 'vitest';
import { parseInotify } from '../../../../src/host/process/watch.ts';

function event(mask: number, name: string, padded: number): Buffer {
  const bytes = Buffer.alloc(16 + padded);
  bytes.writeInt32LE(1, 0);
  bytes.writeUInt32LE(mask, 4);
  bytes.writeUInt32LE(padded, 12);
  bytes.write(name, 16);
  return bytes;
}

test('events are read one after the other, names without their padding', () => {
  const bytes = Buffer.concat([
    event(0x80, 'ab', 16),
    event(0x4000, '', 0),
    event(0x8, 'x'.repeat(16), 16),
    event(0x8, 'é', 8),
  ]);
  expect(parseInotify(bytes)).toEqual([
    { mask: 0x80, name: 'ab' },
    { mask: 0x4000, name: '' },
    { mask: 0x8, name: 'x'.repeat(16) },
    { mask: 0x8, name: 'é' },
  ]);
  expect(parseInotify(Buffer.alloc(0))).toEqual([]);
});
