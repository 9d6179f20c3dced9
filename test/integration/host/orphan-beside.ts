/** Run by process.test.ts: an awaited orphan ends while another ended one is kept, for a runtime without a pid file. */
import { realClock } from '../../../src/host/clock/clock.ts';
import { processIdentity, processStat } from '../../../src/host/process/process-identity.ts';
import { expectOrphan, reapOrphans } from '../../../src/host/process/process-reaper.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { loopTurn } from '../../support/turns.ts';

const clock = realClock();
reapOrphans();
let pids: readonly number[] = [];
const undecided = expectOrphan(() => undefined);
const awaited = expectOrphan(() => pids[1]);
const { stdout } = await runTool({
  argv: ['/bin/sh', '-c', 'for i in 1 2; do sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; done'],
  env: { PATH: '/bin:/usr/bin' },
  timeoutMs: EVENT_MS,
  clock,
});
pids = Buffer.from(stdout).toString().trim().split('\n').map(Number);
const [kept = 0, ended = 0] = pids;
const self = processIdentity(process.pid);
const taken = self === undefined ? undefined : awaited.take(self);
const keep = clock.setTimeout(() => undefined, EVENT_MS);
process.kill(kept, 'SIGKILL');
while (processStat(kept)?.state !== 'Z') await loopTurn();
process.kill(ended, 'SIGKILL');
const status = await taken?.exited;
// nothing but microtasks ran since the pass that delivered the status
const states = [kept, ended].map((pid) => processStat(pid)?.state);
undecided.forget();
const left = [kept, ended].filter((pid) => processStat(pid) !== undefined);
clock.clearTimeout(keep);
process.stdout.write(JSON.stringify({ signal: status?.signal, states, left }));
