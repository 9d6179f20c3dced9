/** Killing everything in a cgroup: nothing that it forks gets away (F46). */
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { ClockPort } from '../actors/ports/clock.ts';
import { hostLimits } from '../base/limits.ts';
import { cgroupDirectory, checkCgroupPath } from './cgroup-layout.ts';
import type { CgroupLayout } from './cgroup-layout.ts';
import { listProcesses } from './cgroups.ts';
import { pause } from './clock.ts';
import { codeOf, fromNode } from './errno.ts';
import { killProcess, processIdentity } from './process-identity.ts';

export interface KillOptions {
  readonly clock: ClockPort;
  /** ms until it must be empty. */
  readonly timeoutMs: number;
}

/**
 * Kills all processes of the cgroup and of those below it, and waits until they are gone. Returns the pids that are
 * left when the time is over (uninterruptible sleep, F45); empty is success, also for a cgroup that is not there.
 */
export async function killCgroup(layout: CgroupLayout, path: string, options: KillOptions): Promise<number[]> {
  checkCgroupPath(path);
  const { clock, timeoutMs } = options;
  const deadline = clock.monoMs() + timeoutMs;
  let waitMs: number = hostLimits.killLookFirstMs;
  for (;;) {
    const pids = await listProcesses(layout, path);
    if (pids.length === 0 || clock.monoMs() >= deadline) return pids;
    if (!(await killAtOnce(layout, path))) await killFrozen(layout, path, clock);
    await pause(clock, waitMs);
    waitMs = Math.min(waitMs * 2, hostLimits.killLookLastMs);
  }
}

/** cgroup.kill (Linux 5.14, v2 only). False when there is none, or when processes live in a v1 hierarchy. */
async function killAtOnce(layout: CgroupLayout, path: string): Promise<boolean> {
  if (layout.version === 1) return false;
  const unified = layout.hierarchies.find((hierarchy) => hierarchy.version === 2);
  if (unified === undefined) return false;
  try {
    await writeFile(join(unified.mountPoint, path, 'cgroup.kill'), '1', { flag: 'r+' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw fromNode(error, 'kill cgroup', path);
  }
}

/** Freezes, kills what is listed, thaws: a frozen process forks nothing, and its signal takes effect when it thaws. */
async function killFrozen(layout: CgroupLayout, path: string, clock: ClockPort): Promise<void> {
  const freezer = freezerOf(layout, path);
  try {
    if (freezer !== undefined) await freeze(freezer, clock);
    for (const pid of await listProcesses(layout, path)) killMember(pid, path);
  } finally {
    if (freezer !== undefined) await setFreezer(freezer, freezer.thawed);
  }
}

interface Freezer {
  readonly file: string;
  readonly frozen: string;
  readonly thawed: string;
  /** File that tells whether all are frozen, and the line that says so. */
  readonly stateFile: string;
  readonly isFrozen: string;
}

function freezerOf(layout: CgroupLayout, path: string): Freezer | undefined {
  const v1 = cgroupDirectory(layout, path, 'freezer');
  if (v1 !== undefined) {
    const file = join(v1, 'freezer.state');
    return { file, frozen: 'FROZEN', thawed: 'THAWED', stateFile: file, isFrozen: 'FROZEN' };
  }
  const unified = layout.hierarchies.find((hierarchy) => hierarchy.version === 2);
  if (layout.version === 1 || unified === undefined) return undefined;
  const directory = join(unified.mountPoint, path);
  const stateFile = join(directory, 'cgroup.events');
  return { file: join(directory, 'cgroup.freeze'), frozen: '1', thawed: '0', stateFile, isFrozen: 'frozen 1' };
}

async function freeze(freezer: Freezer, clock: ClockPort): Promise<void> {
  for (let look = 0; look < hostLimits.freezeLooks; look += 1) {
    // v1 wants it written again while new processes come in
    await setFreezer(freezer, freezer.frozen);
    try {
      if ((await readFile(freezer.stateFile, 'utf8')).split('\n').includes(freezer.isFrozen)) return;
    } catch (error) {
      if (isGone(error)) return;
      throw error;
    }
    await pause(clock, hostLimits.killLookFirstMs);
  }
}

async function setFreezer(freezer: Freezer, value: string): Promise<void> {
  try {
    await writeFile(freezer.file, value, { flag: 'r+' });
  } catch (error) {
    if (!isGone(error)) throw fromNode(error, `write ${value} to`, freezer.file);
  }
}

function isGone(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENODEV';
}

/** Kills a listed process if it still is the one in the cgroup: its pid may be another's by now (F43). */
function killMember(pid: number, path: string): void {
  const identity = processIdentity(pid);
  if (identity === undefined) return;
  try {
    const cgroups = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
    const isMember = cgroups.some((line) => isBelow(line.slice(line.indexOf(':', line.indexOf(':') + 1) + 1), path));
    if (isMember) killProcess(identity, constants.signals.SIGKILL);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ESRCH') throw error;
  }
}

function isBelow(candidate: string, path: string): boolean {
  return candidate === path || candidate.startsWith(`${path}/`);
}
