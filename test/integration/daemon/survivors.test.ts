// What outlives a container's first process where the kernel does not end it: in a PID namespace that the pod shares.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ContainerId } from '../../../src/base/ids.ts';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import type { World } from '../../e2e/support/world.ts';
import { closeWorld, hostOnlyWorld, makePod, processesIn, removePod } from './pod.ts';

describePods('survivors of a first process', () => {
  let world: World;
  beforeAll(async () => {
    world = await hostOnlyWorld('surv');
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  it('I8 surviving processes are killed before the monitor has reported the end: one that goes on writing would delay the report, and the exit code would be lost', async () => {
    const { runtime } = world.client;
    const command = ['sh', '-c', 'mkfifo /go; sleep 3600 & read end < /go; exit 3'];
    const { sandboxId, containerId } = await makePod(world, 'survivor', { sharesPids: true, command });
    await runtime.startContainer({ containerId });
    const monitor = Number(
      readFileSync(createLayout(world.instance).monitorPidFile(containerId as ContainerId), 'utf8'),
    );
    // in the place of conmon's reading without end, which depends on who is faster
    process.kill(monitor, 'SIGSTOP');
    await runtime.execSync({
      containerId,
      cmd: ['sh', '-c', 'until [ -p /go ]; do :; done; echo > /go'],
      timeout: 60n,
    });
    while (processesIn(containerId).some((pid) => pid !== monitor)) await runtime.version({});
    process.kill(monitor, 'SIGCONT');
    for (;;) {
      const { status } = await runtime.containerStatus({ containerId });
      if (status?.state !== ContainerState.CONTAINER_EXITED) continue;
      expect(status).toMatchObject({ exitCode: 3, reason: 'Error' });
      break;
    }
    await removePod(world, sandboxId);
  });
});
