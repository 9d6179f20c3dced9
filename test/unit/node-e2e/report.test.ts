import { describe, expect, it } from 'vitest';
import { figuresOf, nodeSpecs } from '../../e2e/node-e2e/report.ts';

const spec = (LeafNodeText: string, State: string, Message?: string): object => ({
  LeafNodeType: 'It',
  LeafNodeText,
  ContainerHierarchyTexts: ['[sig-node] Pods'],
  State,
  RunTime: 2e9,
  ...(Message === undefined ? {} : { Failure: { Message } }),
});
const report = (...SpecReports: object[]): string => JSON.stringify([{ SpecReports }]);

describe('the report of the node e2e suite', () => {
  it('lists only the selected specs that were left out for lack of something', () => {
    const specs = nodeSpecs(
      report(
        spec('start [NodeConformance]', 'passed'),
        spec('NFS [NodeConformance]', 'skipped'),
        spec('NFS [NodeConformance] [Slow]', 'skipped'),
        spec('NFS', 'skipped'),
        spec('others [NodeConformance]', 'skipped'),
      ),
      { focus: String.raw`\[NodeConformance\]`, skip: String.raw`\[Slow\]`, files: [] },
      [{ specs: /NFS/, reason: 'no NFS' }],
    );
    expect(specs.map(({ name, state }) => [name, state])).toEqual([
      ['[sig-node] Pods start [NodeConformance]', 'passed'],
      ['[sig-node] Pods NFS [NodeConformance]', 'skipped'],
    ]);
    expect(specs[1]?.reason).toBe('no NFS');
  });

  it('is rendered as counts and a table of what did not pass', () => {
    const text = figuresOf(
      nodeSpecs(
        report(spec('starts', 'passed'), spec('stops', 'failed', 'a | b')),
        { focus: '.', skip: '', files: [] },
        [],
      ),
      61.4,
      'Nothing was left.',
    );
    expect(text.split('\n')).toEqual([
      '**1 passed, 1 failed, 0 skipped of 2** in 61 s. Nothing was left.',
      '',
      '| state | spec | reason |',
      '|---|---|---|',
      '| failed | [sig-node] Pods stops | a \\| b |',
    ]);
  });
});
