// The CRI's log format, in pieces of any size.
import { describe, expect, it } from 'vitest';
import { LogParser, endsLine, timeNs } from '../../../../src/daemon/programs/log-parser.ts';

const AT = '2026-11-23T06:17:09.669794202+00:00';

/** Content by stream, and the lines that end. */
function read(text: string, size = text.length): { stdout: string; stderr: string } {
  const parser = new LogParser();
  const bytes = Buffer.from(text);
  const found = { stdout: '', stderr: '' };
  for (let at = 0; at < bytes.length; at += size) {
    for (const piece of parser.push(bytes.subarray(at, at + size)))
      found[piece.stream] += Buffer.from(piece.bytes).toString() + (piece.endsLine ? '\n' : '');
  }
  return found;
}

const LOG = [
  `${AT} stdout F one`,
  `${AT} stderr P half `,
  `${AT} stdout P two, `,
  `${AT} stderr F done`,
  `${AT} stdout F whole`,
  `${AT} stdout F `,
  `${AT} stdout F:extra tagged`,
  `${AT} stdout F with stdout F inside`,
  'a line of another kind',
  `${AT} stdout P prompt $ `,
  '',
].join('\n');

const SHOWN = {
  stdout: 'one\ntwo, whole\n\ntagged\nwith stdout F inside\na line of another kind\nprompt $ ',
  stderr: 'half done\n',
};

describe('a log', () => {
  it('has its partial entries joined and its streams apart, however it is cut', () => {
    for (const size of [1, 2, 7, 50, 1000]) expect(read(LOG, size)).toEqual(SHOWN);
  });

  it('passes a long entry on in pieces, and keeps no more than a head', () => {
    const parser = new LogParser();
    const long = Buffer.from(`${AT} stdout F ${'x'.repeat(1_000_000)}`);
    const pieces = [...parser.push(long.subarray(0, 500_000)), ...parser.push(long.subarray(500_000))];
    expect(pieces.map(({ bytes, endsLine: isEnd }) => [bytes.length, isEnd])).toEqual([
      [500_000 - AT.length - ' stdout F '.length, false],
      [500_000 + AT.length + ' stdout F '.length, false],
    ]);
    expect([...parser.push(Buffer.from('\n'))].map(({ endsLine: isEnd }) => isEnd)).toEqual([true]);
  });

  it('knows the entries that end a line', () => {
    expect(endsLine(Buffer.from(`${AT} stdout F x\n`))).toBe(true);
    expect(endsLine(Buffer.from(`${AT} stdout P x\n`))).toBe(false);
    expect(endsLine(Buffer.from('anything\n'))).toBe(true);
  });
});

it('times are read to the nanosecond, in any zone', () => {
  expect(timeNs('1970-01-01T00:00:01.5Z')).toBe(1_500_000_000n);
  expect(timeNs('1970-01-01T01:00:00.000000001+01:00')).toBe(1n);
  expect(timeNs('1970-01-01T00:00:00Z')).toBe(0n);
  for (const wrong of ['', '10m', '1970-01-01', '1970-13-01T00:00:00Z', '1970-01-01T00:00:00.0000000001Z'])
    expect(timeNs(wrong)).toBeUndefined();
});
