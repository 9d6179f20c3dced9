// What the flight recorder keeps suffices to replay each machine; a machine that was changed goes elsewhere.
import type { AnyStateMachine } from 'xstate';
import { describe, expect, test } from 'vitest';
import { recordFlight } from './record-flight.ts';
import { replay, replayedMachines } from './replay.ts';
import { runSeed } from './seeds.ts';

/** Seeds with crashes, power losses, hangs and failures of every kind among them. */
const SEEDS = 12;

async function recordingOf(seed: number) {
  const { inspect, entries } = recordFlight();
  const { failure } = await runSeed(seed, { inspect });
  expect(failure).toBeUndefined();
  return entries();
}

describe('a recorded run', () => {
  test('replays with the same transitions and effects, and skips no event', async () => {
    let [transitions, effects, failures] = [0, 0, 0];
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const { differences, skipped, ...replayed } = replay(await recordingOf(seed));
      expect({ seed, differences, skipped }).toEqual({ seed, differences: [], skipped: 0 });
      transitions += replayed.transitions;
      effects += replayed.effects;
      failures += replayed.failures;
    }
    expect(transitions).toBeGreaterThan(1000);
    expect(effects).toBeGreaterThan(1000);
    expect(failures).toBeGreaterThan(50);
  });

  test('that is of an earlier version, without the effects that were started, replays by its transitions', async () => {
    const entries = (await recordingOf(3)).map((entry) =>
      entry.kind === 'event' ? { ...entry, starts: undefined } : entry,
    );
    expect(replay(entries)).toMatchObject({ differences: [], skipped: 0 });
  });

  test('that is cut at a segment replays from there on', async () => {
    const entries = await recordingOf(3);
    const cuts = entries.flatMap(({ kind }, at) => (kind === 'clock' ? [at] : []));
    for (const at of cuts) expect(replay(entries.slice(at))).toMatchObject({ differences: [], skipped: 0 });
  });
});

describe('a machine that was changed', () => {
  const machines = replayedMachines();
  const changed = (machine: AnyStateMachine, guards: object): AnyStateMachine => machine.provide({ guards });

  test.each([
    [
      'a sandbox that never needs a network',
      { sandbox: changed(machines.sandbox, { needsNetwork: () => false }) },
    ],
    [
      'a container that forgets a stop',
      { container: changed(machines.container, { isUnwanted: () => false }) },
    ],
    ['a container that never kills', { container: changed(machines.container, { killIsDue: () => false }) }],
  ])('%s is found', async (_name, mutant) => {
    let found = 0;
    for (let seed = 1; seed <= SEEDS && found === 0; seed += 1)
      found = replay(await recordingOf(seed), { ...machines, ...mutant }).differences.length;
    expect(found).toBeGreaterThan(0);
  });
});

test('a machine that starts another effect in the same state is found', async () => {
  const entries = (await recordingOf(3)).map((entry) =>
    entry.kind === 'event' && entry.starts?.includes('addNetwork') === true
      ? { ...entry, starts: ['addNetworks'] }
      : entry,
  );
  const [first] = replay(entries).differences;
  expect(first?.replayed).toMatch(/ starting addNetwork, recorded addNetworks$/u);
});
