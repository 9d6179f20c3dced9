// Many pods at once through a daemon that is killed again and again.
import { setTimeout as delay } from 'node:timers/promises';
import type { World } from '../support/world.ts';
import { median } from '../../bench/stats.ts';
import { run } from '../../support/run.ts';
import { podLife, Tally } from './pod-life.ts';

export interface ChurnOptions {
  readonly pods: number;
  readonly atOnce: number;
  readonly killEveryMs: number;
  /** Mean time that a pod stays up. */
  readonly holdMs: number;
  /** Bound of each call of the client. */
  readonly callMs: number;
}

export interface ChurnResult {
  readonly tally: Tally;
  readonly kills: number;
  /** ms from each start of the daemon to its first answer. */
  readonly backAfterMs: readonly number[];
  readonly seconds: number;
  /** Lives that didn't come to their end, with the reason. */
  readonly failedPods: readonly string[];
  /** What List still shows. */
  readonly listed: number;
  readonly leftovers: readonly string[];
  /** What `troupe check` finds while the daemon runs, all pods removed; empty when it is clean. */
  readonly check: string;
}

/** Runs it on a world whose daemon has started. */
export async function churn(world: World, options: ChurnOptions): Promise<ChurnResult> {
  const { client, logs } = world;
  const image = await world.pull();
  const tally = new Tally();
  const failedPods: string[] = [];
  const backAfterMs: number[] = [];
  const startedAt = performance.now();
  const over = new AbortController();
  const killer = killAgainAndAgain(world, options.killEveryMs, over.signal, backAfterMs);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < options.pods) {
      const index = next;
      next += 1;
      // From nothing to twice the mean, so that a kill meets pods in every stage of their lives.
      const holdMs = (options.holdMs * ((index * 7) % 11)) / 5;
      const life = {
        client,
        tally,
        image,
        logs,
        holdMs,
        callMs: options.callMs,
        name: `churn-${index}`,
        exitCode: 1 + (index % 100),
      };
      await podLife(life).catch((error: unknown) =>
        failedPods.push(error instanceof Error ? error.message : String(error)),
      );
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, worker));
  over.abort();
  await killer;
  const listed =
    (await client.runtime.listPodSandbox({})).items.length +
    (await client.runtime.listContainers({})).containers.length;
  const check = await troupeCheck(world);
  const seconds = (performance.now() - startedAt) / 1000;
  const leftovers = await world.leftovers();
  return { tally, kills: backAfterMs.length, backAfterMs, seconds, failedPods, listed, leftovers, check };
}

/** Findings, or the reason why they cannot be read. */
export async function troupeCheck({ instance }: World): Promise<string> {
  // something may come before the daemon
  const at = instance.argv.indexOf('serve');
  const [program = '', , ...place] = instance.argv.slice(at - 1);
  const { code, stdout, stderr } = await run([program, 'check', ...place]);
  return code === 0 ? '' : `troupe check ended with ${code}: ${stdout}${stderr}`;
}

/**
 * Milliseconds that the daemon serves between two kills, for each that its start took: at a fixed rate it would be
 * killed on a slow machine before it has done anything.
 */
const BOOT_PER_START = 4;

async function killAgainAndAgain(
  { instance }: World,
  everyMs: number,
  signal: AbortSignal,
  backAfterMs: number[],
): Promise<void> {
  let startMs = 0;
  for (;;) {
    await delay(Math.max(everyMs, BOOT_PER_START * startMs), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    await instance.kill();
    const startedAt = performance.now();
    await instance.start();
    startMs = performance.now() - startedAt;
    backAfterMs.push(startMs);
  }
}

/** Whether all is as it must be. */
export const isClean = ({ tally, failedPods, listed, leftovers, check }: ChurnResult): boolean =>
  failedPods.length +
    listed +
    leftovers.length +
    tally.alreadyExists.length +
    tally.wrongExitCodes.length +
    tally.wrongLogs.length ===
    0 && check === '';

/** Markdown. */
export function churnText(options: ChurnOptions, result: ChurnResult): string {
  const { tally, kills, backAfterMs, seconds, failedPods, listed, leftovers, check } = result;
  const rows: readonly (readonly [string, string | number])[] = [
    ['pods started and removed', `${tally.removed} of ${options.pods}, ${options.atOnce} at once`],
    ['containers', tally.containers],
    ['SIGKILLs of the daemon', `${kills}, every ${options.killEveryMs / 1000} s`],
    ['from start to the first answer, median', `${median(backAfterMs).toFixed(0)} ms`],
    ['calls', `${tally.calls}, each with ${options.callMs / 1000} s`],
    [
      'calls that failed and were tried again',
      [...tally.failures].map(([key, count]) => `${key} ${count}`).join(', ') || 'none',
    ],
    ['calls answered AlreadyExists', tally.alreadyExists.length],
    ['exit codes lost or wrong', tally.wrongExitCodes.length],
    ['logs with lines lost or doubled', tally.wrongLogs.length],
    [
      'longest from the first try of a call to its success',
      `${(tally.longest.ms / 1000).toFixed(1)} s, ${tally.longest.of}`,
    ],
    ['troupe check', check === '' ? 'clean' : 'NOT clean'],
    ['pods and containers still listed', listed],
    ['left on the machine', leftovers.length],
    ['seconds', seconds.toFixed(0)],
  ];
  const details = [
    ...failedPods,
    ...tally.alreadyExists,
    ...tally.wrongExitCodes,
    ...tally.wrongLogs,
    ...leftovers,
    ...(check === '' ? [] : [check]),
  ];
  return [
    '| what | result |',
    '|---|---|',
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
    ...(details.length > 0 ? ['', ...details.map((line) => `- ${line}`)] : []),
  ].join('\n');
}
