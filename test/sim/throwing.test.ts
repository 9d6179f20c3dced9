/** F16: a bug in one actor, at each transition that the crash sweep's scenarios take. */
import { beforeAll, describe, expect, it } from 'vitest';
import { EXHAUSTIVE } from '../support/exhaustive.ts';
import { injects } from '../support/faults/injects.ts';
import { type Site, sites, throwAt } from './throwing.ts';

const thrown = injects('F16', 'a transition of an actor throws, before its actions or after them');

/** Sites of which the short form takes one. */
const SHORT_EACH = 8;

describe('F16 a bug in a transition of an actor', () => {
  let all: readonly Site[];
  beforeAll(async () => {
    all = await sites();
  });

  const failuresAt = async (some: readonly Site[]): Promise<string[]> => {
    const failures: string[] = [];
    for (const site of some)
      for (const when of ['before', 'after'] as const) {
        const { failure, threw } = await throwAt(site, when);
        if (!threw) failures.push(`${site.transition}: not taken again`);
        if (failure !== undefined)
          failures.push(
            `scenario ${site.scenario}, ${when} ${site.transition}: ${failure.invariant} ${failure.detail}`,
          );
      }
    thrown.happened(2 * some.length);
    return failures;
  };

  it('F16 is answered by this actor alone: it is rebuilt, clients come to their ends, nothing is left', async () => {
    expect(all.length).toBeGreaterThan(100);
    expect(await failuresAt(all.filter((_site, at) => at % SHORT_EACH === 0))).toEqual([]);
  });

  it('F16 the same at every transition', { tags: [EXHAUSTIVE] }, async () => {
    expect(await failuresAt(all.filter((_site, at) => at % SHORT_EACH !== 0))).toEqual([]);
  });

  it.each([
    ['I7 a container whose id was handed out stays listed while its actor is rebuilt', 'container.claim'],
    [
      'I10 an exit between the crash of an actor and its rebuild is not lost',
      'xstate.done.actor.0.container.stopping.killing',
    ],
  ])('F16 %s', async (_what, event) => {
    const some = all.filter(({ transition }) => transition.endsWith(` ${event}`));
    expect(some.length).toBeGreaterThan(0);
    expect(await failuresAt(some)).toEqual([]);
  });
});
