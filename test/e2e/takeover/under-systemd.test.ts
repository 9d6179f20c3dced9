// What systemd hears over a take-over, by a small program in its place: which process is the unit's main one, that it
// lives, and which sockets to keep (F92).
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, cpSync, mkdirSync, openSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { criClient } from '../../../scripts/support/cri-client.ts';
import { takeOverLimits } from '../../../src/daemon/bounds.ts';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { FakeSystemd } from '../../support/fake-systemd.ts';
import { makeInstance, type Instance, withListenPid } from '../../support/instance.ts';
import { injects } from '../../support/faults/injects.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { stoodStill } from '../../support/skips/stood-still.ts';
import { checkout } from '../../support/tools/cache.ts';
import { run } from '../../support/run.ts';
import { describePods } from '../support/crictl.ts';

const NAMES = ['cri', 'introspection', 'streaming'];
const WATCHDOG_MS = 2000;
/** ms in which a start reaches the daemon that holds the sockets; it takes a tenth of that. */
const SEEN_MS = 5000;

const stood = injects('F92', 'SIGSTOP of the former daemon while its successor is killed');

let systemd: FakeSystemd;
let instance: Instance;

beforeEach(async () => {
  systemd = new FakeSystemd({ watchdogMs: WATCHDOG_MS });
  instance = await makeInstance({ name: 'tksd', network: 'none', systemd });
  await instance.start();
  await expect.poll(() => systemd.stored, { timeout: EVENT_MS }).toEqual(NAMES);
});

afterEach(async () => {
  for (const pid of mainPids()) if (isOurs(pid)) process.kill(pid, 'SIGKILL');
  await instance.remove();
  systemd.close();
});

const mainPids = (): readonly number[] =>
  systemd.messages.flatMap((one) => /^MAINPID=(\d+)$/u.exec(one)?.[1] ?? []).map(Number);

/** Whether it is a daemon of this instance still, and not another process under its number. */
function isOurs(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(instance.directory);
  } catch {
    return false;
  }
}

/** The main process after `troupe upgrade`. */
async function upgraded(): Promise<number> {
  const [program, , ...options] = instance.argv;
  const known = mainPids().length;
  expect(await run([program, 'upgrade', ...options])).toMatchObject({ code: 0, stderr: '' });
  expect(mainPids()).toHaveLength(known + 1);
  return mainPids().at(-1) ?? 0;
}

const againLog = (): string => join(instance.directory, 'again.log');

/** The unit's next start. @param isKept whether systemd's store has kept the sockets */
function startAgain(isKept: boolean): ChildProcess {
  const output = openSync(againLog(), 'a');
  const [program, ...options] = withListenPid(instance.argv);
  const { LISTEN_FDS: _fds, LISTEN_FDNAMES: _names, ...environment } = systemd.environment;
  const passed = isKept ? systemd.descriptors : [];
  const again = spawn(program, options, {
    stdio: ['ignore', output, output, ...passed],
    env: { ...process.env, ...(isKept ? systemd.environment : environment) },
  });
  closeSync(output);
  return again;
}

/** Settles once systemd has heard twice more that the unit lives. */
async function lives(): Promise<void> {
  const since = systemd.messages.length;
  const heard = (): number => systemd.messages.slice(since).filter((one) => one === 'WATCHDOG=1').length;
  await expect.poll(heard, { timeout: EVENT_MS }).toBeGreaterThan(1);
}

describePods('take-over under systemd', () => {
  test('F92: the new daemon is the main process, reports its life, and has its sockets kept', async () => {
    const former = instance.pid();
    const main = await upgraded();
    // systemd sees the end of its own children only, and what a daemon starts itself stays below that daemon
    expect(processStat(main)?.parentPid).not.toBe(former);
    await lives();
    const named = systemd.messages.indexOf(`MAINPID=${main}`);
    const isOther = (one: string): boolean => !one.startsWith('FDSTORE') && one !== 'WATCHDOG=1';
    expect(systemd.messages.slice(0, named).filter(isOther)).toEqual(['READY=1']);
    // what another process than the main one says is refused: the former one is silent, and the new one was so far
    expect(systemd.messages.slice(named + 1).filter(isOther)).toEqual(['BARRIER=1', 'READY=1']);
    await expect.poll(() => systemd.stored, { timeout: EVENT_MS }).toEqual(NAMES);
    // again, by a daemon that has all of this from the first one
    await upgraded();
    await lives();
    expect(systemd.stored).toEqual(NAMES);
  });

  // with its store, the next daemon has the sockets already; without, it asks the one that holds them
  test.for([
    ['the store has kept the sockets', true],
    ['nobody has', false],
  ] as const)(
    'F92: a daemon that systemd starts at once after a crash goes on, where %s',
    async ([_where, isKept], context) => {
      const sinceMs = performance.now();
      const main = await upgraded();
      process.kill(main, 'SIGKILL');
      await expect.poll(() => isOurs(main), { timeout: EVENT_MS }).toBe(false);
      const passedMs = performance.now() - sinceMs;
      // from then on the former daemon holds its sessions only
      if (passedMs > takeOverLimits.probationMs - SEEN_MS)
        stoodStill(context, `the upgrade and the kill took ${Math.round(passedMs)} ms`);
      const client = criClient(instance.socket);
      // waits in the former daemon
      const answer = client.runtime.listPodSandbox({});
      const again = startAgain(isKept);
      try {
        expect(await answer).toMatchObject({ items: [] });
        const log = (): string => readFileSync(againLog(), 'utf8');
        await expect.poll(log, { timeout: EVENT_MS }).toContain('"msg":"serving"');
        if (!isKept) expect(log()).toContain('taking over from another daemon');
        expect(log()).not.toContain('another process is listening');
        await lives();
        expect(await instance.log()).not.toContain('started a successor');
      } finally {
        client.close();
        again.kill('SIGKILL');
      }
    },
  );

  test('F92: a start that the former daemon does not notice, since it stands still, is worth another one', async () => {
    const former = instance.pid();
    const main = await upgraded();
    process.kill(former, 'SIGSTOP');
    try {
      process.kill(main, 'SIGKILL');
      await expect.poll(() => isOurs(main), { timeout: EVENT_MS }).toBe(false);
      const { code, stderr } = await run(instance.argv);
      // systemd starts no daemon again that has ended with 5
      expect([code, stderr]).toEqual([1, expect.stringContaining(`daemon ${former}, which has handed over`)]);
      stood.happened();
    } finally {
      process.kill(former, 'SIGCONT');
    }
    const again = startAgain(true);
    const client = criClient(instance.socket);
    try {
      expect(await client.runtime.listPodSandbox({})).toMatchObject({ items: [] });
    } finally {
      client.close();
      again.kill('SIGKILL');
    }
  });

  test('troupe reload: the configuration is read again, or a changed program takes over', async () => {
    const [program, , ...options] = instance.argv;
    const reload = [program, 'reload', ...options] as const;
    const former = instance.pid();
    const { code, stdout } = await run(reload);
    expect([code, stdout]).toEqual([
      0,
      `process ${former} reads its configuration again; its log has the result\n`,
    ]);
    await expect.poll(instance.log, { timeout: EVENT_MS }).toContain('configuration reloaded');
    const asJson = await run([...reload, '--json']);
    expect(JSON.parse(asJson.stdout)).toEqual({ did: 'reload', pid: former });
    expect(mainPids()).toEqual([]);
    // another installation: other files, which are as good
    const other = join(instance.directory, 'other');
    mkdirSync(other);
    for (const name of ['bin', 'src', 'package.json'])
      cpSync(join(checkout, name), join(other, name), { recursive: true });
    symlinkSync(join(checkout, 'node_modules'), join(other, 'node_modules'));
    const taken = await run([join(other, 'bin/troupe'), 'reload', '--json', ...options]);
    const [main = 0] = mainPids();
    expect([taken.code, JSON.parse(taken.stdout)]).toEqual([0, { did: 'takeOver', pid: main }]);
    expect(readFileSync(`/proc/${main}/cmdline`, 'utf8')).toContain(join(other, 'src/daemon/main.ts'));
  });

  test('F92: a reload that the former daemon is asked for is done by the one that serves', async () => {
    const former = instance.pid();
    const main = await upgraded();
    process.kill(former, 'SIGHUP');
    const log = async (): Promise<readonly string[]> =>
      (await instance.log()).split('\n').filter((line) => line.includes('reload'));
    await expect
      .poll(log, { timeout: EVENT_MS })
      .toEqual([
        expect.stringContaining(`"pid":${main},"msg":"reload: another daemon has taken over, and is asked"`),
        expect.stringContaining('"msg":"configuration reloaded"'),
      ]);
  });

  test('a stop ends the daemon that holds sessions of before', async () => {
    const client = criClient(instance.socket);
    await client.runtime.version({});
    const former = instance.pid();
    const main = await upgraded();
    expect(isOurs(former)).toBe(true);
    const [program, , ...options] = instance.argv;
    const shown = async (): Promise<string> => (await run([program, 'status', ...options])).stdout;
    await expect.poll(shown, { timeout: EVENT_MS }).toContain(`former      daemon ${former} of version `);
    process.kill(main, 'SIGTERM');
    await expect.poll(() => isOurs(main), { timeout: EVENT_MS }).toBe(false);
    expect(isOurs(former)).toBe(false);
    client.close();
  });
});
