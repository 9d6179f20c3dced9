// F93: the daemon becomes one of another version and back, with pods under load. `npm run upgrade-test` in short.
import { expect, it } from 'vitest';
import { gitAgrees } from '../../../scripts/support/git.ts';
import { injects } from '../../support/faults/injects.ts';
import { unless } from '../../support/skips/unless.ts';
import { checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';
import { previousCommit } from './previous.ts';
import { upgrade } from './upgrade.ts';

const exchanged = injects('F93', 'a daemon of the last release, under load');

/** A guest has the files of a commit, and no repository. */
const hasCommit =
  gitAgrees(checkout, 'rev-parse', 'HEAD') &&
  gitAgrees(checkout, 'cat-file', '-e', `${previousCommit().commit}^{tree}`);
const reason = hasCommit ? '' : 'needs the commit of the last release in the clone';

describePods('an upgrade', () => {
  unless(it, reason)('F93 restarts no container, and no call fails', async () => {
    const result = await upgrade({
      from: previousCommit(),
      pods: 4,
      lives: 2,
      execsPerSecond: 10,
      callsBetween: 60,
    });
    exchanged.happened();
    const { steps, restarted, leftovers } = result;
    expect([restarted, leftovers, steps.flatMap(({ tally }) => tally.failed)]).toEqual([[], [], []]);
    expect(steps.length).toBeGreaterThan(0);
    for (const { way, tally } of steps) if (way === 'take-over') expect(tally.unavailable).toBe(0);
  });
});
