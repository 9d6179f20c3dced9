/** Effects that keep processors busy begin in turn. */
import { describe, expect, it } from 'vitest';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { Activity } from '../../../../src/actors/effects/activity.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const MOST = actorLimits.turnsPerProcessor;
const LONG_MS = 60_000;

function setUp() {
  const clock = new HandClock();
  const activity = new Activity(clock, 1);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const run = (owner: string, effect: string, signal = new AbortController().signal): Promise<void> =>
    activity.run(owner, effect, LONG_MS, signal, () => {
      begun.push(owner);
      return new Promise<void>((resolve) => ends.set(owner, resolve));
    });
  const end = async (owner: string): Promise<void> => {
    ends.get(owner)?.();
    await turns();
  };
  return { clock, activity, begun, run, end };
}

describe('turns', () => {
  it('an effect begins once another one has ended, in the order in which they came', async () => {
    const { begun, run, end, activity } = setUp();
    const all = ['a', 'b', 'c', 'd'].map((owner) => run(owner, 'create'));
    await turns();
    expect(begun).toEqual(['a', 'b']);
    expect(activity.describe('c')).toContain('its turn: others keep the processors busy');
    await end('b');
    expect(begun).toEqual(['a', 'b', 'c']);
    expect(activity.describe('c')).not.toContain('its turn');
    for (const owner of ['a', 'c', 'd']) await end(owner);
    await Promise.all(all);
  });

  it('a container’s creation goes before the network of a pod that came earlier', async () => {
    const { begun, run, end } = setUp();
    const all = [run('a', 'addNetwork'), run('b', 'addNetwork'), run('c', 'addNetwork'), run('d', 'create')];
    await turns();
    for (const owner of ['a', 'd', 'b', 'c']) await end(owner);
    await Promise.all(all);
    expect(begun).toEqual(['a', 'b', 'd', 'c']);
  });

  it('creations that go on and on do not keep a pod from its network', async () => {
    const { begun, run, end } = setUp();
    const first = ['a', 'b'].map((owner) => run(owner, 'create'));
    const rest = [run('pod', 'addNetwork')];
    await turns();
    for (let count = 1; !begun.includes('pod'); count += 1) {
      expect(count).toBeLessThanOrEqual(actorLimits.turnsInOrder);
      rest.push(run(`again ${count}`, 'create'));
      await end(begun.at(-1) ?? '');
    }
    expect(begun).toHaveLength(MOST + actorLimits.turnsInOrder);
    await end('pod');
    for (const owner of begun) await end(owner);
    await Promise.all([...first, ...rest]);
  });

  it('other effects need no turn, and a machine without a bound has none', async () => {
    const { begun, run } = setUp();
    for (let count = 0; count <= MOST; count += 1) void run(`other ${count}`, 'mountRootfs');
    await turns();
    expect(begun).toHaveLength(MOST + 1);
    const activity = new Activity(new HandClock());
    let started = 0;
    for (let count = 0; count <= MOST; count += 1)
      void activity.run(`free ${count}`, 'create', LONG_MS, new AbortController().signal, async () => {
        started += 1;
      });
    await turns();
    expect(started).toBe(MOST + 1);
  });

  it('one that hangs gives its turn away', async () => {
    const { clock, begun, run, end } = setUp();
    const hangs = Array.from({ length: MOST }, (_none, at) => run(`hangs ${at}`, 'create'));
    const next = run('next', 'create');
    await turns();
    await clock.advance(actorLimits.turnMs - 1);
    expect(begun).not.toContain('next');
    await clock.advance(1);
    expect(begun).toContain('next');
    // its own end frees one turn, and no second one
    for (let at = 0; at < MOST; at += 1) await end(`hangs ${at}`);
    await Promise.all(hangs);
    const last = Array.from({ length: MOST }, (_none, at) => run(`last ${at}`, 'create'));
    await turns();
    expect(begun.filter((owner) => owner.startsWith('last'))).toHaveLength(MOST - 1);
    for (const owner of ['next', 'last 0', 'last 1']) await end(owner);
    await Promise.all([next, ...last]);
  });

  it('one that is aborted in line never begins, and takes no turn', async () => {
    const { begun, run, end } = setUp();
    const first = ['a', 'b'].map((owner) => run(owner, 'create'));
    const aborted = new AbortController();
    const gone = run('gone', 'create', aborted.signal);
    const next = run('next', 'create');
    await turns();
    aborted.abort(new Error('not wanted'));
    await expect(gone).rejects.toThrow('not wanted');
    await end('a');
    expect(begun).toEqual(['a', 'b', 'next']);
    for (const owner of ['b', 'next']) await end(owner);
    await Promise.all([...first, next]);
  });

  it('its timeout begins with it', async () => {
    const { clock, activity, run, end, begun } = setUp();
    const first = ['a', 'b'].map((owner) => run(owner, 'create'));
    let ended: unknown;
    const waits = run('waits', 'create').catch((thrown: unknown) => (ended = thrown));
    await clock.advance(actorLimits.turnMs - 1);
    for (const owner of ['a', 'b']) await end(owner);
    expect(begun).toContain('waits');
    expect(activity.of('waits')).toMatchObject([{ deadlineMonoMs: clock.monoMs() + LONG_MS }]);
    await clock.advance(LONG_MS + actorLimits.driverGraceMs - 1);
    expect(ended).toBeUndefined();
    await clock.advance(1);
    await Promise.all([...first, waits]);
    expect(ended).toMatchObject({ fault: { kind: 'timedOut' } });
  });

  it('one whose turn comes while the node is handed over waits for the gate', async () => {
    const { activity, run, end, begun } = setUp();
    const first = ['a', 'b'].map((owner) => run(owner, 'create'));
    const waits = run('waits', 'create');
    await turns();
    activity.gate.become('frozen');
    expect(activity.landing()).toEqual(['create of a', 'create of b']);
    for (const owner of ['a', 'b']) await end(owner);
    expect(begun).toEqual(['a', 'b']);
    activity.gate.become('open');
    await turns();
    expect(begun).toEqual(['a', 'b', 'waits']);
    await end('waits');
    await Promise.all([...first, waits]);
  });
});
