import { describe, expect, it } from 'vitest';
import { clampDelay, containerDelays } from '../../../../src/actors/container/container.delays.ts';
import { statePath } from '../../../../src/actors/directory/state-path.ts';
import { portLimits } from '../../../../src/ports/bounds.ts';

describe('statePath', () => {
  it.each([
    ['running', 'running'],
    [{ stopping: 'waiting' }, 'stopping.waiting'],
    [
      { provisioning: { files: 'done', network: { adding: 'plugin' } } },
      'provisioning.{files.done,network.adding.plugin}',
    ],
  ] as const)('of %j is %s', (value, path) => {
    expect(statePath(value)).toBe(path);
  });
});

describe('clampDelay', () => {
  it.each([
    [5, 5],
    [0, 0],
    [-1, 0],
    [NaN, 0],
    [Infinity, portLimits.graceMaxMs],
    [2 ** 31, portLimits.graceMaxMs],
    [2 ** 53, portLimits.graceMaxMs],
  ])('of %d is %d, since a timer fires at once above 2^31-1 and for NaN', (ms, clamped) => {
    expect(clampDelay(ms)).toBe(clamped);
    expect(portLimits.graceMaxMs).toBeLessThan(2 ** 31);
  });

  it('grace is the remaining part, counted from the last stop', () => {
    const grace = (killAtMonoMs: number | undefined, askedAtMonoMs: number): number =>
      containerDelays.grace({ context: { killAtMonoMs, askedAtMonoMs } as never });
    expect(grace(3000, 1000)).toBe(2000);
    expect(grace(1000, 3000)).toBe(0);
    expect(grace(undefined, 3000)).toBe(0);
  });
});
