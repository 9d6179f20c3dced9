// Helpers that a killed daemon has left running, as the next one finds them; each instance is part of this process.
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { ClockPort } from '../../../src/ports/clock.ts';
import type { Log } from '../../../src/base/log.ts';
import { helperLimits, hostLimits } from '../../../src/host/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { isProcessGone } from '../../../src/host/ffi/errno.ts';
import { HELPER_VARIABLE, markHelpers } from '../../../src/host/process/helper-mark.ts';
import { findHelpers, ownTraces } from '../../../src/host/process/helper-scan.ts';
import type { FoundHelper } from '../../../src/host/process/helper-scan.ts';
import type { HelpersOrder } from '../../../src/host/kernel-thread/thread-protocol.ts';
import { endHelpers, endEarlierHelpers, endEarlierHelpersIfAny } from '../../../src/host/process/helpers.ts';
import { stopKernelThread } from '../../../src/host/kernel-thread/kernel-thread.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import type { Child, SpawnRequest } from '../../../src/host/process/process.ts';
import { killTree } from '../../../src/host/process/process-kill.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { pause } from '../../../src/host/clock/wait.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { gatedProgram, isRunning } from '../../support/gated-program.ts';
import { describeAsRoot, scratchDirectory } from './support.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const real = realClock();
/** The bound of a scan, which may have to start the kernel thread first, decides no test on a busy machine. */
const clock: ClockPort = {
  ...real,
  setTimeout: (callback, ms) => real.setTimeout(callback, ms === helperLimits.scanMs ? EVENT_MS : ms),
};
const random = realRandom();
/** Forks without another program (perl-base is on every Debian). */
const PERL = '/usr/bin/perl';
/** Of cgroups v1: what is frozen there ends by no signal. */
const FREEZER = '/sys/fs/cgroup/freezer';

describeAsRoot('helpers of an earlier daemon', () => {
  const directory = scratchDirectory('helpers');
  let order: HelpersOrder;

  beforeEach(() => {
    const key = random.token(16);
    markHelpers({ key, boot: 'aa' });
    order = { kind: 'helpers', key, boot: 'bb', ...ownTraces() };
  });
  afterAll(stopKernelThread);

  /** Runs; until it ends, its environment is there to be read. */
  const launch = async (argv: readonly string[], more: Partial<SpawnRequest> = {}): Promise<Child> => {
    const child = await spawnProcess({ argv, env: { PATH: '/usr/bin:/bin' }, stdout: 'pipe', ...more });
    onTestFinished(async () => {
      child.stdout?.destroy();
      await killTree(child.identity, clock);
    });
    await settled(child.pid);
    return child;
  };
  /** posix_spawn returns in the middle of the execve. */
  const settled = async (pid: number): Promise<void> => {
    while (isRunning(pid) && !environmentOf(pid).includes('PATH=')) await pause(clock, 1);
  };
  /** Empty when it has ended. */
  const environmentOf = (pid: number): string => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8');
    } catch (error) {
      if (isProcessGone(error)) return '';
      throw error;
    }
  };
  const shell = (script: string, more: Partial<SpawnRequest> = {}): Promise<Child> =>
    launch(['/bin/sh', '-c', script], more);
  const sleeper = (more: Partial<SpawnRequest> = {}): Promise<Child> => launch(['/bin/sleep', '3600'], more);
  /** Whatever else on this machine is being started by a program like this one may be anybody's. */
  const found = (wanted = order): FoundHelper[] =>
    findHelpers(wanted).helpers.filter(({ isStarting }) => !isStarting);
  /** No time passes until `expire`: then all of the grace at once. */
  const stoppedClock = (): { readonly clock: ClockPort; readonly expire: () => void } => {
    let lateMs = 0;
    return { clock: { ...clock, monoMs: () => lateMs }, expire: () => (lateMs += 3_600_000) };
  };
  /** The grace is over at the first poll after the start. */
  const hastyClock = (): ClockPort => {
    let lateMs = 0;
    return {
      ...clock,
      monoMs: () => clock.monoMs() + lateMs,
      setTimeout: (callback, ms) => {
        if (ms === helperLimits.pollMs) lateMs += helperLimits.graceMs;
        return clock.setTimeout(callback, ms);
      },
    };
  };
  /** From 0 on; each wait but that for an answer of the kernel thread is over at once. */
  const fastClock = (): ClockPort => {
    let nowMs = 0;
    return {
      ...clock,
      monoMs: () => nowMs,
      setTimeout: (callback, ms) => {
        if (ms === helperLimits.scanMs) return clock.setTimeout(callback, ms);
        nowMs += ms;
        return clock.setTimeout(callback, 0);
      },
    };
  };
  /** Settles at the first line that holds the words. */
  const logUntil = (
    words: string,
  ): { readonly log: Log; readonly said: Promise<void>; readonly lines: string[] } => {
    const lines: string[] = [];
    let resolve: () => void = () => undefined;
    const said = new Promise<void>((settle) => (resolve = settle));
    const note = (_fields: object, message: string): void => {
      lines.push(message);
      if (message.includes(words)) resolve();
    };
    return { log: { ...silentLog, info: note, warn: note, error: note }, said, lines };
  };

  test('S64: a helper has the mark first; another process has only its given environment', async () => {
    const helper = await sleeper();
    const other = await sleeper({ isHelper: false });
    expect(environmentOf(helper.pid)).toMatch(
      new RegExp(`^${HELPER_VARIABLE}=${order.key}\\.aa\\.[1-9]\\d*\\0PATH=/usr/bin:/bin\\0`, 'u'),
    );
    expect(environmentOf(other.pid)).toBe('PATH=/usr/bin:/bin\0');
  });

  test('helpers of earlier boots of the same instance are found, with or without a pipe', async () => {
    const piped = await sleeper();
    const errorsOnly = await sleeper({ stdout: 'null', stderr: 'pipe' });
    const without = await sleeper({ stdout: 'null' });
    const ofAll = [piped.pid, errorsOnly.pid, without.pid].toSorted((a, b) => a - b);
    await sleeper({ isHelper: false });
    expect(
      found()
        .map(({ pid }) => pid)
        .toSorted((a, b) => a - b),
    ).toEqual(ofAll);
    expect(findHelpers({ ...order, among: [piped.pid] }).helpers).toEqual([
      { ...piped.identity, command: '/bin/sleep 3600', isStarting: false, isKilled: false },
    ]);
    expect(found({ ...order, boot: 'aa' })).toEqual([]);
    expect(found({ ...order, key: random.token(16) })).toEqual([]);
    errorsOnly.stderr?.destroy();
  });

  test('a working helper is waited for within the grace, and not killed', async () => {
    const own = mkdtempSync(join(directory, 'late-'));
    const done = join(own, 'done');
    const late = gatedProgram(own, '/usr/bin/touch');
    onTestFinished(late.close);
    const { stdout, exited } = await spawnProcess({ argv: [late.path, done], env: {}, stdout: 'pipe' });
    await late.started();
    const { log, said, lines } = logUntil('waiting for a helper of an earlier daemon to end');
    const ending = endHelpers(order, { clock: stoppedClock().clock, log });
    await said;
    late.open();
    await ending;
    expect([
      await exited,
      readdirSync(own).includes('done'),
      lines.filter((line) => line.startsWith('killed')),
    ]).toEqual([{ exitCode: 0, signal: null }, true, []]);
    stdout?.destroy();
  });

  test('a helper that does not end is killed with its descendants, whatever their session', async () => {
    const children = join(directory, 'children');
    const fifo = gatedProgram(mkdtempSync(join(directory, 'children-of-')), '/bin/true');
    onTestFinished(fifo.close);
    const helper = await shell(
      `sleep 3600 & echo $! > ${children}; setsid sleep 3601 & echo $! >> ${children}; ${fifo.path}; wait`,
    );
    await fifo.started();
    const pids = readFileSync(children, 'utf8').trim().split('\n').map(Number);
    const { clock: ours, expire } = stoppedClock();
    const { log, said, lines } = logUntil('waiting for a helper of an earlier daemon to end');
    const ending = endHelpers(order, { clock: ours, log });
    await said;
    expect(pids.every(isRunning)).toBe(true);
    expire();
    await ending;
    expect([await helper.exited, pids.filter(isRunning), found()]).toEqual([
      { exitCode: null, signal: 9 },
      [],
      [],
    ]);
    expect(lines).toContainEqual(expect.stringContaining('killed a helper of an earlier daemon'));
  });

  unless(test, lacking(FREEZER))(
    'F45: a helper that survives SIGKILL is reported, and no later start waits for it again',
    async () => {
      const helper = await sleeper();
      const cgroup = join(FREEZER, basename(directory));
      mkdirSync(cgroup);
      onTestFinished(async () => {
        writeFileSync(join(cgroup, 'freezer.state'), 'THAWED');
        await helper.exited;
        rmdirSync(cgroup);
      });
      writeFileSync(join(cgroup, 'cgroup.procs'), String(helper.pid));
      writeFileSync(join(cgroup, 'freezer.state'), 'FROZEN');
      while (!readFileSync(join(cgroup, 'freezer.state'), 'latin1').startsWith('FROZEN'))
        await pause(clock, 1);
      const only = { ...order, among: [helper.pid] };
      const spentMs: number[] = [];
      for (let life = 0; life < 2; life += 1) {
        const { log, lines } = logUntil('could not end a helper');
        const fast = fastClock();
        await endHelpers(only, { clock: fast, log });
        expect(lines).toEqual([
          expect.stringContaining('waiting for a helper of an earlier daemon to end'),
          expect.stringContaining('could not end a helper'),
        ]);
        spentMs.push(fast.monoMs());
      }
      expect(spentMs[0]).toBeGreaterThanOrEqual(helperLimits.graceMs + hostLimits.killMs);
      expect(spentMs[1]).toBeLessThan(helperLimits.graceMs);
      expect(findHelpers(only).helpers).toMatchObject([{ pid: helper.pid, isKilled: true }]);
    },
  );

  test('a service left behind by a helper goes on, though it has the helper’s environment', async () => {
    const file = join(directory, 'service');
    const helper = await shell(`setsid sleep 3602 > /dev/null 2>&1 & echo $! > ${file}`);
    await helper.exited;
    const pid = Number(readFileSync(file, 'utf8'));
    onTestFinished(() => void process.kill(pid, 'SIGKILL'));
    // the shell's fork and setsid have the environment too, and lose it at their execve
    while (readFileSync(`/proc/${pid}/cmdline`, 'latin1') !== 'sleep\x003602\0') await pause(clock, 1);
    await settled(pid);
    expect(environmentOf(pid)).toContain(`${HELPER_VARIABLE}=${order.key}.`);
    await endHelpers(order, { clock, log: silentLog });
    expect(isRunning(pid)).toBe(true);
  });

  unless(test, lacking(PERL))(
    'a forked child before its execve is waited for, since its program is not known yet',
    async () => {
      const [gate, ready] = [join(directory, 'execve'), join(directory, 'forked')];
      await (
        await shell(`mkfifo ${gate} ${ready}`)
      ).exited;
      const fd = openSync(gate, constants.O_RDWR);
      onTestFinished(() => closeSync(fd));
      const forks = `use POSIX; if (fork) { exec "/bin/sleep", "3600" } POSIX::setsid(); open(R, ">", "${ready}"); print R $$; close R; open(G, "<", "${gate}"); sysread(G, $_, 1); exec "/bin/true"`;
      await shell(`exec ${PERL} -e '${forks}'`, { isHelper: false, stdout: 'null' });
      const pid = Number(readFileSync(ready, 'utf8'));
      const only = { among: [pid] };
      expect(findHelpers({ ...order, ...only }).helpers).toEqual([]);
      const ofPerl = {
        ...order,
        program: readlinkSync(`/proc/${pid}/exe`),
        environmentBytes: environmentOf(pid).length,
      };
      expect(findHelpers({ ...ofPerl, ...only }).helpers).toEqual([
        { pid, startTicks: expect.any(Number) as number, command: '', isStarting: true, isKilled: false },
      ]);
      const { log, said } = logUntil('waiting for a helper of an earlier daemon to end');
      const ending = endHelpers(ofPerl, { clock: stoppedClock().clock, log });
      await said;
      writeSync(fd, 'x');
      await ending;
      expect(isRunning(pid)).toBe(false);
    },
  );

  unless(test, lacking(PERL))(
    'S89 F10: a process with mounts of its own is not taken for a starting helper, though it resembles one',
    async () => {
      // no argument, no environment, leader of a session: as an execve that has just put its memory in place
      const bare = 'delete @ENV{keys %ENV}; exec {"/bin/cat"} ""';
      const looking = async (prefix: readonly string[]): Promise<Child> => {
        const gate = join(mkdtempSync(join(directory, 'bare-')), 'stdin');
        await (
          await shell(`mkfifo ${gate}`)
        ).exited;
        const fd = openSync(gate, constants.O_RDWR);
        onTestFinished(() => closeSync(fd));
        const child = await spawnProcess({
          argv: [...prefix, PERL, '-e', bare],
          env: {},
          stdin: fd,
          isHelper: false,
        });
        onTestFinished(async () => void (await killTree(child.identity, clock)));
        while (isRunning(child.pid) && readFileSync(`/proc/${child.pid}/cmdline`, 'latin1') !== '\0')
          await pause(clock, 1);
        return child;
      };
      const own = await looking([]);
      const other = await looking(['/usr/bin/unshare', '--mount']);
      expect(findHelpers({ ...order, among: [own.pid, other.pid] }).helpers).toEqual([
        { ...own.identity, command: '', isStarting: true, isKilled: false },
      ]);
      // one that an earlier version has recorded
      expect(findHelpers({ ...order, mounts: '', among: [other.pid] }).helpers).toHaveLength(1);
    },
  );

  test('F10: each boot ends the helpers of those before it and none of its own; a damaged record affects only that', async () => {
    const file = join(directory, 'helpers.json');
    const successor = { file, clock: hastyClock(), random, log: silentLog };
    await endEarlierHelpersIfAny(successor);
    expect(readdirSync(directory)).not.toContain('helpers.json');
    await endEarlierHelpers(successor);
    const first = await sleeper();
    await endEarlierHelpersIfAny(successor);
    const second = await sleeper();
    expect([(await first.exited).signal, isRunning(second.pid)]).toEqual([9, true]);
    await endEarlierHelpers(successor);
    const third = await sleeper();
    writeFileSync(file, '{"key":');
    await endEarlierHelpers(successor);
    const fourth = await sleeper();
    await endEarlierHelpers(successor);
    expect([(await second.exited).signal, isRunning(third.pid), (await fourth.exited).signal]).toEqual([
      9,
      true,
      9,
    ]);
  });
});
