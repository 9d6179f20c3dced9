// The daemon killed again and again under a working kubelet.
import { setTimeout as delay } from 'node:timers/promises';
import { median } from '../../bench/stats.ts';
import { lifeOf, steadyNames } from './steady.ts';
import type { Stage } from './stage.ts';

export interface Kills {
  readonly count: number;
  readonly everyMs: number;
}

/** ms after the last start in which the kubelet may still report the last kill; then it must be quiet for as long. */
const SETTLE_MS = 15_000;
const LOOK_AGAIN_MS = 20;
/** Of the last ones in a failure. */
const EVENTS_SAID = 40;

/**
 * Kills and starts; answers for each kill the ms from the start of the daemon until the kubelet's own list of running
 * pods, which it asks the runtime for, answers again.
 */
export async function killDaemon(stage: Stage, { count, everyMs }: Kills): Promise<number[]> {
  const backAfterMs: number[] = [];
  for (let kill = 0; kill < count; kill += 1) {
    // Not in step with the kubelet's own seconds: from 0.6 to 1.4 of it.
    await delay(everyMs * (0.6 + ((kill * 7) % 11) * 0.08));
    await stage.world.instance.kill();
    const startedAt = performance.now();
    const isBack = untilListed(stage);
    await stage.world.instance.start();
    await isBack;
    backAfterMs.push(performance.now() - startedAt);
  }
  return backAfterMs;
}

async function untilListed(stage: Stage): Promise<void> {
  for (;;) {
    const answer = await stage.kubelet.get('/runningpods/').then(
      () => true,
      () => false,
    );
    if (answer) return;
    await delay(LOOK_AGAIN_MS);
  }
}

export const figuresText = (backAfterMs: readonly number[]): string =>
  `${backAfterMs.length} kills; the kubelet's list was back after ${median(backAfterMs).toFixed(0)} ms (median), ${Math.max(...backAfterMs).toFixed(0)} ms (longest)`;

/** What must hold once the killing is over: nothing of the pods that stay has changed, no warning comes any more. */
export async function checkAfterKills(
  stage: Stage,
  lifeBefore: readonly string[],
  overAtMs: number,
): Promise<string> {
  await delay(2 * SETTLE_MS);
  const lifeAfter = await lifeOf(stage);
  const changed = lifeBefore.filter((line) => !lifeAfter.includes(line));
  const events = (await stage.kubelet.events()).filter(
    ({ pod }) => steadyNames.includes(pod) || pod === 'localhost',
  );
  if (changed.length > 0) {
    // the kubelet's own reason for what it did to them
    const said = events.slice(-EVENTS_SAID).map(({ pod, reason, message }) => `${pod} ${reason}: ${message}`);
    throw new Error(
      `changed by the kills: ${changed.join('; ')}; now: ${lifeAfter.join('; ')}; events: ${said.join('; ')}`,
    );
  }
  const warnings = events.filter(({ type }) => type === 'Warning');
  const staying = warnings.filter(({ atMs }) => atMs > overAtMs + SETTLE_MS);
  if (staying.length > 0)
    throw new Error(
      `warnings that stay: ${staying.map(({ pod, reason, message }) => `${pod} ${reason} ${message}`).join('; ')}`,
    );
  // What a node's Ready condition would say: it is False when this is logged.
  const notReady = await stage.kubelet.logLines('Skipping pod synchronization');
  const during = notReady.filter((line) => !line.includes('may not have completed yet'));
  return `${warnings.length} warnings about the pods that stay meanwhile; the node was not ready ${during.length} times`;
}
