/** Kills a process with everything that it started. */
import { constants } from 'node:os';
import type { ClockPort } from '../../ports/clock.ts';
import { hostLimits } from '../bounds.ts';
import { killProcess, listProcessStats, processExists } from './process-identity.ts';
import type { HostIdentity, ProcessStat } from './process-identity.ts';
import { pause } from '../clock/wait.ts';

const { SIGKILL, SIGSTOP } = constants.signals;

/**
 * Kills a process, its descendants, and every member of the session that it leads. It first stops the tree
 * from the top down until no new member is found, since children of a killed process get another parent and
 * can't be found any more. Returns the processes that still run after `killMs` (uninterruptible sleep, F45);
 * empty is success.
 */
export async function killTree(root: HostIdentity, clock: ClockPort): Promise<HostIdentity[]> {
  const tree = new Map<number, HostIdentity>();
  for (let round = 0; round < hostLimits.killStopRounds; round += 1) {
    const found = membersOf(root, tree, await listProcessStats());
    if (found.length === 0) break;
    for (const member of found) {
      tree.set(member.pid, { pid: member.pid, startTicks: member.startTicks });
      killProcess(member, SIGSTOP);
    }
  }
  // the root last: if this daemon is killed in between, the next one finds the rest through it
  for (const member of tree.values()) if (member.pid !== root.pid) killProcess(member, SIGKILL);
  if (tree.has(root.pid)) killProcess(root, SIGKILL);
  return waitUntilGone([...tree.values()], clock);
}

/**
 * Members of the tree that are not in `known` yet, without ended ones; those still count as session leaders.
 * Pure.
 */
export function membersOf(
  root: HostIdentity,
  known: ReadonlyMap<number, HostIdentity>,
  stats: readonly ProcessStat[],
): ProcessStat[] {
  const now = new Map(stats.map((stat) => [stat.pid, stat]));
  const isRootThere = now.get(root.pid)?.startTicks === root.startTicks;
  const inTree = new Set<number>();
  for (const member of [root, ...known.values()]) {
    if (now.get(member.pid)?.startTicks === member.startTicks) inTree.add(member.pid);
  }
  // the session's number proves membership only while its leader holds the pid
  for (const stat of stats) if (isRootThere && stat.session === root.pid) inTree.add(stat.pid);
  const children = new Map<number, number[]>();
  for (const { parentPid, pid } of stats) {
    const siblings = children.get(parentPid);
    // pushes in place: one process may have all others as its children
    if (siblings === undefined) children.set(parentPid, [pid]);
    else siblings.push(pid);
  }
  // a Set also iterates over members added meanwhile, so this visits all descendants
  for (const pid of inTree) for (const child of children.get(pid) ?? []) inTree.add(child);
  return stats.filter((stat) => inTree.has(stat.pid) && !known.has(stat.pid) && !hasEnded(stat));
}

function hasEnded(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

async function waitUntilGone(members: readonly HostIdentity[], clock: ClockPort): Promise<HostIdentity[]> {
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
