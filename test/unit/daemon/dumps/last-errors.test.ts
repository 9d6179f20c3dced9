// Which lines of the log a dump has, and what of them.
import { expect, it } from 'vitest';
import { dumpLimits } from '../../../../src/daemon/bounds.ts';
import { LastErrors } from '../../../../src/daemon/dumps/last-errors.ts';

const time = '2026-11-23T14:00:00.000Z';

function errorsOf(...lines: readonly object[]) {
  const errors = new LastErrors();
  const written: string[] = [];
  const through = errors.through({ write: (line) => written.push(line) });
  for (const line of lines) through.write(JSON.stringify(line));
  return { shown: errors.shown(), written };
}

it('warnings and errors are remembered; each line is written', () => {
  const lines = ['debug', 'info', 'warn', 'error', 'fatal'].map((level) => ({ level, time, msg: level }));
  const { shown, written } = errorsOf(...lines);
  expect(shown).toEqual(lines.slice(2));
  expect(written).toHaveLength(5);
});

it('S91: words of programs end before what they quote; ids stay', () => {
  const line = {
    level: 'error',
    time,
    actor: 'container/3f2a',
    fault: { kind: 'outside', message: 'runc create: exec: "secret": no such file' },
    reason: 'open /var/secret: EIO',
    pid: 7,
    msg: 'start container: failed',
  };
  expect(errorsOf(line).shown).toEqual([
    { ...line, fault: { kind: 'outside', message: 'runc create: exec: …' }, reason: 'open …' },
  ]);
});

it('the last ones are kept, and of a long line only when it was', () => {
  const line = { level: 'warn', time, msg: 'short' };
  const long = { level: 'error', time, reason: 'x'.repeat(dumpLimits.errorLineChars), msg: 'long' };
  const { shown } = errorsOf(...Array<object>(3 * dumpLimits.errorLines).fill(line), long);
  expect(shown).toHaveLength(dumpLimits.errorLines);
  expect(shown.at(-1)).toEqual({
    level: 'error',
    time,
    msg: `…a line of more than ${dumpLimits.errorLineChars} characters`,
  });
});
