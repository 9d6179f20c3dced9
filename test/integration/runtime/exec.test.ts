import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { driverLimits } from '../../../src/oci/runtime/bounds.ts';
import type { ExecResult } from '../../../src/ports/runtime.ts';
import { silentLog } from '../../../src/base/log.ts';
import { containerCgroup } from '../../../src/host/sandbox/layout.ts';
import { cgroupPaths } from './kernel.ts';
import { World, fx, missing, processesNaming } from './support.ts';
import type { Running } from './support.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { wholeBytes } from '../../support/whole-bytes.ts';
import { fxOf } from '../../support/fx.ts';
import { until } from '../../support/eventually.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = missing();
/** Bytes of an output that needs a room. */
const LARGE = 1_000_000;

if (reason !== '') console.log(`exec tests are skipped: ${reason}`);

unless(describe, reason)('ExecSync with runc and conmon', () => {
  let world: World;
  let container: Running;
  beforeEach(async () => {
    world = await new World().open();
    container = await world.run(['sleep', '1000']);
  });
  afterEach(async () => {
    const left: string[] = [];
    try {
      // whatever an exec did: its files and the runtime's calls are gone
      left.push(...execFiles(), ...processesNaming(container.id).filter((line) => line.includes('--detach')));
    } finally {
      left.push(...(await world.close()));
    }
    expect(left).toEqual([]);
  });

  const execFiles = (): string[] =>
    readdirSync(world.layout.containerDir(container.id)).filter((name) => name.startsWith('exec-'));
  const exec = (
    argv: readonly string[],
    execTimeoutMs = 0,
    effect = fx,
    namespace = 'default',
  ): Promise<ExecResult> =>
    world.driver.execSync(
      { ...container.bundle, namespace, argv, init: container.init, execTimeoutMs },
      effect,
    );
  const text = (bytes: ExecResult['stdout']): string => Buffer.from(wholeBytes(bytes)).toString('utf8');
  /** Processes in the container beside its init. */
  const inside = (): string[] =>
    processesNaming(container.id).filter(
      (line) => !line.includes('conmon') && !line.startsWith(`${container.init.pid} `),
    );

  it('gives exit code, stdout and stderr', async () => {
    const result = await exec(['sh', '-c', 'echo out; echo err >&2; exit 5']);
    expect({ ...result, stdout: text(result.stdout), stderr: text(result.stderr) }).toEqual({
      exitCode: 5,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect((await exec(['true'])).exitCode).toBe(0);
    expect((await exec(['sh', '-c', 'kill -9 $$'])).exitCode).toBe(137);
  });

  it('runs as the container’s own process would: environment, directory, /dev/null for stdin', async () => {
    const result = await exec(['sh', '-c', 'echo $MARK; pwd; cat; echo $(cd /proc/self/fd && echo *)']);
    expect(text(result.stdout)).toBe('from the container\n/\n0 1 2 3\n');
  });

  it('S65 passes arguments that resemble options unchanged', async () => {
    const words = ['--root=/x', '-e', '--', '', '$(id)', 'a b\nc', '\u00fc'];
    const result = await exec(['sh', '-c', 'for word in "$@"; do echo "<$word>"; done', 'sh', ...words]);
    expect(text(result.stdout)).toBe(words.map((word) => `<${word}>\n`).join(''));
  });

  it('a missing program is a failure with the reason', async () => {
    await expect(exec(['no-such-program', '-x'])).rejects.toMatchObject({
      fault: {
        kind: 'outside',
        subject: container.id,
        message: expect.stringMatching(
          /^exec in container .*runc exec: .*no-such-program.*not found/u,
        ) as string,
      },
    });
  });

  it('on an ended container is wrongState', async () => {
    await world.driver.killAll({ ...container.bundle, init: container.init }, fx);
    await world.exitOf(container.id);
    await expect(exec(['true'])).rejects.toMatchObject({ fault: { kind: 'wrongState' } });
  });

  it('ends when the container is killed', async () => {
    const running = exec(['sleep', '1001']);
    await until(() => inside().some((line) => line.includes('sleep 1001')));
    await world.driver.killAll({ ...container.bundle, init: container.init }, fx);
    expect((await running).exitCode).toBe(137);
  });

  it('a timeout kills children, orphans and own sessions before it rejects', async () => {
    const script =
      'setsid sleep 1001 & (sleep 1002 &) ; (trap "" TERM HUP; sleep 1003) & echo up; sleep 1004';
    await expect(exec(['sh', '-c', script], 400)).rejects.toMatchObject({
      fault: {
        kind: 'timedOut',
        message: expect.stringContaining('timed out after 400 ms waiting for the command') as string,
      },
    });
    expect(inside()).toEqual([]);
    const { containers } = await world.driver.observe(fx);
    expect(containers).toMatchObject([{ process: 'running' }]);
  });

  it('a timeout kills daemons that left their session and parent', async () => {
    await expect(
      exec(['sh', '-c', '(setsid sh -c "sleep 1001 & sleep 1002" &) ; sleep 1003'], 400),
    ).rejects.toMatchObject({ fault: { kind: 'timedOut' } });
    expect(inside()).toEqual([]);
  });

  it('an abort kills the same processes', async () => {
    const caller = new AbortController();
    const running = exec(['sh', '-c', 'sleep 1001 & sleep 1002'], 0, fxOf(EVENT_MS, caller.signal));
    const outcome = expect(running).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    await until(() => inside().some((line) => line.includes('sleep 1002')));
    caller.abort();
    await outcome;
    expect(inside()).toEqual([]);
  });

  it('a background child that keeps stdout open does not delay the answer, and lives on', async () => {
    const result = await exec(['sh', '-c', 'sleep 1001 & echo out; exit 3']);
    expect([result.exitCode, text(result.stdout)]).toEqual([3, 'out\n']);
    expect(inside()).toHaveLength(1);
    // no cgroup of an exec stays behind: it became the container's
    const freezer = cgroupPaths(containerCgroup(world.parent, container.id)).filter((path) =>
      path.includes('freezer'),
    );
    expect(freezer.flatMap((path) => readdirSync(path)).filter((name) => name.startsWith('exec-'))).toEqual(
      [],
    );
  });

  it('S03 S21 keeps slightly less than 16 MiB of each stream and drains the rest', async () => {
    const before = readdirSync(world.layout.containerDir(container.id));
    const result = await exec(['sh', '-c', 'yes | head -c 40000000; yes | head -c 30000000 >&2; exit 4']);
    expect(result.exitCode).toBe(4);
    expect(wholeBytes(result.stdout).length).toBe(driverLimits.execOutputBytes);
    expect(wholeBytes(result.stderr).length).toBe(driverLimits.execOutputBytes);
    expect(readdirSync(world.layout.containerDir(container.id))).toEqual(before);
  });

  it('S03 output without end is cut off by the timeout', async () => {
    await expect(exec(['yes'], 500)).rejects.toMatchObject({ fault: { kind: 'timedOut' } });
    expect(inside()).toEqual([]);
  });

  it('S85 slow execs with large outputs hold up no other namespace: it gets a free slot at once, or one of theirs, and all run to their end', async () => {
    const script = `head -c ${LARGE} /dev/zero; sleep 1001; head -c ${LARGE} /dev/zero; echo end >&2; exit 7`;
    const slowIn = (namespace: string): Promise<ExecResult> =>
      exec(['sh', '-c', script], 0, fxOf(EVENT_MS), namespace);
    const asleep = (): string[] => inside().filter((line) => /^\d+ sleep 1001\b/u.test(line));
    const large = async (namespace: string): Promise<number> =>
      wholeBytes((await exec(['head', '-c', `${LARGE}`, '/dev/zero'], 0, fx, namespace)).stdout).length;
    // the rooms of three; the fourth waits in its write
    const first = ['a', 'a', 'a', 'a'].map(slowIn);
    await until(() => asleep().length === driverLimits.execOutputSlotsPerNamespace);
    expect(await large('b')).toBe(LARGE);
    const second = slowIn('b');
    await until(() => asleep().length === driverLimits.execOutputSlots);
    // in the room of one of the first, whose next is then the fourth's
    expect(await large('c')).toBe(LARGE);
    await until(() => asleep().length === first.length + 1);
    for (const line of asleep()) process.kill(Number.parseInt(line, 10), 'SIGKILL');
    const results = await Promise.all([...first, second]);
    expect(results.map(({ exitCode }) => exitCode)).toEqual([7, 7, 7, 7, 7]);
    const ends = results.map(({ stdout, stderr }) => [wholeBytes(stdout).length, text(stderr)] as const);
    const cutLine = 'end\ntroupe: output cut to 64 KiB: another namespace needed its memory\n';
    const isCut = ([bytes, said]: (typeof ends)[number]): boolean =>
      bytes === driverLimits.execFreeBytes && said.endsWith(cutLine);
    expect(ends.slice(0, -1).filter(isCut)).toHaveLength(1);
    expect(ends.filter(([bytes, said]) => bytes === 2 * LARGE && said.endsWith('end\n'))).toHaveLength(4);
    expect(inside()).toEqual([]);
  });

  it('concurrent execs each get their own answer', async () => {
    const results = await Promise.all(
      Array.from({ length: 10 }, (_none, at) => exec(['sh', '-c', `echo ${at}; exit ${at}`])),
    );
    expect(results.map((result) => [result.exitCode, text(result.stdout)])).toEqual(
      results.map((_result, at) => [at, `${at}\n`]),
    );
  });

  it('F11 an exec of an earlier daemon is ended at the start, with its background processes', async () => {
    const script = '(setsid sh -c "sleep 1001 & sleep 1002" &) ; sleep 1003';
    const lost = exec(['sh', '-c', script]).catch(() => undefined);
    await until(
      () =>
        inside().some((line) => line.includes('sleep 1003')) &&
        inside().some((line) => line.includes('sleep 1001')),
    );
    const next = world.newDriver();
    await next.open();
    await until(() => inside().length === 0);
    expect((await next.observe(fx)).containers).toMatchObject([{ process: 'running' }]);
    await lost;
    next.close();
  });

  it('F45 F89 a start does not wait for a stuck exec of an earlier daemon, which is ended once that is possible', async () => {
    const freezer = cgroupPaths(world.parent).find((path) => path.includes('/freezer/'));
    // on v2 a frozen process can be killed
    if (freezer === undefined)
      return console.log('skipped: no freezer of cgroup v1, under which a process does not end');
    const lost = exec(['sleep', '1003']).catch(() => undefined);
    // the runtime's call has ended, as a start waits for it
    await until(
      () =>
        inside().some((line) => line.includes('sleep 1003')) &&
        !inside().some((line) => line.includes('--detach')),
    );
    const warned: string[] = [];
    const next = world.newDriver({
      log: { ...silentLog, warn: (_fields, message) => void warned.push(message) },
    });
    const ofExecs = (): string[] => warned.filter((message) => !message.includes('known flaws'));
    writeFileSync(join(freezer, 'freezer.state'), 'FROZEN');
    try {
      await next.open();
      // not even tried to the end
      expect([ofExecs(), execFiles().length, inside().length]).toEqual([[], 1, 1]);
    } finally {
      writeFileSync(join(freezer, 'freezer.state'), 'THAWED');
    }
    await until(() => inside().length === 0 && execFiles().length === 0);
    await lost;
    next.close();
  });

  it('F44 leaves no zombie child of the daemon', async () => {
    for (let round = 0; round < 10; round += 1) await exec(['true']);
    const zombies = (): string[] =>
      readdirSync('/proc').filter((pid) => /^\d+$/u.test(pid) && isOurZombie(pid));
    // the last ones are reaped a moment after their end
    await until(() => zombies().length === 0);
  });
});

function isOurZombie(pid: string): boolean {
  if (!existsSync(`/proc/${pid}/status`)) return false;
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return /^State:\s+Z/mu.test(status) && new RegExp(`^PPid:\\s+${process.pid}$`, 'mu').test(status);
  } catch {
    return false;
  }
}
