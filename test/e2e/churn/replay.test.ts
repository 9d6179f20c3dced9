// A bug report that reproduces itself: pods that failed in a churn, replayed from the support bundle of their daemon.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRecording } from '../../../src/daemon/cli/read-recording.ts';
import type { EventEntry, FlightEntry } from '../../../src/introspection/flight/entries.ts';
import { replay } from '../../sim/replay.ts';
import { injects } from '../../support/faults/injects.ts';
import { run } from '../../support/run.ts';
import { describePods } from '../support/crictl.ts';
import { makeFailingNetwork, REFUSAL, type FailingNetwork } from '../support/failing-network.ts';
import { sandboxConfig } from '../support/pods.ts';
import { churn } from './churn.ts';

const addFails = injects('F52', 'ADD and DEL fail while pods come and go, and the daemon is killed');

/** How many ADDs have failed. */
const refusedOf = (entries: readonly FlightEntry[]): number =>
  entries.filter(
    (entry) =>
      entry.kind === 'event' && entry.on === 'xstate.error.actor.0.sandbox.provisioning.network.adding',
  ).length;

describePods('a churn whose network fails', () => {
  let network: FailingNetwork;
  beforeAll(async () => {
    network = await makeFailingNetwork('chrep');
  });
  afterAll(async () => await network.world.close());

  const written = async (): Promise<number> =>
    refusedOf((await readRecording(join(network.world.instance.root, 'flight'))).entries);

  /** Pods that are asked for while the network is broken; each fails. */
  async function failedPods(names: readonly string[]): Promise<void> {
    const { client, logs } = network.world;
    await Promise.all(
      names.map((name) =>
        expect(
          client.runtime.runPodSandbox({ config: sandboxConfig({ name, logDirectory: join(logs, name) }) }),
        ).rejects.toThrow(REFUSAL),
      ),
    );
  }

  test('F52: its failures replay from the bundle with the same transitions and effects', async () => {
    const { world } = network;
    network.break();
    await failedPods(['a', 'b', 'c']);
    addFails.happened(3);
    // a kill costs the last second of the recording
    await expect.poll(written).toBe(3);
    // what could not be undone is the next instance's
    await world.instance.kill();
    await world.instance.start();
    await failedPods(['d']);
    await expect.poll(written).toBe(4);
    network.fix();
    const {
      failedPods: failed,
      listed,
      kills,
    } = await churn(world, {
      pods: 3,
      atOnce: 2,
      killEveryMs: 2_000,
      holdMs: 1_000,
      callMs: 20_000,
    });
    expect({ failed, listed }).toEqual({ failed: [], listed: 0 });
    const bundle = join(world.instance.directory, 'bundle.tar.gz');
    const { argv } = world.instance;
    const at = argv.indexOf('serve');
    expect((await run([argv[at - 1] ?? '', 'support-bundle', bundle, ...argv.slice(at + 1)])).code).toBe(0);
    const { entries, unread } = await readRecording(bundle);
    // what failed, and what could not be undone, is in it
    const events = entries.filter((entry): entry is EventEntry => entry.kind === 'event');
    expect(refusedOf(entries)).toBe(4);
    expect(events.some(({ to }) => to === 'cleanupPending')).toBe(true);
    const { differences, skipped, failures, events: replayed } = replay(entries);
    expect({ differences, skipped, unread }).toEqual({ differences: [], skipped: 0, unread: 0 });
    expect(replayed).toBe(events.length);
    expect(failures).toBeGreaterThanOrEqual(4);
    expect(entries.filter(({ kind }) => kind === 'boot').length).toBeGreaterThan(kills + 1);
  });
});
