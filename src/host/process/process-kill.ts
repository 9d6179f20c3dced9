/** Kills a process with everything that it started. */
import { constants } from 'node:os';
import type { ClockPort } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import {
  hasItsPid,
  identityAtOnce,
  isDoubtful,
  isLivePid,
  killProcess,
  processExists,
  processMark,
} from './process-identity.ts';
import type { ProcessMark } from './process-identity.ts';
import { hasEnded, listStatuses, processStatus, ticksSinceBoot } from './process-status.ts';
import type { ProcessStatus } from './process-status.ts';
import { pause, poll } from '../clock/wait.ts';

const { SIGKILL, SIGSTOP } = constants.signals;

/**
 * Kills a process, its descendants, and every member of the session that it leads. It first stops the tree
 * from the top down until no new member is found, since children of a killed process get another parent and
 * can't be found any more. Returns the processes that still run after `killMs` (uninterruptible sleep, F45);
 * empty is success.
 */
export async function killTree(root: ProcessMark, clock: ClockPort): Promise<ProcessMark[]> {
  const tree = new Map<number, ProcessMark>();
  for (let round = 0; round < hostLimits.killStopRounds; round += 1) {
    const sinceTicks = ticksSinceBoot();
    const there = [root, ...tree.values()].filter(hasItsPid);
    const statuses = await listStatuses();
    // whether in the list each of these pids is the member's
    const isSteady = there.every(hasItsPid);
    const found = membersOf(root.pid, new Set(there.map(({ pid }) => pid)), statuses).flatMap((listed) => {
      // one whose first thread alone has ended still runs
      if (tree.has(listed.pid) || (hasEnded(listed) && !isLivePid(listed.pid))) return [];
      return listed.pid === root.pid ? root : (stillListed(listed, isSteady, sinceTicks) ?? []);
    });
    if (found.length === 0) {
      if (tree.size > 0 || !isDoubtful(root)) break;
      await pause(clock, hostLimits.killPollLastMs);
    }
    for (const member of found) {
      tree.set(member.pid, member);
      killProcess(member, SIGSTOP);
    }
  }
  // the root last: if this daemon is killed in between, the next one finds the rest through it
  for (const member of tree.values()) if (member.pid !== root.pid) killProcess(member, SIGKILL);
  if (tree.has(root.pid)) killProcess(root, SIGKILL);
  return waitUntilGone(tree.size === 0 ? [root] : [...tree.values()], clock);
}

/** The process of the list, if the one that has its pid now is it: the pid may have been reused meanwhile (F43). */
function stillListed(listed: ProcessStatus, isSteady: boolean, sinceTicks: number): ProcessMark | undefined {
  const mark = processMark(listed.pid);
  const now = processStatus(listed.pid);
  // as another child of the same member, another one would be a member, too
  const isMember = isSteady && now?.parentPid === listed.parentPid && now.session === listed.session;
  // its parent may have ended: then it is the listed one if it is as old as the list. In one tick no pid comes again
  const isOlder = (): boolean => (identityAtOnce(listed.pid)?.startTicks ?? Infinity) <= sinceTicks;
  return mark !== undefined && (isMember || isOlder()) && hasItsPid(mark) ? mark : undefined;
}

/**
 * Those of a list that belong to a tree, ended ones included, which may still have children. Pure.
 * @param there pids of the list that are known members'
 */
export function membersOf(
  root: number,
  there: ReadonlySet<number>,
  statuses: readonly ProcessStatus[],
): ProcessStatus[] {
  const byPid = new Map(statuses.map((status) => [status.pid, status]));
  const inTree = new Set(there);
  // the session's number proves membership only while its leader holds the pid
  if (there.has(root)) for (const { pid, session } of statuses) if (session === root) inTree.add(pid);
  const children = new Map<number, number[]>();
  for (const { parentPid, pid } of statuses) {
    const siblings = children.get(parentPid);
    // pushes in place: one process may have all others as its children
    if (siblings === undefined) children.set(parentPid, [pid]);
    else siblings.push(pid);
  }
  // a Set also iterates over members added meanwhile, so this visits all descendants
  for (const pid of inTree) for (const child of children.get(pid) ?? []) inTree.add(child);
  return [...inTree].flatMap((pid) => byPid.get(pid) ?? []);
}

/**
 * Sends `signal` to exactly this process, if it is not gone. Waits, at most `doubtMs`, while it can't be known whether
 * the process that has its pid is it.
 */
export async function signalProcess(mark: ProcessMark, signal: number, clock: ClockPort): Promise<void> {
  const bound = { clock, timeoutMs: hostLimits.doubtMs, attempted: `send signal ${signal} to ${mark.pid}` };
  const { killPollFirstMs: firstMs, killPollLastMs: lastMs } = hostLimits;
  await poll(
    { ...bound, firstMs, lastMs },
    () => killProcess(mark, signal) || !isDoubtful(mark) || undefined,
  );
}

async function waitUntilGone(members: readonly ProcessMark[], clock: ClockPort): Promise<ProcessMark[]> {
  const deadline = clock.monoMs() + hostLimits.killMs;
  let waitMs: number = hostLimits.killPollFirstMs;
  let left = members.filter(processExists);
  while (left.length > 0 && clock.monoMs() < deadline) {
    await pause(clock, waitMs);
    waitMs = Math.min(waitMs * 2, hostLimits.killPollLastMs);
    left = left.filter(processExists);
  }
  return left;
}
