// No regular expression of the daemon takes more than a bounded number of steps for each character of untrusted
// text.
import { describe, expect, it } from 'vitest';
import { ambiguity } from './support/patterns.ts';
import { sourcesBelow, walk } from './support/sources.ts';

describe('S63 regular expressions', () => {
  it.each([
    '(a+)+b',
    '(?:[a-z]*[0-9]*)*x',
    '(?:a|b+)*c',
    '^(?:\\.?[A-Za-z0-9_-]+)+$',
    '(x{2,})*',
    '(?<name>\\w+\\s?)*$',
    '((ab)*a?)+',
    '(?:a*a)*',
    '(?:[a-z]+[a-z0-9])+',
  ])('%s is recognised as exponential', (pattern) => {
    expect(ambiguity(pattern, 'u')).toBeDefined();
  });

  it.each([
    'a+b*',
    '(?:\\.[a-z]+)*',
    '^[a-z]+(?:[ \\t][a-z]+)*$',
    '(?:ab){3}',
    '(?:-[0-9]+)?',
    '(?=a+)b',
    '[)(]+',
    '(?:a+){1,2}',
    '(?:[^/]+/)*',
    '(?:(?:_|-+)[a-z]+)*',
  ])('%s is recognised as harmless', (pattern) => {
    expect(ambiguity(pattern, 'u')).toBeUndefined();
  });

  it('of the daemon are harmless', () => {
    let count = 0;
    const found: string[] = [];
    for (const source of sourcesBelow('src')) {
      walk(source.program, (node) => {
        const regex =
          node.type === 'Literal'
            ? (node['regex'] as { readonly pattern: string; readonly flags: string } | undefined)
            : undefined;
        if (regex === undefined) return;
        count += 1;
        const why = ambiguity(regex.pattern, regex.flags);
        if (why !== undefined) found.push(`${source.file}:${source.line(node.start)}: ${why}`);
      });
    }
    expect(found).toEqual([]);
    expect(count).toBeGreaterThan(100);
  });
});
