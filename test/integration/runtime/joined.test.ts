// A container in another process's PID namespace: the runtime finds that by its pid, which may be a third one's by
// then.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProcessIdentity } from '../../../src/ports/journal.ts';
import { bootId } from '../../../src/host/files/boot-id.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import type { Child } from '../../../src/host/process/process.ts';
import { World, fx, missing, processesNaming } from './support.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = missing();
if (reason !== '') console.log(`joining PID namespaces with the runtime driver is skipped: ${reason}`);

unless(describe, reason)('the PID namespace of another process', () => {
  let world: World;
  let other: Child;
  beforeEach(async () => {
    world = await new World().open();
    other = await spawnProcess({ argv: ['/bin/sleep', '1000'], env: {} });
  });
  afterEach(async () => {
    process.kill(other.pid, 'SIGKILL');
    await other.exited;
    expect(await world.close()).toEqual([]);
  });

  /** As it is known since it was made; `later` ticks: that one has ended, and its pid is another's. */
  const identity = (later = 0): ProcessIdentity => ({
    pid: other.pid,
    startTicks: BigInt(other.identity.startTicks - later),
    bootId: bootId(),
  });

  it('S97 whose pid was reused when the runtime opened it: the container is killed and refused', async () => {
    const container = world.container(['sleep', '1000']);
    await expect(
      world.create({ ...container, bundle: { ...container.bundle, pidNamespaceOf: identity(1) } }),
    ).rejects.toMatchObject({
      fault: {
        kind: 'wrongState',
        message: expect.stringContaining(
          `join the PID namespace of process ${other.pid}: the process has exited`,
        ) as string,
      },
    });
    expect(processesNaming(container.id)).toEqual([]);
  });

  it('S97 that keeps running: the container is made, also by a new driver that knows it from its files', async () => {
    const container = world.container(['sleep', '1000']);
    const bundle = { ...container.bundle, pidNamespaceOf: identity() };
    await world.driver.writeBundle(bundle, fx);
    const init = await world.newDriver().create({ ...bundle, effective: container.effective }, fx);
    expect(init.pid).toBeGreaterThan(1);
  });
});
