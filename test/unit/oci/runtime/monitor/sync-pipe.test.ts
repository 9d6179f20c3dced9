import { describe, expect, it } from 'vitest';
import { monitorLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { parseCreateReport } from '../../../../../src/oci/runtime/monitor/sync-pipe.ts';

describe('F39 the report of a create', () => {
  it('gives the pid', () => {
    expect(parseCreateReport('{"pid": 4711}')).toEqual({ kind: 'value', value: 4711 });
  });

  it('gives the failure with the runtime’s words', () => {
    expect(parseCreateReport('{"pid": -1, "message": "no such file"}')).toEqual({
      kind: 'failed',
      message: 'no such file',
    });
  });

  it('caps the failure’s words', () => {
    const report = parseCreateReport(JSON.stringify({ pid: -1, message: 'x'.repeat(60_000) }));
    expect(report.kind === 'failed' && report.message.length).toBe(monitorLimits.quotedChars);
  });

  it.each([
    ['', 'empty'],
    ['{"pid": 47', 'cut off'],
    ['[4711]', 'a list'],
    ['4711', 'a number'],
    ['null', 'null'],
    ['{"pid": "4711"}', 'a text'],
    ['{"pid": 4711.5}', 'a fraction'],
    ['{"pid": 0}', 'the whole process group'],
    ['{"pid": 1}', 'the init of the machine'],
    ['{"pid": 99999999}', 'above pid_max'],
    ['{"pid": 1e400}', 'infinite'],
    ['{"data": 4711}', 'the form of an exec'],
    ['{"__proto__": {"pid": 4711}}', 'a prototype'],
    ['{"pid": 4711, "message": 5}', 'a message that is no text'],
  ])('refuses %s: %s', (line) => {
    expect(parseCreateReport(line).kind).toBe('invalid');
  });
});
