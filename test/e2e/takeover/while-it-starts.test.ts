// Somebody has the root's lock and listens for no successor: whoever takes over waits, and serves once it is free.
import { expect, onTestFinished, test } from 'vitest';
import { lockDirectory } from '../../../src/host/files/directory-lock.ts';
import { injects } from '../../support/faults/injects.ts';
import { until } from '../../support/eventually.ts';
import { SERVES, Successors } from '../handover/successors.ts';
import { describePods } from '../support/crictl.ts';
import { makeWorld } from '../support/world.ts';

const held = injects('F92', 'a daemon takes over where the one that has the lock does not listen');

describePods('a take-over where nobody listens', () => {
  test('F92: waits for whoever has the lock, and serves when that one has ended', async () => {
    const world = await makeWorld({ name: 'tkw', network: 'none' });
    const takers = new Successors(world.instance);
    onTestFinished(async () => {
      await takers.terminate();
      await world.close();
    });
    await world.instance.kill();
    const lock = await lockDirectory(world.instance.root);
    const taker = takers.start();
    await until(async () => (await taker.log()).includes('does not listen for a successor yet: wait'));
    held.happened();
    await lock.release();
    await until(async () => (await taker.log()).includes(`"msg":"${SERVES}"`));
    expect(takers.serving()).toBe(taker.pid);
    expect((await world.client.runtime.version({})).runtimeName).toBe('troupe');
  });
});
