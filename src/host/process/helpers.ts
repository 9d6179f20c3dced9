/**
 * Helpers of an earlier run of the daemon (helper-mark.ts): ended before anything is looked at or undone, so that none of
 * them changes the machine afterwards (F02, F03). Those that are at work get a while to finish: a plugin or runtime that is
 * through leaves less to be undone than one that was killed.
 */
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import { toFault } from '../../base/fault.ts';
import { jsonObject } from '../../base/json-object.ts';
import { helperLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { markHelpers } from './helper-mark.ts';
import { ownTraces } from './helper-scan.ts';
import type { FoundHelper } from './helper-scan.ts';
import type { HelpersOrder, Predecessor } from '../kernel-thread/thread-protocol.ts';
import { askKernelThread } from '../kernel-thread/kernel-thread.ts';
import { killTree } from './process-kill.ts';
import { readSmallFile } from '../files/small-file.ts';
import { pause } from '../clock/wait.ts';
import { writeWhole } from '../files/whole-file.ts';

export interface Successor {
  /** Of the instance: its key, and which program its daemon is. Gone after a reboot, as every helper. */
  readonly file: string;
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
}

/**
 * Ends the helpers of earlier daemons and begins to mark those of this one. By the holder of the root's lock: a child that
 * was being started holds that lock until it can be seen here.
 */
export async function succeed(successor: Successor): Promise<void> {
  const life = successor.random.token(helperLimits.bootNameBytes);
  const before = await recordOf(successor.file);
  const own: Predecessor = {
    key: before?.key ?? successor.random.token(helperLimits.keyBytes),
    ...ownTraces(),
  };
  if (before !== undefined) await endHelpers({ kind: 'helpers', life, ...before }, successor);
  const isKept =
    before?.program === own.program &&
    before.environmentBytes === own.environmentBytes &&
    before.mounts === own.mounts;
  if (!isKept) await writeWhole(successor.file, `${JSON.stringify(own)}\n`, 0o600);
  markHelpers({ key: own.key, life });
}

/** The same for a command that does a daemon's work where none runs: there may have been no daemon at all. */
export async function succeedIfAny(successor: Successor): Promise<void> {
  if ((await recordOf(successor.file)) !== undefined) await succeed(successor);
}

async function recordOf(file: string): Promise<Predecessor | undefined> {
  const text = await readSmallFile(file, {
    usualBytes: helperLimits.recordBytes,
    bytesMax: helperLimits.recordBytes,
  });
  const { key, program, environmentBytes, mounts } =
    (text === undefined ? undefined : jsonObject(text)) ?? {};
  const isWhole =
    typeof key === 'string' &&
    /^[0-9a-f]+$/u.test(key) &&
    typeof program === 'string' &&
    typeof environmentBytes === 'number';
  return isWhole
    ? { key, program, environmentBytes, mounts: typeof mounts === 'string' ? mounts : '' }
    : undefined;
}

/** Returns when none runs any more; one that can't be ended is told in the log. Never rejects. */
export async function endHelpers(
  order: HelpersOrder,
  { clock, log }: Pick<Successor, 'clock' | 'log'>,
): Promise<void> {
  const look = async (among?: readonly FoundHelper[]): Promise<readonly FoundHelper[]> => {
    const asked = among === undefined ? order : { ...order, among: among.map(({ pid }) => pid) };
    const bound = { clock, timeoutMs: helperLimits.scanMs };
    return (await askKernelThread(asked, {
      attempted: 'look for helpers of an earlier daemon',
      subject: '/proc',
      bound,
    })) as readonly FoundHelper[];
  };
  try {
    await endFound(look, clock, log);
  } catch (thrown) {
    // pods are worth more than the certainty that nothing of the earlier daemon still works for them
    log.error({ fault: toFault(thrown) }, 'helpers of an earlier daemon could not be looked for');
  }
}

async function endFound(
  look: (among?: readonly FoundHelper[]) => Promise<readonly FoundHelper[]>,
  clock: ClockPort,
  log: Log,
): Promise<void> {
  const stuck = new Set<number>();
  const startMs = clock.monoMs();
  const isAwaited = ({ isKilled }: FoundHelper): boolean =>
    clock.monoMs() < startMs + (isKilled ? helperLimits.killedMs : helperLimits.graceMs);
  for (let round = 0; round < helperLimits.scans; round += 1) {
    let left: readonly FoundHelper[] = (await look()).filter(({ pid }) => !stuck.has(pid));
    if (left.length === 0) return;
    for (const { pid, command } of left)
      log.info({ pid, command }, 'an earlier daemon was running this: waiting for its end');
    while (left.some(isAwaited)) {
      await pause(clock, helperLimits.pollMs);
      left = await look(left);
    }
    await Promise.all(
      left.map(async (helper) => {
        const { pid, command, isStarting, isKilled } = helper;
        const survivors = isStarting || isKilled ? [helper] : await killTree(helper, clock);
        if (survivors.length === 0)
          return log.warn(
            { pid, command },
            `killed: an earlier daemon was running this, and it had not ended after ${helperLimits.graceMs} ms`,
          );
        stuck.add(pid);
        return log.error(
          { pid, command, pids: survivors.map((one) => one.pid) },
          'an earlier daemon was running this, and it does not end: what it does comes unexpected',
        );
      }),
    );
  }
}
