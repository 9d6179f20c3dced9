// The main thread of the daemon goes before its other threads, and nothing that it starts inherits that.
import { readFileSync, readdirSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { priorityLimits } from '../../../src/host/bounds.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { makePod, processesIn, removePod } from './pod.ts';

const niceOf = (stat: string): number => niceIn(readFileSync(stat, 'latin1'));

/** Field 19 of proc_pid_stat(5). */
function niceIn(text: string): number {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[16]);
}

/** Nice values of the daemon's main thread, and of all others, each value once. */
function valuesOf(pid: number): { readonly main: number; readonly others: readonly number[] } {
  const others = readdirSync(`/proc/${pid}/task`).filter((tid) => tid !== String(pid));
  return {
    main: niceOf(`/proc/${pid}/stat`),
    others: [...new Set(others.map((tid) => niceOf(`/proc/${pid}/task/${tid}/stat`)))],
  };
}

/** Runs a pod, and gives the values of its processes, monitor and init, and of an exec. */
async function valuesInPod(world: World): Promise<readonly number[]> {
  const { sandboxId, containerId } = await makePod(world, 'nice');
  await world.client.runtime.startContainer({ containerId });
  const own = processesIn(containerId).map((pid) => niceOf(`/proc/${pid}/stat`));
  const { stdout } = await world.client.runtime.execSync({
    containerId,
    cmd: ['cat', '/proc/self/stat'],
    timeout: 60n,
  });
  await removePod(world, sandboxId);
  return [...new Set([...own, niceIn(new TextDecoder().decode(stdout))])];
}

describePods('priority of the daemon', () => {
  it.each([
    ['its main thread goes first, and pods have the usual priority', 0, priorityLimits.mainNice],
    ['one that was started with a nice value keeps it for all', 3, 3],
  ])('%s', async (_what, given, main) => {
    const world = await makeWorld({
      name: 'nice',
      network: 'host-only',
      before: () => ['/usr/bin/env', 'nice', '-n', String(given)],
    });
    onTestFinished(() => world.close());
    expect(valuesOf(world.instance.pid())).toEqual({ main, others: [given] });
    expect(await valuesInPod(world)).toEqual([given]);
    // the workers of a pull have come since
    const { others } = valuesOf(world.instance.pid());
    expect(others.filter((value) => value !== given && value !== priorityLimits.lowestNice)).toEqual([]);
  });
});
