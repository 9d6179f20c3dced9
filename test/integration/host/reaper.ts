/** Run by process.test.ts: a process that reaps its orphans, as a daemon does that is process 1. */
import { realClock } from '../../../src/host/clock/clock.ts';
import { processIdentity } from '../../../src/host/process/process-identity.ts';
import { listStatuses } from '../../../src/host/process/process-status.ts';
import type { ProcessStatus } from '../../../src/host/process/process-status.ts';
import { reapOrphans } from '../../../src/host/process/process-reaper.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { watchProcess } from '../../../src/host/process/watch.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { loopTurn } from '../../support/turns.ts';

const clock = realClock();
reapOrphans();
const mine = async (): Promise<ProcessStatus[]> =>
  (await listStatuses()).filter((stat) => stat.parentPid === process.pid);

// each shell ends at once and leaves its background children to us
const script =
  'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; done';
const started = await runTool({
  argv: ['/bin/sh', '-c', script],
  env: { PATH: '/bin:/usr/bin' },
  timeoutMs: EVENT_MS,
  clock,
});
const pids = Buffer.from(started.stdout).toString().trim().split('\n').map(Number);
const orphans = (await mine()).filter((stat) => pids.includes(stat.pid));
const ends = orphans
  .map(({ pid }) => processIdentity(pid))
  .filter((identity) => identity !== undefined)
  .map((identity) => new Promise<void>((resolve) => void watchProcess(identity, resolve)));
for (const { pid } of orphans) process.kill(pid, 'SIGKILL');
const own = Promise.all(
  [1, 2, 3].map(() => runTool({ argv: ['/bin/sh', '-c', 'exit 7'], timeoutMs: EVENT_MS, clock })),
);
// the loop below needs something that keeps the process alive
const keep = clock.setTimeout(() => undefined, EVENT_MS);
await Promise.all(ends);
const codes = (await own).map((result) => result.exitCode);
while (pids.some((pid) => processIdentity(pid) !== undefined)) await loopTurn();
const zombies = async (): Promise<number> => (await mine()).filter((stat) => stat.state === 'Z').length;
// the last ones are reaped a moment after their end
while ((await zombies()) > 0) await loopTurn();
clock.clearTimeout(keep);
process.stdout.write(JSON.stringify({ orphans: orphans.length, codes }));
