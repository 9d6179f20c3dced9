/** Run by child-signals.test.ts, which says what: a process that hears of its children as a daemon does. */
import { hostLimits } from '../../../src/host/bounds.ts';
import { onChildChange } from '../../../src/host/process/child-signals.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { libc } from '../../../src/host/ffi/ffi.ts';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { reapOrphans } from '../../../src/host/process/process-reaper.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import type { Child } from '../../../src/host/process/process.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { watchProcess } from '../../../src/host/process/watch.ts';
import { EVENT_MS } from '../../support/patience.ts';

const clock = realClock();
const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const idle = (): Promise<Child> => spawnProcess({ argv: ['/bin/sleep', '1000'], env: {} });

/** Waits for the state of `ps`, which the kernel has reported to its parent by then. */
async function until(pid: number, state: string): Promise<void> {
  while (processStat(pid)?.state !== state) await nextTurn();
}

/** Calls of one of libc's functions from now on. */
function counted(name: 'waitid'): () => number {
  let calls = 0;
  const original = libc[name];
  Object.assign(libc, {
    [name]: (...args: Parameters<typeof original>): number => {
      calls += 1;
      return (original as (...all: unknown[]) => number)(...args);
    },
  });
  return () => calls;
}

const scenes: Readonly<Record<string, () => Promise<unknown>>> = {
  /** A child is stopped and goes on, again and again. */
  async stops() {
    const child = await idle();
    let heard = 0;
    process.on('SIGCHLD', () => (heard += 1));
    for (let round = 0; round < 50; round += 1) {
      process.kill(child.pid, 'SIGSTOP');
      await until(child.pid, 'T');
      process.kill(child.pid, 'SIGCONT');
      await until(child.pid, 'S');
      await nextTurn();
    }
    const heardOfStops = heard;
    process.kill(child.pid, 'SIGKILL');
    const status = await child.exited;
    return { heardOfStops, heardOfEnd: heard - heardOfStops, status };
  },

  /** Signals as fast as they can come, and a child that ends in the middle. */
  async storm() {
    const child = await idle();
    const calls = counted('waitid');
    const startedMs = clock.monoMs();
    for (let round = 0; round < 200; round += 1) {
      for (let each = 0; each < 50; each += 1) process.emit('SIGCHLD', 'SIGCHLD');
      if (round === 100) process.kill(child.pid, 'SIGKILL');
      await nextTurn();
    }
    const status = await child.exited;
    const spans = Math.floor((clock.monoMs() - startedMs) / hostLimits.reaping.everyMs) + 1;
    return { isBounded: calls() <= spans * hostLimits.reaping.times, status };
  },

  /** Passes that leave something for the next one, after one signal. */
  async left() {
    let passes = 0;
    onChildChange(() => (passes += 1) < 4);
    process.emit('SIGCHLD', 'SIGCHLD');
    // beside them: where none is left no more come
    for (let span = 0; span < 8; span += 1)
      await new Promise<void>((resolve) => void clock.setTimeout(resolve, hostLimits.reaping.everyMs));
    return { passes };
  },

  /** More orphans at once than a pass takes, beside children that live and one whose end is kept. */
  async orphans() {
    reapOrphans();
    const living = await Promise.all([1, 2, 3].map(idle));
    const count = hostLimits.orphansPerPass + 40;
    const script = `n=0; while [ $n -lt ${count} ]; do sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; n=$((n+1)); done`;
    const { stdout } = await runTool({
      argv: ['/bin/sh', '-c', script],
      env: { PATH: '/bin:/usr/bin' },
      timeoutMs: EVENT_MS,
      clock,
    });
    const pids = Buffer.from(stdout).toString().trim().split('\n').map(Number);
    const orphans = pids.flatMap((pid) => processStat(pid) ?? []);
    const ends = orphans.map(
      ({ pid, startTicks }) =>
        new Promise<void>((resolve) => void watchProcess({ pid, startTicks }, resolve)),
    );
    for (const { pid } of orphans) process.kill(pid, 'SIGKILL');
    await Promise.all(ends);
    while (pids.some((pid) => processStat(pid) !== undefined)) await nextTurn();
    for (const { pid } of living) process.kill(pid, 'SIGKILL');
    return { orphans: orphans.length, statuses: await Promise.all(living.map(({ exited }) => exited)) };
  },
};

const keep = clock.setTimeout(() => undefined, EVENT_MS);
const reported = await scenes[process.argv[2] ?? '']?.();
clock.clearTimeout(keep);
process.stdout.write(JSON.stringify(reported));
