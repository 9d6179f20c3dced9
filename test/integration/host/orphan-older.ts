/** Run by process.test.ts: which process a child of ours may have left behind, by the pid that its file names. */
import { realClock } from '../../../src/host/clock/clock.ts';
import { processIdentity } from '../../../src/host/process/process-identity.ts';
import type { HostIdentity } from '../../../src/host/process/process-identity.ts';
import { expectOrphan, reapOrphans } from '../../../src/host/process/process-reaper.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { EVENT_MS } from '../../support/patience.ts';

const clock = realClock();
reapOrphans();

async function leaveOrphan(): Promise<number> {
  const { stdout } = await runTool({
    argv: ['/bin/sh', '-c', 'sleep 1000 </dev/null >/dev/null 2>&1 & echo $!'],
    env: { PATH: '/bin:/usr/bin' },
    timeoutMs: EVENT_MS,
    clock,
  });
  return Number(Buffer.from(stdout).toString());
}

/** A child that is younger than the process by one of the kernel's ticks at least. */
async function childAfter(pid: number): Promise<HostIdentity> {
  for (;;) {
    const { identity, exited } = await spawnProcess({ argv: ['/bin/true'], env: {} });
    await exited;
    if (identity.startTicks > (processIdentity(pid)?.startTicks ?? 0)) return identity;
  }
}

// nothing else keeps the process alive while it waits for a child
const keep = clock.setTimeout(() => undefined, EVENT_MS);
const older = await leaveOrphan();
const parent = await childAfter(older);
const named: Record<string, number> = { older, nobodys: 1 };
const found: Record<string, boolean> = {};
const expected = ['older', 'nobodys', 'younger'].map((name) => ({
  name,
  orphan: expectOrphan(() => named[name]),
}));
named['younger'] = await leaveOrphan();
for (const { name, orphan } of expected) {
  const taken = orphan.take(parent);
  found[name] = taken !== undefined;
}
for (const pid of [older, named['younger']]) process.kill(pid, 'SIGKILL');
process.stdout.write(JSON.stringify(found));
clock.clearTimeout(keep);
