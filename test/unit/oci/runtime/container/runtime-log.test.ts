/** The error that is quoted from a runtime's log, in each form that a runtime writes. */
import { describe, expect, it } from 'vitest';
import { lastError, saysNoContainer } from '../../../../../src/oci/runtime/container/runc.ts';

describe('F35 the error of a failing runtime', () => {
  const line = (level: string, msg: string): string => JSON.stringify({ level, msg, time: 't' });

  it('is the last error of its log', () => {
    expect(
      lastError([line('error', 'first'), line('error', 'second'), line('warning', 'later'), ''].join('\n')),
    ).toBe('second');
  });

  it('is read with a cut first line and text that is not JSON', () => {
    expect(lastError(`el":"error"}\n${line('fatal', 'x')}\nplain`)).toBe('x');
    expect(lastError('plain text')).toBe('');
    expect(lastError('')).toBe('');
    expect(lastError('[]\nnull\n5')).toBe('');
  });

  it('is read from an entry over several lines, as crun 1.28 writes it', () => {
    const entry = (level: string, msg: string): string => JSON.stringify({ msg, level, time: 't' }, null, 2);
    expect(lastError(`${entry('error', 'first')}\n${entry('error', 'open `x`')}\n`)).toBe('open `x`');
    expect(lastError(`${entry('error', 'kept')}\n${entry('warning', 'later')}`)).toBe('kept');
    expect(lastError(`  "level": "error"\n}\n${line('error', 'one line')}\n`)).toBe('one line');
    expect(lastError(entry('error', 'cut').slice(2))).toBe('');
  });

  it('is read in the form that youki writes, without its backtrace', () => {
    const entry = {
      level: 'ERROR',
      message: 'no such thing\n\nStack backtrace:\n 0: <unknown>',
      target: 'y',
    };
    expect(lastError(JSON.stringify(entry))).toBe('no such thing');
    expect(lastError(JSON.stringify({ ...entry, level: 'WARN' }))).toBe('');
  });

  it('is at most 4 KiB without control characters', () => {
    const text = lastError(line('error', `a\u0007b\u001b[31m\ud800${'x'.repeat(100_000)}`));
    expect(text.length).toBeLessThanOrEqual(4096);
    // eslint-disable-next-line no-control-regex -- control characters are what must not be there
    expect(text).not.toMatch(/[\u0000-\u001f]/u);
    expect(text.isWellFormed()).toBe(true);
  });

  it('distinguishes a missing container from other failures', () => {
    expect(saysNoContainer('exit code 1: container does not exist')).toBe(true);
    expect(saysNoContainer('exit code 1: permission denied')).toBe(false);
  });
});
