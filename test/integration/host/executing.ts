/** Run by executing.test.ts: what the host's functions say of a process that hangs in execve(2). */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClockPort } from '../../../src/ports/clock.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { silentLog } from '../../../src/base/log.ts';
import { findHelpers } from '../../../src/host/process/helper-scan.ts';
import { endHelpers } from '../../../src/host/process/helpers.ts';
import {
  isForkedOnly,
  isProcessEnding,
  killProcess,
  openPidfd,
  processExists,
  processIdentity,
  processMark,
  processLink,
  processRuns,
} from '../../../src/host/process/process-identity.ts';
import type { HostIdentity } from '../../../src/host/process/process-identity.ts';
import { killTree } from '../../../src/host/process/process-kill.ts';
import { isOfHost } from '../../../src/host/process/process-owner.ts';
import { isExecuting, listStatuses } from '../../../src/host/process/process-status.ts';
import { watchProcess } from '../../../src/host/process/watch.ts';
import { makeHangingExec } from '../../support/hanging-exec.ts';

const SIGKILL = 9;
const directory = mkdtempSync(join(tmpdir(), 'troupe-executing-'));
const fifo = join(directory, 'fifo');
execFileSync('mkfifo', [fifo]);
// its child executes nothing: it would hang, too
const hanging = await makeHangingExec(`read line\n(: < ${fifo}) &\nexec sleep 1000\n`);
const start = async (isKnown: boolean, detached = false) => {
  const child = spawn('/bin/sh', [`${hanging.path}/script`], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached,
  });
  const exited = once(child, 'exit');
  await once(child, 'spawn');
  const identity = processIdentity(child.pid ?? 0);
  if (identity === undefined) throw new Error('the shell is gone');
  let isWatched = false;
  if (isKnown) watchProcess(identity, () => (isWatched = true));
  child.stdin.write('\n');
  while (!isExecuting(identity.pid)) await delay(1);
  return { identity, exited, watched: () => isWatched };
};

const one = await start(true);
const { pid } = one.identity;
const before = {
  exists: processExists(one.identity),
  runs: processRuns(one.identity),
  isForkedOnly: isForkedOnly(one.identity),
  isEnding: isProcessEnding(one.identity),
  watched: one.watched(),
};

// the daemon has started anew: nothing is known of it but what was recorded
const other = await start(false);
let isOtherGone = false;
watchProcess(other.identity, () => (isOtherGone = true));
const doubtful = {
  exists: processExists(other.identity),
  killed: killProcess(other.identity, SIGKILL),
  watched: isOtherGone,
};

// another process that has its pid now
const known = processMark(pid);
const wrong = known !== undefined && 'inode' in known ? { pid, inode: known.inode + 1n } : one.identity;
const opened = openPidfd(wrong);
const older = { pid, startTicks: one.identity.startTicks - 1 };
const reused = {
  exists: [wrong, older].map(processExists),
  opened: opened !== undefined,
};

const order = {
  kind: 'helpers',
  key: 'none',
  boot: 'b',
  program: '/none',
  environmentBytes: 1,
  mounts: '',
} as const;
// as a helper does it leads a session
const leader = await start(false, true);
const lines: string[] = [];
const log = { ...silentLog, warn: (fields: object) => void lines.push(JSON.stringify(fields)) };
const clock = realClock();
// the bound of a scan is not for the start of the thread on a loaded machine
const patient: ClockPort = { ...clock, setTimeout: (fn, ms) => clock.setTimeout(fn, ms * 100) };
await endHelpers({ ...order, among: [leader.identity.pid] }, { clock: patient, log });
const scans = {
  isHelper: findHelpers({ ...order, among: [pid] }).helpers.length > 0,
  isNoted: lines.join() === `{"pids":[${leader.identity.pid}]}`,
  isOfHost: isOfHost(pid),
  link: processLink(pid, 'exe') ?? null,
};

const childOf = async (parent: number): Promise<HostIdentity> => {
  const child = (await listStatuses()).find(({ parentPid }) => parentPid === parent);
  const identity = processIdentity(child?.pid ?? 0);
  if (identity === undefined) throw new Error('the shell has no child');
  return identity;
};
const children = await Promise.all([pid, other.identity.pid].map(childOf));
// the second one could be any process with that pid
const left = await Promise.all(
  [processMark(pid) ?? one.identity, { ...other.identity, startTicks: 1 }].map((root) =>
    killTree(root, realClock()),
  ),
);
const tree = {
  // the child ends no sooner: it closes the script, too
  left: left.map((some) => some.map((one) => (one.pid === children[0]?.pid ? 'child' : 'root'))),
  childrenEnd: children.map(isProcessEnding),
  isEnding: isProcessEnding(one.identity),
};
await hanging.remove();
await Promise.all([other, leader].map(({ identity }) => killTree(identity, realClock())));
await Promise.all([one.exited, other.exited, leader.exited]);
while (!one.watched()) await delay(1);
const after = { exists: processExists(one.identity), watched: one.watched() };
rmSync(directory, { recursive: true });
process.stdout.write(
  JSON.stringify({ before, reused, mark: Object.keys(known ?? {}), doubtful, scans, tree, after }),
);
