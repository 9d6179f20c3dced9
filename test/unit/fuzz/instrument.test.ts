/** Instrumented sources do what they did, and count each branch. */
import { describe, expect, it } from 'vitest';
import { COMPARE, COUNTERS, instrument } from '../../fuzz/engine/instrument.ts';

/** Runs the body of a module with these counters; what it returns, and the counts. */
function run(source: string): { readonly value: unknown; readonly counts: readonly number[] } {
  const { code, lines } = instrument(`export function f() {${source}}`, 'f.ts', 0);
  const counters = new Uint16Array(lines.length);
  const body = code.replace('export function f() {', '').replace(/\}$/u, '');
  // eslint-disable-next-line no-implied-eval, no-new-func -- the text is this test's own
  const value: unknown = new Function(COUNTERS, COMPARE, body)(
    counters,
    (one: unknown, other: unknown) => one === other,
  );
  return { value, counts: [...counters] };
}

describe('instrumented sources', () => {
  it.each([
    [
      'an if without else inside one with else',
      'let r = 0; if (1 === 2) if (true) r = 1; else r = 2; if (r === 0) r = 7; return r;',
      7,
    ],
    [
      'nested conditions',
      'return [1, 2, 3].map((n) => (n === 1 ? "a" : n !== 2 ? "b" : "c")).join("");',
      'acb',
    ],
    ['operands that stop', 'const o = { a: undefined }; o.a ??= 5; return (o.a && 0) || (null ?? "x");', 'x'],
    [
      'loops without braces',
      'let n = 0; for (let i = 0; i < 3; i += 1) n += i; while (n < 9) n += 1; do n += 1; while (n < 11); return n;',
      11,
    ],
    [
      'a switch that falls through',
      'let n = 0; switch (2) { case 1: case 2: n += 1; case 3: { n += 1; break; } default: n = 99; } return n;',
      2,
    ],
    ['a caught error', 'try { throw new Error("e"); } catch (error) { return error.message; }', 'e'],
    ['an arrow that gives an object', 'return (() => ({ a: 1 }))().a;', 1],
    [
      'methods keep what they are called on',
      'const o = { n: 4, get() { return this.n; } }; return true && o.get();',
      4,
    ],
    ['comparison of comparisons', 'return (1 === 1) === (2 !== 3);', true],
  ])('%s', (_what, source, wanted) => {
    expect(run(source).value).toBe(wanted);
  });

  it('count executed code only', () => {
    const { counts } = run('let n = 0; for (const i of [1, 2, 3]) { if (i === 2) n += 1; } return n;');
    // the function, the loop's body, the branch not taken (numbered when it is met), the one taken
    expect(counts.toSorted((one, other) => one - other)).toEqual([1, 1, 2, 3]);
  });

  it('report the texts that they compare with', () => {
    expect(
      instrument('export const x = (t: string): boolean => t === "magic";', 'x.ts', 0).literals,
    ).toContain('magic');
  });
});
