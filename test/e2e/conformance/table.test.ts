// The conformance table (test/conformance-cri) on an instance of our own: the same rows as `npm run conformance`,
// default handler.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Result, runGroups } from '../../conformance-cri/run.ts';
import { Stage } from '../../conformance-cri/stage.ts';
import { table } from '../../conformance-cri/table.ts';
import { type ConformanceWorld, conformanceWorld } from '../../conformance-cri/world.ts';
import { describePods } from '../support/crictl.ts';

describePods('conformance table', () => {
  let conformance: ConformanceWorld;
  beforeAll(async () => {
    conformance = await conformanceWorld();
  });
  afterAll(async () => await conformance.world.close());

  test('F03, F08, F73, F75, F76, F86, F87, S01, S02, S04, S07, S25, S26, S32, S45, S61, S62, S66, S75: every row holds, and nothing is left', async () => {
    const { client, instance, registry, leftovers } = conformance.world;
    const stage = await Stage.open({ client, socket: instance.socket, registry, handler: '' });
    let results: Result[];
    try {
      results = await runGroups(stage, table, () => {});
    } finally {
      await stage.close();
    }
    const reported = results
      .filter(({ outcome }) => outcome === 'failed')
      .map(({ group, subject, claim, reason }) => `${group} | ${subject} | ${claim}: ${reason}`);
    expect(reported).toEqual([]);
    for (const { outcome, group, claim, reason } of results)
      if (outcome === 'skipped') console.log(`skipped: ${group}: ${claim}: ${reason}`);
    expect(await leftovers()).toEqual([]);
  });
});
