// A daemon that was started from a shell with a strict umask: images are made for 022, whoever started what runs them.
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describePods } from '../../e2e/support/crictl.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { closeWorld, makePod, removePod } from './pod.ts';

describePods('a daemon started with umask 077', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({
      name: 'umask',
      network: 'host-only',
      before: () => ['/bin/sh', '-c', 'umask 077; exec "$@"', 'sh'],
    });
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  it('the daemon gives containers and execs umask 022, and makes host paths and mount points readable for everyone', async () => {
    const hostPath = join(world.instance.directory, 'missing/volume');
    const { sandboxId, containerId } = await makePod(world, 'umask', {
      command: ['sh', '-c', 'umask > /of-init; exec sleep 3600'],
      mounts: [{ containerPath: '/made/for/it', hostPath }],
    });
    await world.client.runtime.startContainer({ containerId });
    const cmd = [
      'sh',
      '-c',
      'until [ -s /of-init ]; do :; done; cat /of-init; umask; stat -c %a /made /made/for /made/for/it',
    ];
    const { stdout } = await world.client.runtime.execSync({ containerId, cmd, timeout: 60n });
    expect(new TextDecoder().decode(stdout)).toBe('0022\n0022\n755\n755\n755\n');
    expect(statSync(join(hostPath, '..')).mode & 0o777).toBe(0o755);
    await removePod(world, sandboxId);
  });
});
