/** Kills a process with everything that it started. */
import { constants } from 'node:os';
import type { ClockPort } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import { hasItsPid, killProcess, markOf, processExists } from './process-identity.ts';
import type { ProcessMark } from './process-identity.ts';
import { hasEnded, listStatuses, processStatus } from './process-status.ts';
import type { ProcessStatus } from './process-status.ts';
import { pause } from '../clock/wait.ts';

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
    const statuses = await listStatuses();
    // after the list was read: in it each of these pids was the member's
    const there = new Set([root, ...tree.values()].filter(hasItsPid).map(({ pid }) => pid));
    const found = membersOf(root.pid, there, statuses).flatMap(({ pid }) =>
      tree.has(pid) ? [] : (memberOf(root, there, pid) ?? []),
    );
    if (found.length === 0) break;
    for (const member of found) {
      tree.set(member.pid, member);
      killProcess(member, SIGSTOP);
    }
  }
  // the root last: if this daemon is killed in between, the next one finds the rest through it
  for (const member of tree.values()) if (member.pid !== root.pid) killProcess(member, SIGKILL);
  if (tree.has(root.pid)) killProcess(root, SIGKILL);
  return waitUntilGone([...tree.values()], clock);
}

/** The process that has this pid now, if it is a member; `there` are the pids of its possible parents. */
function memberOf(root: ProcessMark, there: Set<number>, pid: number): ProcessMark | undefined {
  if (pid === root.pid) return root;
  const mark = markOf(pid);
  const status = processStatus(pid);
  const isMember = status !== undefined && (there.has(status.parentPid) || status.session === root.pid);
  // it has the pid before and after: the status is its
  if (mark === undefined || !isMember || !processExists(mark)) return undefined;
  there.add(pid);
  return mark;
}

/**
 * Those of a list that belong to a tree, parents first, without ended ones; those still count as parents and session
 * leaders. Pure.
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
  return [...inTree].flatMap((pid) => {
    const status = byPid.get(pid);
    return status === undefined || hasEnded(status) ? [] : [status];
  });
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
