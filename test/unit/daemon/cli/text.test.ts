import { describe, expect, it } from 'vitest';
import {
  age,
  amount,
  bytes,
  dateAndTime,
  fit,
  shortAddress,
  shortId,
  table,
  timeOfDay,
} from '../../../../src/daemon/cli/text.ts';
import { parse, stringify } from 'smol-toml';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';

const S = 1_000_000_000n;

describe('words for times and sizes', () => {
  it('one is no plural', () => {
    expect([0, 1, 2].map((count) => amount(count, 'pod'))).toEqual(['0 pods', '1 pod', '2 pods']);
  });

  it.each([
    [-5n, '0.0s'],
    [0n, '0.0s'],
    [340_000_000n, '0.3s'],
    [9n * S, '9.0s'],
    [10n * S, '10s'],
    [119n * S, '119s'],
    [120n * S, '2m'],
    [3599n * S, '59m'],
    [3600n * S, '1h00m'],
    [3900n * S, '1h05m'],
    [47n * 3600n * S, '47h00m'],
    [48n * 3600n * S, '2d'],
  ])('%s ns is %s', (ns, text) => expect(age(ns)).toBe(text));

  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [200 * 1024 ** 2, '200 MiB'],
    [3 * 1024 ** 4, '3.0 TiB'],
  ])('%s bytes are %s', (count, text) => expect(bytes(count)).toBe(text));

  it('times of day are local, with milliseconds', () => {
    const at = new Date(2026, 10, 20, 9, 5, 7, 42).getTime();
    expect(timeOfDay(BigInt(at) * 1_000_000n)).toBe('09:05:07.042');
    expect(dateAndTime(BigInt(at) * 1_000_000n)).toBe('2026-11-20 09:05:07.042');
  });

  it('ids are short as crictl shows them, other words whole', () => {
    expect(shortId('ab'.repeat(32))).toBe('abababababa'.padEnd(13, 'ba'));
    expect(shortId('p1')).toBe('p1');
    expect(shortAddress(`container/${'ab'.repeat(32)}`)).toBe(`container/${'ab'.repeat(32).slice(0, 13)}`);
    expect(shortAddress('root')).toBe('root');
  });
});

describe('fit', () => {
  it('cuts with an ellipsis, and removes terminal control characters', () => {
    expect(fit('abcdef', 6)).toBe('abcdef');
    expect(fit('abcdef', 5)).toBe('abcd…');
    expect(fit('a\u001b[31mb\nc', 80)).toBe('a [31mb c');
  });
});

describe('a table', () => {
  const columns = [{ title: 'NAME', least: 6 }, { title: 'ID' }, { title: 'WAITS', least: 5 }];

  it('gives every column its longest cell where there is room', () => {
    expect(
      table(
        columns,
        [
          ['web', 'a1', 'on nothing'],
          ['a-longer-name', 'b2', ''],
        ],
        80,
      ),
    ).toEqual(['NAME           ID  WAITS', 'web            a1  on nothing', 'a-longer-name  b2']);
  });

  it.each([40, 30, 20, 19])('fits %i columns, ids whole', (width) => {
    const lines = table(
      columns,
      [['default/a-very-long-name-of-a-pod', 'abcd', 'CNI ADD bridge (pid 1234), 88s left']],
      width,
    );
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    expect(lines[1]).toContain('  abcd  ');
    expect(lines[1]).toContain('…');
  });

  it('styles a cell after it was cut, so that colours cost no width', () => {
    const style = (row: number, column: number, text: string): string =>
      row === 0 && column === 0 ? `<${text}>` : text;
    expect(table([{ title: 'A', least: 2 }, { title: 'B' }], [['abc', 'x']], 6, style)).toEqual([
      'A    B',
      '<abc>  x',
    ]);
  });
});

describe('the screen', () => {
  const output = (isTTY: boolean, columns = 0) => {
    const written: string[] = [];
    return { isTTY, columns, written, write: (text: string) => written.push(text) };
  };
  const noPreferences = { noColor: false, columns: 0 };

  it('has colours on a terminal only, and not where NO_COLOR is set', () => {
    const shown = (isTTY: boolean, noColor: boolean, text = 'x'): readonly string[] => {
      const out = output(isTTY, 100);
      const screen = makeScreen(out, output(false), { noColor, columns: 0 }, 'mark');
      screen.line(screen.tone('bad', text));
      return out.written;
    };
    expect(shown(true, false)).toEqual(['\u001b[31mx\u001b[39m\n']);
    expect([shown(true, true), shown(false, false), shown(true, false, '')]).toEqual([
      ['x\n'],
      ['x\n'],
      ['\n'],
    ]);
  });

  it('is as wide as the terminal, else as COLUMNS, else 80, and never below the minimum; a pipe cuts by COLUMNS alone', () => {
    const widths = (isTTY: boolean, columns: number, wished: number): readonly number[] => {
      const one = output(isTTY, columns);
      const screen = makeScreen(one, one, { noColor: false, columns: wished }, 'mark');
      return [screen.columns, screen.noteColumns];
    };
    expect(widths(true, 132, 0)).toEqual([132, 132]);
    expect(widths(true, 0, 0)).toEqual([80, 80]);
    expect(widths(true, 10, 0)).toEqual([40, 40]);
    expect(widths(false, 132, 0)).toEqual([Number.MAX_SAFE_INTEGER, 0]);
    expect(widths(false, 0, 100)).toEqual([100, 0]);
  });

  it('writes lines to stdout and notes to stderr', () => {
    const [out, err] = [output(false), output(false)];
    const screen = makeScreen(out, err, noPreferences, 'mark');
    screen.line('a');
    screen.note('b');
    expect([out.written, err.written]).toEqual([['a\n'], ['b\n']]);
  });

  it.each([true, false])(
    'S93 escapes what steers a terminal or reverses text, whatever writes it (terminal: %s)',
    (isTTY) => {
      const [out, err] = [output(isTTY, 100), output(isTTY, 100)];
      const screen = makeScreen(out, err, noPreferences, 'mark');
      // OSC, CSI in 7 and 8 bits, DEL, a new line, bidi marks, isolates and overrides, separators
      const evil =
        'a\u001b]0;x\u0007\u001b[31m\u009b2J\u007f\r\nforged\t\u0085\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\u2029z';
      screen.line(`one ${evil}`);
      screen.line(screen.tone('bad', evil));
      screen.note(evil);
      screen.redraw?.([evil]);
      screen.block(JSON.stringify({ evil }, null, 2));
      screen.block(stringify({ evil }));
      // eslint-disable-next-line no-control-regex -- the screen's own escape sequences
      const ours = /\u001b\[(?:\d+m|K)|\n|\r(?=a)/gu;
      // eslint-disable-next-line no-control-regex -- the characters that must not be there
      const unsafe = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;
      expect([...out.written, ...err.written].join('').replaceAll(ours, '').match(unsafe)).toBeNull();
      expect(out.written[0]).toBe(
        String.raw`one a\u001b]0;x\u0007\u001b[31m\u009b2J\u007f\u000d\u000aforged\u0009\u0085\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\u2029z` +
          '\n',
      );
      expect(JSON.parse(out.written[2] ?? '')).toEqual({ evil });
      expect(parse(out.written[3] ?? '')).toEqual({ evil });
    },
  );

  it('S93 removes colours contained in a text', () => {
    const out = output(true, 100);
    const screen = makeScreen(out, output(true), noPreferences, 'mark');
    screen.line('\u001b[31mred\u001b[39m <bad>red</bad>');
    expect(out.written).toEqual([String.raw`\u001b[31mred\u001b[39m <bad>red</bad>` + '\n']);
  });
});
