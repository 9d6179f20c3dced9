// The main thread of the daemon goes before its other threads, and nothing that it starts inherits that.
import { execFileSync } from 'node:child_process';
import { getPriority, setPriority } from 'node:os';
import { expect, it, onTestFinished } from 'vitest';
import { priorityLimits } from '../../../src/host/bounds.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import type { World } from '../../e2e/support/world.ts';
import { makeWorld } from '../../e2e/support/world.ts';
import { niceIn, niceOf, niceOfOtherThreads } from '../../support/nice-values.ts';
import { unless } from '../../support/skips/unless.ts';
import { makePod, processesIn, removePod } from './pod.ts';

const isAwaited = (name: string): boolean => name === 'V8Worker';

/** Why the daemon's main thread can't go first here, or not from 0. */
function hindrance(): string {
  if (getPriority() !== 0) return 'needs to run without a nice value';
  try {
    setPriority(0, -1);
    setPriority(0, 0);
    return '';
  } catch {
    return 'needs CAP_SYS_NICE';
  }
}

/** Nice values of the daemon's main thread, of those it waits for, and of all others, each value once. */
const valuesOf = (pid: number) => ({
  main: niceOf(pid),
  awaited: [...new Set(niceOfOtherThreads(pid, isAwaited))],
  others: [...new Set(niceOfOtherThreads(pid, (name) => !isAwaited(name)))],
});

/** Runs a pod, and gives the values of its processes, monitor and init, and of an exec. */
async function valuesInPod(world: World): Promise<readonly number[]> {
  const { sandboxId, containerId } = await makePod(world, 'nice');
  await world.client.runtime.startContainer({ containerId });
  const own = processesIn(containerId).map(niceOf);
  const { stdout } = await world.client.runtime.execSync({
    containerId,
    cmd: ['cat', '/proc/self/stat'],
    timeout: 60n,
  });
  await removePod(world, sandboxId);
  return [...new Set([...own, niceIn(new TextDecoder().decode(stdout))])];
}

unless(it, hindrance())('a daemon that only holds sessions of before has the usual priority again', () => {
  const script = new URL('./preferred.ts', import.meta.url).pathname;
  const { mainNice, awaitedNice } = priorityLimits;
  expect(JSON.parse(execFileSync(process.execPath, [script], { encoding: 'utf8' }))).toEqual([
    [0, 0],
    [mainNice, awaitedNice, 0],
    [0, 0],
  ]);
});

describePods('priority of the daemon', () => {
  unless(it, hindrance()).each([
    [
      'its main thread and those it waits for go first, and pods have the usual priority',
      0,
      { main: priorityLimits.mainNice, awaited: [priorityLimits.awaitedNice] },
    ],
    ['one that was started with a nice value keeps it for all', 3, { main: 3, awaited: [3] }],
  ])('%s', async (_what, given, preferred) => {
    const world = await makeWorld({
      name: 'nice',
      network: 'host-only',
      before: () => ['/usr/bin/env', 'nice', '-n', String(given)],
    });
    onTestFinished(() => world.close());
    expect(valuesOf(world.instance.pid())).toEqual({ ...preferred, others: [given] });
    expect(await valuesInPod(world)).toEqual([given]);
    // the workers of a pull have come since
    const { others } = valuesOf(world.instance.pid());
    expect(others.filter((value) => value !== given && value !== priorityLimits.lowestNice)).toEqual([]);
  });
});
