// Who loses something where there is no room for all of it.
import { describe, expect, it } from 'vitest';
import { overShare } from '../../../../src/actors/janitor/over-share.ts';
import type { Shared } from '../../../../src/actors/janitor/over-share.ts';

const of = (namespace: string, host: string, ...keys: readonly string[]): Shared[] =>
  keys.map((key) => ({ key, namespace, host }));

describe('S90 of too many', () => {
  it('loses nothing while there is room', () => {
    expect(overShare([...of('a', 'x', '1', '2'), ...of('b', 'x', '3')], 3)).toEqual([]);
  });

  it('the oldest of the largest namespace is ended, whoever came first', () => {
    expect(overShare([...of('victim', 'x', 'v'), ...of('busy', 'x', '1', '2', '3', '4')], 3)).toEqual([
      '1',
      '2',
    ]);
    expect(overShare([...of('busy', 'x', '1', '2', '3', '4'), ...of('victim', 'x', 'v')], 3)).toEqual([
      '1',
      '2',
    ]);
  });

  it('in a namespace the largest registry loses', () => {
    expect(
      overShare([...of('a', 'few', '1'), ...of('a', 'many', '2', '3', '4'), ...of('b', 'many', '5')], 3),
    ).toEqual(['2', '3']);
  });

  it('equals lose in order of arrival', () => {
    expect(overShare([...of('a', 'x', '1'), ...of('b', 'x', '2'), ...of('c', 'x', '3')], 1)).toEqual([
      '1',
      '2',
    ]);
  });
});
