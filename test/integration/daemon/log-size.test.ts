// The bound of a container's log, through the running daemon and conmon.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describePods } from '../../e2e/support/crictl.ts';
import type { World } from '../../e2e/support/world.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';

const BYTES_MAX = 16 * 1024;
const LINES = 2000;

describePods('runtime.log_size_max', () => {
  let world: World;
  beforeAll(async () => {
    world = await hostOnlyWorld('lgsz', { config: `[runtime]\nlog_size_max = ${BYTES_MAX}` });
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  it('a log at its maximum size is started again, also after a kill of the daemon; the container notices nothing', async () => {
    const script = `echo began; read go < /go; i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; done; echo done > /done; exec sleep 3600`;
    const { sandboxId, containerId } = await makePod(world, 'lines', {
      command: ['sh', '-c', `mkfifo /go; ${script}`],
    });
    await world.client.runtime.startContainer({ containerId });
    await world.instance.kill();
    await world.instance.start();
    const within = (text: string): Promise<unknown> =>
      world.client.runtime.execSync({ containerId, cmd: ['sh', '-c', text], timeout: 60n });
    await within('until [ -p /go ]; do :; done; echo > /go; until [ -e /done ]; do :; done');
    const { status } = await world.client.runtime.containerStatus({ containerId });
    const log = status?.logPath ?? '';
    expect(log).toBe(join(world.logs, 'lines/main/0.log'));
    // ended, so that all of it is written
    await world.client.runtime.stopContainer({ containerId, timeout: 0n });
    expect(statSync(log).size).toBeLessThanOrEqual(BYTES_MAX);
    // what the monitor reads at once may end within a line, and the log be begun anew there; the rest follows
    const [, ...lines] = readFileSync(log, 'utf8')
      .replaceAll(/^\S+ stdout P (.*)\n\S+ stdout ([FP]) /gmu, '* stdout $2 $1')
      .trimEnd()
      .split('\n');
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.map((line) => line.replace(/^\S+ stdout F /u, ''))).toStrictEqual(
      lines.map((_line, index) => `line ${LINES - lines.length + 1 + index}`),
    );
    await removePod(world, sandboxId);
  });
});
