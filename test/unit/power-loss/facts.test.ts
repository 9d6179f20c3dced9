// What `npm run power-loss` calls a loss: an answer that the daemon gave and that does not hold after the cut.
import { describe, expect, it } from 'vitest';
import { type Checked, expectedAfter, type Fact, factOf, lossesOf } from '../../vm/power/facts.ts';

const seen: Checked = {
  image: 0,
  readyMs: 10,
  pods: [{ id: 'p1', name: 'a0' }],
  containers: [{ id: 'c1', name: 'a0-0', pod: 'p1', state: 'exited', exitCode: 3 }],
  images: [{ name: 'i', problem: '' }],
  pulled: [],
  problems: [],
};
const facts: readonly Fact[] = [
  { is: 'ready' },
  { is: 'ask', call: 'pod', name: 'a0' },
  { is: 'done', call: 'pod', name: 'a0', id: 'p1' },
  { is: 'ask', call: 'container', name: 'a0-0', pod: 'p1' },
  { is: 'done', call: 'container', name: 'a0-0', pod: 'p1', id: 'c1' },
  { is: 'done', call: 'exited', id: 'c1', code: 3 },
  { is: 'ask', call: 'pull', name: 'i' },
  { is: 'done', call: 'pull', name: 'i' },
];
const losses = (more: readonly Fact[], found: Partial<Checked> = {}): string[] =>
  lossesOf(expectedAfter([...facts, ...more]), { ...seen, ...found });

describe('F94 a loss', () => {
  it('is not where all answers hold', () => {
    expect(losses([])).toEqual([]);
    expect(expectedAfter(facts).answers).toBe(4);
  });

  it.each<[string, Partial<Checked>, string]>([
    ['a pod that is lost', { pods: [] }, 'pod a0 (p1) is lost'],
    ['a container that is lost', { containers: [] }, 'container a0-0 (c1) is lost'],
    ['an image that is lost', { images: [] }, 'image i is lost'],
    ['a half image', { images: [{ name: 'i', problem: 'x' }] }, 'image i is half: x'],
    [
      'a half layer in the store',
      { pulled: [{ name: 'j', problem: 'x' }] },
      'image j, pulled after the cut, is half: x',
    ],
    ['a start out of its bound', { readyMs: 121_000 }, 'the start took 121 s'],
    ['no start', { start: 'why' }, 'the daemon did not start: why'],
    ['no file system', { unmountable: 'why' }, "the file system can't be mounted: why"],
    ['what else was found', { problems: ['leak'] }, 'leak'],
  ])('is %s', (_what, found, loss) => {
    expect(losses([], found)).toEqual([loss]);
  });

  it('is an exit code that was reported and is another now', () => {
    const [container] = seen.containers;
    if (container === undefined) throw new Error('no container');
    expect(losses([], { containers: [{ ...container, exitCode: 255 }] })).toEqual([
      'container a0-0 (c1) ended with 3, and now is exited with 255',
    ]);
  });

  it('is what is there after its removal was answered, and not while the removal is under way', () => {
    const ask: Fact[] = [
      { is: 'ask', call: 'removePod', id: 'p1' },
      { is: 'ask', call: 'removeImage', name: 'i' },
    ];
    expect(losses(ask)).toEqual([]);
    expect(losses(ask, { pods: [], containers: [], images: [] })).toEqual([]);
    const done: Fact[] = [
      { is: 'done', call: 'removePod', id: 'p1' },
      { is: 'done', call: 'removeImage', name: 'i' },
    ];
    expect(losses([...ask, ...done])).toEqual([
      'pod a0 (p1) is listed, although its removal was answered',
      'container a0-0 (c1) is listed, although its removal was answered',
      'image i is listed, although its removal was answered',
    ]);
  });

  it('is a pod that was never asked for, and not one whose answer is missing', () => {
    const found = { pods: [...seen.pods, { id: 'p2', name: 'a1' }] };
    expect(losses([], found)).toEqual(['pod a1 (p2) was never asked for']);
    expect(losses([{ is: 'ask', call: 'pod', name: 'a1' }], found)).toEqual([]);
  });
});

it('F94 finds its facts among other lines', () => {
  expect(factOf('up')).toBeUndefined();
  expect(factOf('x @power {"is":"ready"}')).toEqual({ is: 'ready' });
});
