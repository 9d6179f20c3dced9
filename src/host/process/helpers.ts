/**
 * Ends helpers of an earlier boot of the daemon (helper-mark.ts) before the machine is observed or anything
 * is undone, so that none of them changes the machine afterwards (F02, F03). Running ones get a short time to
 * finish: a plugin or runtime that completes leaves less to undo than a killed one.
 */
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import { toFault } from '../../base/fault.ts';
import { jsonObject } from '../../base/json-object.ts';
import { helperLimits } from '../bounds.ts';
import type { Log } from '../../base/log.ts';
import { markHelpers } from './helper-mark.ts';
import { ownTraces } from './helper-scan.ts';
import type { FoundHelper, HelperScan } from './helper-scan.ts';
import type { HelpersOrder, EarlierDaemon } from '../kernel-thread/thread-protocol.ts';
import { askKernelThread } from '../kernel-thread/kernel-thread.ts';
import { killTree } from './process-kill.ts';
import { readSmallFile } from '../files/small-file.ts';
import { pause } from '../clock/wait.ts';
import { writeWhole } from '../files/whole-file.ts';
import { storedVersions } from '../../base/stored-versions.ts';

export interface HelperEndingOptions {
  /**
   * File of the instance with its key and its daemon's program. Lies in memory: after a reboot no helper
   * exists either.
   */
  readonly file: string;
  /** Boots whose helpers are left alone: their daemons hold sessions of clients. */
  readonly spared?: readonly string[];
  readonly clock: ClockPort;
  readonly random: RandomPort;
  readonly log: Log;
}

/**
 * Ends the helpers of earlier boots, then starts to mark this boot's. Only for the holder of the root's lock:
 * a child of an earlier daemon that is still being started holds that lock until it can be found here.
 * @returns the name of this boot
 */
export async function endEarlierHelpers(options: HelperEndingOptions): Promise<string> {
  const boot = options.random.token(helperLimits.bootNameBytes);
  const before = await recordOf(options.file);
  const own: EarlierDaemon = {
    key: before?.key ?? options.random.token(helperLimits.keyBytes),
    ...ownTraces(),
  };
  if (before !== undefined)
    await endHelpers({ kind: 'helpers', boot, spared: options.spared ?? [], ...before }, options);
  const isKept =
    before?.program === own.program &&
    before.environmentBytes === own.environmentBytes &&
    before.mounts === own.mounts;
  if (!isKept)
    await writeWhole(options.file, `${JSON.stringify({ version: storedVersions.helpers, ...own })}\n`, 0o600);
  markHelpers({ key: own.key, boot });
  return boot;
}

/**
 * The same for a command that does a daemon's work while none runs; does nothing when no daemon has run since
 * the machine's boot.
 */
export async function endEarlierHelpersIfAny(options: HelperEndingOptions): Promise<void> {
  if ((await recordOf(options.file)) !== undefined) await endEarlierHelpers(options);
}

async function recordOf(file: string): Promise<EarlierDaemon | undefined> {
  const text = await readSmallFile(file, {
    usualBytes: helperLimits.recordBytes,
    bytesMax: helperLimits.recordBytes,
  });
  const {
    version = 1,
    key,
    program,
    environmentBytes,
    mounts,
  } = (text === undefined ? undefined : jsonObject(text)) ?? {};
  const isWhole =
    version === storedVersions.helpers &&
    typeof key === 'string' &&
    /^[0-9a-f]+$/u.test(key) &&
    typeof program === 'string' &&
    typeof environmentBytes === 'number';
  return isWhole
    ? { key, program, environmentBytes, mounts: typeof mounts === 'string' ? mounts : '' }
    : undefined;
}

/** Returns when no helper is left; logs those that can't be ended. Never rejects. */
export async function endHelpers(
  order: HelpersOrder,
  { clock, log }: Pick<HelperEndingOptions, 'clock' | 'log'>,
): Promise<void> {
  const noted = new Set<number>();
  const scan = async (among?: readonly FoundHelper[]): Promise<readonly FoundHelper[]> => {
    const asked = among === undefined ? order : { ...order, among: among.map(({ pid }) => pid) };
    const bound = { clock, timeoutMs: helperLimits.scanMs };
    const { helpers, unread } = (await askKernelThread(asked, {
      attempted: 'scan for helpers of an earlier daemon',
      subject: '/proc',
      bound,
    })) as HelperScan;
    const pids = unread.filter((pid) => !noted.has(pid));
    for (const pid of pids) noted.add(pid);
    if (pids.length > 0)
      log.warn(
        { pids },
        'processes hang in execve(2): not known whether they are helpers of an earlier daemon, whose effects may come',
      );
    return helpers;
  };
  try {
    await endFound(scan, clock, log);
  } catch (thrown) {
    // serving pods matters more than being certain that no helper of the earlier daemon is left
    log.error({ fault: toFault(thrown) }, 'could not scan for helpers of an earlier daemon');
  }
}

async function endFound(
  scan: (among?: readonly FoundHelper[]) => Promise<readonly FoundHelper[]>,
  clock: ClockPort,
  log: Log,
): Promise<void> {
  const stuck = new Set<number>();
  const startMs = clock.monoMs();
  const isAwaited = ({ isKilled }: FoundHelper): boolean =>
    clock.monoMs() < startMs + (isKilled ? helperLimits.killedMs : helperLimits.graceMs);
  for (let round = 0; round < helperLimits.scans; round += 1) {
    let left: readonly FoundHelper[] = (await scan()).filter(({ pid }) => !stuck.has(pid));
    if (left.length === 0) return;
    for (const { pid, command } of left)
      log.info({ pid, command }, 'waiting for a helper of an earlier daemon to end');
    while (left.some(isAwaited)) {
      await pause(clock, helperLimits.pollMs);
      left = await scan(left);
    }
    await Promise.all(
      left.map(async (helper) => {
        const { pid, command, isStarting, isKilled } = helper;
        const survivors = isStarting || isKilled ? [helper] : await killTree(helper, clock);
        if (survivors.length === 0)
          return log.warn(
            { pid, command },
            `killed a helper of an earlier daemon, which had not ended after ${helperLimits.graceMs} ms`,
          );
        stuck.add(pid);
        return log.error(
          { pid, command, pids: survivors.map((one) => one.pid) },
          'could not end a helper of an earlier daemon: its effects may still come',
        );
      }),
    );
  }
}
