// A take-over in which one of the two daemons is killed at a random point.
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../sim/random.ts';
import { until } from '../../support/eventually.ts';
import type { World } from '../support/world.ts';
import { FREEZES, momentOf, RELEASED, SERVES, type Successor, type Successors } from './successors.ts';
import { hasExited } from './sessions.ts';

/** Most ms after a phase has begun. A start takes longer than the others. */
const AFTER_MS = { started: 1500, [FREEZES]: 150, [RELEASED]: 300, [SERVES]: 300 } as const;

type Phase = keyof typeof AFTER_MS;
const PHASES: readonly Phase[] = ['started', FREEZES, RELEASED, SERVES];

export interface KillOutcome {
  readonly victim: 'new daemon' | 'former daemon';
  readonly phase: Phase;
  readonly afterMs: number;
  /** ms from the kill until a daemon lists again. */
  readonly backMs: number;
}

/** Throws when no daemon serves in the end. */
export async function killRound(
  { client: { runtime } }: World,
  daemons: Successors,
  killed: Set<number>,
  random: Random,
): Promise<KillOutcome> {
  const victim = random.pick(['new daemon', 'former daemon'] as const);
  const phase = random.pick(PHASES);
  const afterMs = random.int(AFTER_MS[phase]);
  const former = await until(() => daemons.serving());
  const successor = daemons.start();
  await begins(successor, phase);
  await delay(afterMs);
  const pid = victim === 'new daemon' ? successor.pid : former;
  killed.add(pid);
  const killedAt = performance.now();
  // it may have been refused, and ended, meanwhile
  if (daemons.isOurs(pid)) process.kill(pid, 'SIGKILL');
  await until(async () => {
    const serving = daemons.serving();
    if (serving === undefined || serving === pid || !daemons.isOurs(serving)) return false;
    return await runtime.listPodSandbox({}, { deadlineMs: 10_000 }).then(
      () => true,
      () => false,
    );
  });
  const backMs = Math.round(performance.now() - killedAt);
  // a new daemon may still be about to take over
  await until(() => daemons.serving() === successor.pid || hasExited(successor.child));
  return { victim, phase, afterMs, backMs };
}

/** Waits for the phase, or the end of the daemon that was to come to it. */
async function begins(successor: Successor, phase: Phase): Promise<void> {
  if (phase === 'started') return;
  await until(async () => hasExited(successor.child) || (await momentOf(successor.log, phase)) !== undefined);
}
