/** Short form of `npm run sim -- --exhaustive`, and of `--sweep`, which runs each outcome once. */
import { expect, it } from 'vitest';
import { search } from './exhaustive.ts';
import { sweepDeep } from './sweep-deep.ts';

it('I18 one pod survives each fault at each of its steps, and the search is complete', async () => {
  const { failures, left, states, pruned } = await search({
    pods: 1,
    faults: 1,
    deviations: 0,
    paths: 2000,
  });
  expect(failures).toStrictEqual([]);
  expect(left).toBe(0);
  expect(states).toBeGreaterThan(500);
  expect(pruned).toBeGreaterThan(50);
});

it('F05 each death with another outcome is survived, by kill and by power loss', async () => {
  // the sandbox is stopped and removed with a running container in it
  const { failures, points, states, known } = await sweepDeep(1, [4]);
  expect(failures).toStrictEqual([]);
  expect(known.length).toBeGreaterThan(20);
  expect(states).toBeLessThan(points);
  expect(states).toBeGreaterThan(known.length);
});
