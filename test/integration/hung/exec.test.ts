import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EffectContext } from '../../../src/ports/effect.ts';
import type { ExecResult } from '../../../src/ports/runtime.ts';
import { processesNaming, RUNC, World, fx, missing, never, wrapper } from '../runtime/support.ts';
import type { Running } from '../runtime/support.ts';
import { fxOf } from '../../support/fx.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = missing();
if (reason !== '') console.log(`tests of hung execs are skipped: ${reason}`);

unless(describe, reason)('F34 a runtime that hangs in exec', () => {
  /** A world whose runtime runs `hang` for the verb exec while the file `on` is there. */
  async function withRuntime(
    hang: string,
    act: (
      world: World,
      container: Running,
      exec: (timeoutMs: number, effect?: EffectContext) => Promise<ExecResult>,
    ) => Promise<void>,
  ): Promise<void> {
    const world = new World();
    const on = join(world.root, 'on');
    const path = wrapper(
      world.root,
      'runtime',
      `if [ -e ${on} ]; then for word in "$@"; do if [ "$word" = exec ]; then ${hang}; fi; done; fi\nexec ${RUNC} "$@"`,
    );
    world.driver.close();
    world.driver = world.newDriver({ handlers: [{ name: 'runc', path, kind: 'oci' }] });
    await world.open();
    try {
      const container = await world.run(['sleep', '1000']);
      writeFileSync(on, '');
      await act(world, container, (execTimeoutMs, effect = fx) =>
        world.driver.execSync(
          {
            ...container.bundle,
            namespace: 'default',
            argv: ['sleep', '1007'],
            init: container.init,
            execTimeoutMs,
          },
          effect,
        ),
      );
      expect(
        readdirSync(world.layout.containerDir(container.id)).filter((name) => name.startsWith('exec-')),
      ).toEqual([]);
      expect(callsAndExecs(container)).toEqual([]);
    } finally {
      expect(await world.close()).toEqual([]);
    }
  }

  const callsAndExecs = ({ id }: Running): string[] =>
    processesNaming(id).filter(
      // the id in other lines may have the digits
      (line) => /--detach|sleep 100[78]\b/u.test(line),
    );

  it('is killed at the deadline, which names the command', async () => {
    await withRuntime('exec sleep 1008', async (_world, container, exec) => {
      await expect(exec(300)).rejects.toMatchObject({
        fault: {
          kind: 'timedOut',
          subject: container.id,
          message: `exec in container ${container.id}: timed out after 300 ms waiting for the command`,
        },
      });
    });
  });

  it('is killed with its children on abort, and reports before what it waits on', async () => {
    await withRuntime('sleep 1008', async (_world, container, exec) => {
      const caller = new AbortController();
      const notes: (number | undefined)[] = [];
      const outcome = expect(
        exec(0, {
          ...fxOf(EVENT_MS, caller.signal),
          note: ({ on, pid }) => notes.push(on === 'runc exec' ? pid : undefined),
        }),
      ).rejects.toMatchObject({
        fault: { kind: 'cancelled' },
      });
      await until(
        () =>
          processesNaming(container.id).some((line) => line.includes('--detach')) &&
          notes.some((pid) => pid !== undefined),
      );
      caller.abort();
      await outcome;
    });
  });

  it('that hangs after the process began is killed with the process, which is no longer its child', async () => {
    await withRuntime(`${RUNC} "$@"; sleep 1008`, async (_world, container, exec) => {
      const caller = new AbortController();
      const outcome = expect(exec(0, fxOf(EVENT_MS, caller.signal))).rejects.toMatchObject({
        fault: { kind: 'cancelled' },
      });
      await until(() => processesNaming(container.id).some((line) => line.includes('sleep 1007')));
      caller.abort();
      await outcome;
    });
  });

  it('that exits with 0 without a process is a failure with the reason', async () => {
    await withRuntime('exit 0', async (_world, _container, exec) => {
      await expect(exec(0)).rejects.toMatchObject({
        fault: {
          kind: 'outside',
          message: expect.stringContaining('without writing the pid file') as string,
        },
      });
    });
  });

  it('F43 that reports a monitor, which is our child as well, is not believed', async () => {
    await withRuntime(
      'for word in "$@"; do case "$word" in --pid-file=*) cp MONITOR "${word#--pid-file=}";; esac; done; exit 0'.replace(
        'MONITOR',
        '"$(dirname "${word#--pid-file=}")/../conmon.pid"',
      ),
      async (world, container, exec) => {
        await expect(exec(0)).rejects.toMatchObject({ fault: { kind: 'outside' } });
        expect((await world.driver.observe(fx)).containers).toMatchObject([
          { id: container.id, process: 'running', monitorAlive: true },
        ]);
      },
    );
  });

  it('that reports a process which is not ours is not believed, and the process is not touched', async () => {
    await withRuntime(
      'for word in "$@"; do case "$word" in --pid-file=*) echo $PPID > "${word#--pid-file=}";; esac; done; exit 0',
      async (_world, _container, exec) => {
        // its parent is this very test
        await expect(exec(0, fxOf(EVENT_MS, never))).rejects.toMatchObject({ fault: { kind: 'outside' } });
      },
    );
  });
});
