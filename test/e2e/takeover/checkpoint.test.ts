// A checkpoint in progress when a daemon takes over (F92). CRIU's part is a fake.
import { existsSync, mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fakeCriu } from '../../integration/daemon/fake-criu.ts';
import { hostOnlyWorld, makePod, removePod } from '../../integration/daemon/pod.ts';
import { RELEASED, says, SERVES, Successors } from '../handover/successors.ts';
import { describePods } from '../support/crictl.ts';

describePods('a checkpoint at a take-over', () => {
  test('F92 one that does not land is aborted, its container thawed, and made anew by the next daemon', async () => {
    const fake = fakeCriu();
    onTestFinished(() => fake.remove());
    const world = await hostOnlyWorld('tkc', {
      handlers: { fake: fake.runtime },
      config: `[runtime]\ncriu = "${fake.criu}"`,
    });
    const takers = new Successors(world.instance);
    onTestFinished(async () => {
      await takers.kill();
      await world.close();
    });
    const { runtime } = world.client;
    const made = await makePod(world, 'read', { runtimeHandler: 'fake' });
    const { containerId } = made;
    await runtime.startContainer({ containerId });
    const archives = mkdtempSync(join(fake.directory, 'archives-'));
    fake.does('hang');
    const location = join(archives, 'c.tar');
    const taken = runtime.checkpointContainer({ containerId, location, timeout: 0n });
    taken.catch(() => undefined);
    await fake.untilItHangs();
    fake.does('work');
    const taker = takers.start();
    await says(taker, RELEASED);
    await says(taker, SERVES);
    await taken;
    expect(existsSync(location)).toBe(true);
    expect(readdirSync(archives)).toEqual(['c.tar']);
    // a frozen one would start nothing
    const { exitCode } = await runtime.execSync({ containerId, cmd: ['true'], timeout: 60n });
    expect(exitCode).toBe(0);
    await removePod(world, made.sandboxId);
    await takers.terminate();
    expect(await world.leftovers()).toEqual([]);
  });
});
