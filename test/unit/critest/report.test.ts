import { describe, expect, it } from 'vitest';
import { withBlock } from '../../../scripts/support/figures.ts';
import { figuresOf, specsOf, totals } from '../../e2e/critest/report.ts';

const spec = (LeafNodeText: string, State: string, Message?: string, more: object = {}): object => ({
  LeafNodeType: 'It',
  LeafNodeText,
  ContainerHierarchyTexts: ['[k8s.io] Pod'],
  State,
  RunTime: 1_500_000_000,
  ...(Message === undefined ? {} : { Failure: { Message } }),
  ...more,
});
const report = (...SpecReports: object[]): string => JSON.stringify([{ SpecReports }]);

describe('the report of critest', () => {
  it('counts passed, failed and skipped specs with their reasons on one line', () => {
    const specs = specsOf(
      report(
        spec('starts', 'passed'),
        spec('stops', 'failed', 'Expected\n  <int>: 1\nto equal 2'),
        spec('maps', 'skipped', 'not supported'),
      ),
    );
    expect(specs).toEqual([
      { name: 'Pod starts', state: 'passed', reason: '', seconds: 1.5 },
      { name: 'Pod stops', state: 'failed', reason: 'Expected <int>: 1 to equal 2', seconds: 1.5 },
      { name: 'Pod maps', state: 'skipped', reason: 'not supported', seconds: 1.5 },
    ]);
    expect(totals(specs)).toBe('1 passed, 1 failed, 1 skipped of 3');
  });

  it('leaves out benchmarks, specs out of focus and successful set-up', () => {
    expect(
      specsOf(
        report(
          spec('benchmark about pods', 'skipped'),
          spec('other', 'skipped'),
          spec('', 'passed', undefined, { LeafNodeType: 'BeforeSuite' }),
        ),
      ),
    ).toEqual([]);
  });

  it('counts panics, timeouts and failures before the specs as failed', () => {
    const specs = specsOf(
      report(
        spec('a', 'panicked', 'boom'),
        spec('b', 'timedout', 'late'),
        spec('', 'failed', 'no socket', { LeafNodeType: 'BeforeSuite', ContainerHierarchyTexts: null }),
      ),
    );
    expect(specs.map(({ name, state, reason }) => [name, state, reason])).toEqual([
      ['Pod a', 'failed', 'panicked: boom'],
      ['Pod b', 'failed', 'timedout: late'],
      ['BeforeSuite', 'failed', 'no socket'],
    ]);
  });

  it('is rendered as an escaped markdown table', () => {
    const block = figuresOf(specsOf(report(spec('a|b', 'failed', '<nil> | x'), spec('c', 'passed'))), 90.4, [
      'Nothing was left.',
    ]);
    expect(block).toBe(
      [
        '**1 passed, 1 failed, 0 skipped of 2** in 90 s (the 5 benchmarks apart).',
        'Nothing was left.',
        '',
        '| state | spec | reason |',
        '|---|---|---|',
        '| failed | Pod a\\|b | &lt;nil> \\| x |',
      ].join('\n'),
    );
  });
});

describe('the blocks of docs/figures.md', () => {
  it('are added at the end, then replaced in place', () => {
    const once = withBlock('', 'critest', 'first');
    expect(once).toMatch(/^# Figures\n/);
    const both = withBlock(once, 'bench', 'other');
    const replaced = withBlock(both, 'critest', 'second');
    expect(replaced).not.toContain('first');
    expect(replaced).toContain('<!-- critest: begin -->\nsecond\n<!-- critest: end -->');
    expect(replaced.indexOf('second')).toBeLessThan(replaced.indexOf('other'));
    expect(withBlock(replaced, 'critest', 'second')).toBe(replaced);
  });
});
