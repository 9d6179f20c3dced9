// The short form of `npm run churn -- --execs 600`.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describePods } from '../support/crictl.ts';
import { makeWorld, type World } from '../support/world.ts';
import { growth, manyExecs } from './execs.ts';

describePods('many execs', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'execs', network: 'host-only' });
  });
  afterAll(async () => await world.close());

  test('S22: a minute of ExecSync calls, some of which hang or leave a child, keeps processes, descriptors and memory flat', async () => {
    const result = await manyExecs(world, { perSecond: 50, seconds: 60 });
    expect(growth(result)).toEqual([]);
    expect(result.timedOut).toBeGreaterThan(0);
    expect(await world.leftovers()).toEqual([]);
  });
});
