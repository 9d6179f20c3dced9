import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realClock } from '../../../src/host/clock/clock.ts';
import { makePipe } from '../../../src/host/io/descriptors.ts';
import { killTree } from '../../../src/host/process/process-kill.ts';
import { processExists, processIdentity } from '../../../src/host/process/process-identity.ts';
import type { HostIdentity } from '../../../src/host/process/process-identity.ts';
import { listStatuses, processStatus } from '../../../src/host/process/process-status.ts';
import type { ProcessStatus } from '../../../src/host/process/process-status.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import type { ToolRequest, ToolResult } from '../../../src/host/process/process-tool.ts';
import { spawnProcess } from '../../../src/host/process/process.ts';
import { SocketReader } from '../../../src/host/io/socket-reader.ts';
import { injects } from '../../support/faults/injects.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { unless } from '../../support/skips/unless.ts';
import { loopTurn, untilTrue } from '../../support/turns.ts';

const shortRuns = injects('F44', 'a thousand programs that end at once, fifty at a time');
const orphaned = injects('F44', 'orphans that a reaper of its own inherits are killed');

const clock = realClock();
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

function run(argv: readonly string[], more: Partial<ToolRequest> = {}): Promise<ToolResult> {
  return runTool({ argv, timeoutMs: EVENT_MS, clock, ...more });
}

/** A shell as the program under test: the argv is fixed, nothing is composed. */
function sh(script: string, more: Partial<ToolRequest> = {}): Promise<ToolResult> {
  return run(['/bin/sh', '-c', script], { env: { PATH: '/usr/bin:/bin' }, ...more });
}

async function readAll(fd: number): Promise<Uint8Array> {
  const reader = new SocketReader(fd);
  const pieces: Uint8Array[] = [];
  reader.start((bytes) => pieces.push(bytes.slice()));
  await reader.closed;
  return Buffer.concat(pieces);
}

async function membersOfSession(session: number): Promise<number[]> {
  const stats = await listStatuses();
  return stats.filter((stat) => stat.session === session && stat.state !== 'Z').map((stat) => stat.pid);
}

describe('a program that was just written', () => {
  test('starts while it is still open for writing for a moment, and is refused when that never ends', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'troupe-busy-'));
    const program = join(directory, 'program');
    writeFileSync(program, '#!/bin/sh\nexit 3\n', { mode: 0o755 });
    const fd = openSync(program, 'r+');
    const refused = run([program]);
    await expect(refused).rejects.toMatchObject({ code: 'ETXTBSY' });
    const started = run([program]);
    // the first try is on its way, or was refused: the ones after it succeed
    closeSync(fd);
    expect((await started).exitCode).toBe(3);
    rmSync(directory, { recursive: true });
  });
});

describe('what a child gets', () => {
  test('S38: a child has descriptors 0, 1, 2 and the declared ones only', async () => {
    // not close-on-exec here: the child must not have them all the same
    const mine = [openSync('/etc/passwd', 'r'), openSync('/proc', 'r')];
    const pipe = makePipe();
    const result = await run(['/bin/ls', '-l', '/proc/self/fd'], {
      extraFds: [{ childFd: 5, fd: pipe.write }],
    });
    for (const fd of [...mine, pipe.read, pipe.write]) closeSync(fd);
    const links = text(result.stdout)
      .split('\n')
      .filter((line) => line.includes(' -> '))
      .map((line) => line.slice(line.lastIndexOf(' ', line.indexOf(' -> ') - 1) + 1));
    // ls itself opens the directory that it lists: the lowest free number
    expect(links.map((link) => link.replace(/\d+(?=\/fd$)|(?<=\[)\d+/u, 'N')).sort()).toEqual([
      '0 -> /dev/null',
      '1 -> pipe:[N]',
      '2 -> pipe:[N]',
      '3 -> /proc/N/fd',
      '5 -> pipe:[N]',
    ]);
  });

  test('S38: no signal is blocked, ignored or caught in a child, and it leads a session of its own', async () => {
    const result = await run(['/bin/cat', '/proc/self/status', '/proc/self/stat']);
    const status = text(result.stdout);
    for (const name of ['SigBlk', 'SigIgn', 'SigCgt'])
      expect(status).toMatch(new RegExp(`^${name}:\t0{16}$`, 'mu'));
    expect(status).toContain(`\n${result.pid} (cat) R ${process.pid} ${result.pid} ${result.pid} `);
  });

  test('S64: the environment is exactly as given, odd values included', async () => {
    const env = { A: '', 'B c': 'x=y', LINES: 'a\nb', Ü: 'ö' };
    const result = await run(['/bin/cat', '/proc/self/environ'], { env });
    expect(text(result.stdout)).toBe('A=\0B c=x=y\0LINES=a\nb\0Ü=ö\0');
    const none = await run(['/bin/cat', '/proc/self/environ']);
    expect(none.stdout).toHaveLength(0);
    expect(none.exitCode).toBe(0);
  });

  test('S64: names with = or empty and values with NUL are refused, nothing is started', async () => {
    for (const env of [{ 'A=B': 'x' }, { '': 'x' }, { A: 'a\0b' }]) {
      await expect(run(['/bin/true'], { env })).rejects.toThrow(/^start \/bin\/true: /u);
    }
    await expect(run(['/bin/echo', 'a\0b'])).rejects.toThrow(/NUL/u);
    await expect(run(['true'])).rejects.toThrow(/absolute/u);
  });

  test('the working directory is / unless one is named', async () => {
    expect(text((await run(['/bin/pwd'])).stdout)).toBe('/\n');
    expect(text((await run(['/bin/pwd'], { cwd: '/usr/bin' })).stdout)).toBe('/usr/bin\n');
    await expect(run(['/bin/pwd'], { cwd: '/does/not/exist' })).rejects.toThrow(/ENOENT/u);
  });

  test('descriptors that overlap their own targets arrive in their places', async () => {
    const [first, second] = [makePipe(), makePipe()];
    const extraFds = [
      { childFd: second.write, fd: first.write },
      { childFd: first.write, fd: second.write },
    ];
    const child = await spawnProcess({
      argv: [
        '/bin/sh',
        '-c',
        `echo one >/proc/self/fd/${second.write}; echo two >/proc/self/fd/${first.write}`,
      ],
      env: {},
      extraFds,
    });
    for (const pipe of [first, second]) closeSync(pipe.write);
    const got = await Promise.all([first, second].map(async (pipe) => text(await readAll(pipe.read))));
    expect(await child.exited).toEqual({ exitCode: 0, signal: null });
    expect(got).toEqual(['one\n', 'two\n']);
  });
});

describe('one run of a tool', () => {
  test('returns exit code, signal and both outputs, and takes stdin', async () => {
    const stdin = Buffer.alloc(3_000_000, 'x');
    const result = await sh('wc -c; echo oops >&2; exit 3', { stdin });
    expect(result).toMatchObject({ exitCode: 3, signal: null, truncated: false, timedOut: false });
    expect(text(result.stdout).trim()).toBe('3000000');
    expect(text(result.stderr)).toBe('oops\n');
    expect(await sh('kill -9 $$')).toMatchObject({ exitCode: null, signal: 9 });
  });

  test('fails for a binary that is missing, not executable, or a directory', async () => {
    await expect(run(['/does/not/exist'])).rejects.toMatchObject({
      code: 'ENOENT',
      fault: { subject: '/does/not/exist' },
    });
    await expect(run(['/etc/passwd'])).rejects.toMatchObject({ code: 'EACCES' });
    await expect(run(['/etc'])).rejects.toMatchObject({ code: 'EACCES' });
  });

  test('output over the cap is dropped, and the writer does not block on it', async () => {
    const result = await sh('head -c 5000000 /dev/zero; echo done >&2', { outputBytesMax: 1000 });
    expect(result).toMatchObject({ exitCode: 0, truncated: true });
    expect(result.stdout).toHaveLength(1000);
    expect(text(result.stderr)).toBe('done\n');
  });

  test('more output than a pipe holds is read while the program runs, and all of it is kept', async () => {
    const result = await sh('head -c 1000000 /dev/zero; head -c 300000 /dev/zero >&2; exit 4');
    expect(result).toMatchObject({ exitCode: 4, truncated: false });
    expect([result.stdout.length, result.stderr.length]).toEqual([1_000_000, 300_000]);
  });

  test('output that fills the pipe without blocking its writer is whole', async () => {
    const result = await sh('head -c 65536 /dev/zero; head -c 65535 /dev/zero >&2');
    expect(result).toMatchObject({ exitCode: 0, truncated: false });
    expect([result.stdout.length, result.stderr.length]).toEqual([65_536, 65_535]);
  });

  test('a grandchild that holds the pipe does not hold the run', async () => {
    let pid = 0;
    const result = await sh('sleep 1000 & echo out', { drainMs: 1, onSpawn: (spawned) => (pid = spawned) });
    expect(result).toMatchObject({ exitCode: 0, truncated: true });
    expect(text(result.stdout)).toBe('out\n');
    const left = await membersOfSession(pid);
    expect(left).toHaveLength(1);
    for (const member of left) process.kill(member, 'SIGKILL');
  });

  test('F50: a timeout kills the whole session, members of other process groups and TERM-ignorers included', async () => {
    let pid = 0;
    // set -m gives each background job a process group of its own
    const script = 'set -m; trap "" TERM; sleep 1000 & (trap "" TERM; sleep 1000; sleep 1000) & wait';
    const result = await sh(script, { timeoutMs: 300, onSpawn: (spawned) => (pid = spawned) });
    expect(result).toMatchObject({ timedOut: true, exitCode: null, signal: 9 });
    expect(await membersOfSession(pid)).toEqual([]);
    // reaped
    await untilTrue(() => processIdentity(pid) === undefined);
  });

  test('an abort kills the run and rejects with cancelled; one from before starts nothing', async () => {
    const abort = new AbortController();
    let pid = 0;
    const running = sh('sleep 1000 & wait', {
      signal: abort.signal,
      onSpawn: (spawned) => {
        pid = spawned;
        abort.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    expect(await membersOfSession(pid)).toEqual([]);
    const never = sh('true', { signal: abort.signal, onSpawn: () => expect.unreachable() });
    await expect(never).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
  });

  test('F44: a thousand short runs leave no zombie and no descriptor', async () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    await run(['/bin/true']);
    const before = open();
    for (let round = 0; round < 20; round += 1) {
      const results = await Promise.all(Array.from({ length: 50 }, () => run(['/bin/true'])));
      expect(results.every((result) => result.exitCode === 0)).toBe(true);
      shortRuns.happened(results.length);
    }
    // the last ones are reaped a moment after their end
    const isZombie = ({ parentPid, state }: ProcessStatus): boolean =>
      parentPid === process.pid && state === 'Z';
    while ((await listStatuses()).some(isZombie)) await loopTurn();
    expect(open()).toBe(before);
  });
});

describe('orphans', () => {
  test('F44: a daemon that is the reaper of its orphans leaves no zombie of them, and its own children keep their codes', async () => {
    const helper = new URL('./reaper.ts', import.meta.url).pathname;
    const result = await run([process.execPath, helper]);
    expect(text(result.stderr)).toBe('');
    const reported = JSON.parse(text(result.stdout)) as { readonly orphans: number };
    orphaned.happened(reported.orphans);
    expect(reported).toEqual({ orphans: 20, codes: [7, 7, 7] });
  });

  test('F44: one whose exit was delivered is reaped beside one that is kept', async () => {
    const result = await run([process.execPath, new URL('./orphan-beside.ts', import.meta.url).pathname]);
    expect(text(result.stderr)).toBe('');
    // the second is gone, and is not kept for the runtime that has not named its process
    expect(JSON.parse(text(result.stdout))).toEqual({ signal: 9, states: ['Z', null], left: [] });
  });
});

test('of an exec is the process that its runtime has left behind, not an older one and no other’s', async () => {
  const result = await run([process.execPath, new URL('./orphan-older.ts', import.meta.url).pathname]);
  expect(text(result.stderr)).toBe('');
  expect(JSON.parse(text(result.stdout))).toEqual({ older: false, nobodys: false, younger: true });
});

describe('S84 a process that refuses dumps', () => {
  // a core goes to the directory of who dies only where the machine says nothing else (core(5))
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim();
  const canObserve = !/[|/]/u.test(pattern);
  if (!canObserve) console.log(`skipped: cores go to ${pattern}`);

  unless(test, canObserve ? '' : `cores go to ${pattern}`).each([
    ['leave', 1],
    ['refuse', 0],
  ] as const)('%s: %i cores of one that dies of a signal', async (how, cores) => {
    const directory = mkdtempSync(join(tmpdir(), 'troupe-core-'));
    try {
      const helper = new URL('./dumped.ts', import.meta.url).pathname;
      const ended = await run(
        ['/bin/sh', '-c', 'ulimit -c unlimited; exec "$@"', 'sh', process.execPath, helper, how],
        { cwd: directory },
      );
      expect(ended.signal).not.toBeNull();
      expect(readdirSync(directory)).toHaveLength(cores);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('killing a tree', () => {
  let directory = '';
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-kill-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test('descendants in sessions of their own die with the root', async () => {
    const script = join(directory, 'tree.sh');
    writeFileSync(script, 'setsid sh -c "sleep 1000 & sleep 1000" &\necho ready\nwait\n');
    const child = await spawnProcess({
      argv: ['/bin/sh', script],
      env: { PATH: '/usr/bin:/bin' },
      stdout: 'pipe',
    });
    const { stdout } = child;
    if (stdout === undefined) throw new Error('no stdout');
    await new Promise<void>((resolve) => {
      stdout.start(() => resolve());
    });
    const tree = await untilTree(child.pid, 4);
    expect(await killTree(child.identity, clock)).toEqual([]);
    expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
    expect(tree.filter(processExists)).toEqual([]);
    stdout.destroy();
  });

  test('F50 a process whose first thread has ended still runs, and is killed', async () => {
    const program = new URL('./first-thread-ends.ts', import.meta.url).pathname;
    const child = await spawnProcess({ argv: [process.execPath, program], env: {} });
    await untilTrue(() => processStatus(child.pid)?.state === 'Z');
    expect(processExists(child.identity)).toBe(true);
    expect(await killTree(child.identity, clock)).toEqual([]);
    expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
  });

  test('F43: a root whose pid was reused is left alone', async () => {
    const child = await spawnProcess({ argv: ['/bin/sleep', '1000'], env: {} });
    const stale = { pid: child.pid, startTicks: child.identity.startTicks - 1 };
    expect(await killTree(stale, clock)).toEqual([]);
    expect(processExists(child.identity)).toBe(true);
    expect(await killTree(child.identity, clock)).toEqual([]);
    expect(await child.exited).toEqual({ exitCode: null, signal: 9 });
  });
});

/** `root` and its descendants, polled until there are `count`. */
async function untilTree(root: number, count: number): Promise<HostIdentity[]> {
  for (;;) {
    const stats = await listStatuses();
    const tree = new Set([root]);
    for (const pid of tree) for (const stat of stats) if (stat.parentPid === pid) tree.add(stat.pid);
    const members = [...tree].flatMap((pid) => processIdentity(pid) ?? []);
    if (members.length >= count) return members;
  }
}
