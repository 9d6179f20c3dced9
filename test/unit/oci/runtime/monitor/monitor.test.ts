import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ContainerId } from '../../../../../src/base/ids.ts';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import { hasWords, scanMarked } from '../../../../../src/host/process/marked-scan.ts';
import { processStat } from '../../../../../src/host/process/process-identity.ts';
import { createMonitorArgv, logPathOf, monitorEnv } from '../../../../../src/oci/runtime/monitor/conmon.ts';
import { exitFactOf, parseExitCode, readExitFile } from '../../../../../src/oci/runtime/monitor/exit-file.ts';
import {
  inodeIn,
  monitorIdentity,
  parsePid,
} from '../../../../../src/oci/runtime/monitor/monitor-process.ts';

const id = 'a'.repeat(64) as ContainerId;
const directory = mkdtempSync(join(tmpdir(), 'troupe-monitor-'));
afterAll(() => rmSync(directory, { recursive: true }));

const create = {
  monitorPath: '/usr/bin/conmon',
  runtimePath: '/usr/sbin/runc',
  runtimeArgs: ['--root=/r', '--log=/l'],
  id,
  bundleDir: '/b',
  pidFile: '/p',
  monitorPidFile: '/m',
  exitsDir: '/e',
  logPath: '/log/-c',
  tty: false,
  stdin: false,
  stdinOnce: false,
} as const;

describe('S65 the monitor’s argv', () => {
  it('is the same fixed form for every container', () => {
    expect(createMonitorArgv(create)).toEqual([
      '/usr/bin/conmon',
      '-b',
      '/b',
      '-c',
      id,
      '-u',
      id,
      '-n',
      id,
      '-r',
      '/usr/sbin/runc',
      '--runtime-arg',
      '--root=/r',
      '--runtime-arg',
      '--log=/l',
      '-P',
      '/m',
      '-p',
      '/p',
      '--exit-dir',
      '/e',
      '--full-attach',
      '--no-sync-log',
      '-l',
      'k8s-file:/log/-c',
    ]);
  });

  it('names no log file without a log, since a reopen would rename over it', () => {
    expect(createMonitorArgv({ ...create, logPath: '' }).slice(-2)).toEqual(['-l', 'none']);
  });

  it.each([
    [{ tty: true }, ['-t']],
    [{ stdin: true }, ['-i', '--leave-stdin-open']],
    [{ stdin: true, stdinOnce: true }, ['-i']],
    [{ stdinOnce: true }, []],
    [{ tty: true, stdin: true }, ['-t', '-i', '--leave-stdin-open']],
  ])('%o adds %o', (request, words) => {
    const argv = createMonitorArgv({ ...create, ...request });
    expect(argv.slice(argv.indexOf('k8s-file:/log/-c') + 1)).toEqual(words);
  });

  it('has the runtime’s restore in place of its create, with its options', () => {
    const argv = createMonitorArgv({
      ...create,
      restore: { images: '/r/checkpoint', options: ['--file-locks', '--lsm-profile=selinux:a'] },
    });
    expect(argv.slice(createMonitorArgv(create).length)).toEqual([
      '--restore',
      '/r/checkpoint',
      '--runtime-opt',
      '--file-locks',
      '--runtime-opt',
      '--lsm-profile=selinux:a',
    ]);
  });

  it('uses systemd only when configured', () => {
    expect(createMonitorArgv(create)).not.toContain('-s');
  });

  it('has its log', () => {
    expect(logPathOf(createMonitorArgv(create))).toBe('/log/-c');
    expect(logPathOf(createMonitorArgv({ ...create, logPath: '' }))).toBe('');
    expect(logPathOf([])).toBe('');
  });

  it('S64 has an environment of four names at most', () => {
    const always = { PATH: '/bin', _OCI_SYNCPIPE: '3', LC_CTYPE: 'C.UTF-8' };
    expect(monitorEnv('/bin', true)).toEqual({ ...always, _OCI_STARTPIPE: '4' });
    expect(monitorEnv('/bin', false)).toEqual(always);
  });
});

describe('F40 the exit file', () => {
  it.each([
    ['0', 0],
    ['137\n', 137],
    ['255', 255],
    ['7', 7],
  ])('%j is %d', (text, code) => {
    expect(parseExitCode(text)).toBe(code);
  });

  it.each(['', '-1', '256', '1e2', '0x10', '1 2', 'abc', '99999999999'])('%j is not an exit code', (text) => {
    expect(parseExitCode(text)).toBeUndefined();
  });

  it('absent gives no fact', async () => {
    expect(await readExitFile(join(directory, 'absent'), realClock())).toBeUndefined();
  });

  it('gives code and mtime', async () => {
    const path = join(directory, 'good');
    writeFileSync(path, '42');
    utimesSync(path, 1_700_000_000, 1_700_000_000.5);
    expect(await readExitFile(path, realClock())).toEqual({
      exitCode: 42,
      finishedAtNs: 1_700_000_000_500_000_000n,
      problem: '',
    });
  });

  it('empty or invalid gives 255 with the reason', async () => {
    writeFileSync(join(directory, 'empty'), '');
    writeFileSync(join(directory, 'bad'), 'x'.repeat(1000));
    expect(await readExitFile(join(directory, 'empty'), realClock())).toMatchObject({
      exitCode: 255,
      problem: 'the exit file is empty',
    });
    const bad = await readExitFile(join(directory, 'bad'), realClock());
    expect(bad?.exitCode).toBe(255);
    expect(bad?.problem).toBe(`invalid exit file: "${'x'.repeat(32)}"`);
  });

  it('a link, a directory and a FIFO are neither followed nor waited for', async () => {
    writeFileSync(join(directory, 'target'), '3');
    symlinkSync(join(directory, 'target'), join(directory, 'link'));
    mkdirSync(join(directory, 'sub'));
    execFileSync('mkfifo', [join(directory, 'fifo')]);
    for (const name of ['link', 'sub', 'fifo']) {
      expect(await readExitFile(join(directory, name), realClock()), name).toMatchObject({ exitCode: 255 });
    }
  });

  it('F47 an OOM kill is reported only with 137 and the kernel’s count', () => {
    const file = { exitCode: 137, finishedAtNs: 5n, problem: '' };
    expect(exitFactOf(file, 1)).toMatchObject({ oomKilled: true, reason: 'OOMKilled', exitCode: 137 });
    expect(exitFactOf(file, 0)).toMatchObject({ oomKilled: false, reason: 'Error' });
    expect(exitFactOf({ ...file, exitCode: 1 }, 3)).toMatchObject({ oomKilled: false, reason: 'Error' });
    expect(exitFactOf({ ...file, exitCode: 0 }, 3)).toMatchObject({ oomKilled: false, reason: 'Completed' });
    expect(exitFactOf({ exitCode: 255, finishedAtNs: 5n, problem: 'empty' }, 3)).toEqual({
      exitCode: 255,
      finishedAtNs: 5n,
      oomKilled: false,
      reason: 'Unknown',
      message: 'empty',
      observedBy: 'exitFile',
    });
  });
});

describe('F43 the monitor by its pid file', () => {
  it.each([
    ['123\n', 123],
    ['2', 2],
  ])('%j is a pid', (text, pid) => expect(parsePid(text)).toBe(pid));
  it.each(['', '0', '1', '-5', '12x', '99999999', '1.5'])('%j is not a pid', (text) =>
    expect(parsePid(text)).toBeUndefined(),
  );

  it('belongs to a container when id and state root are both in its argv', () => {
    const marks = [id, '--root=/r'];
    expect(hasWords(createMonitorArgv(create), marks)).toBe(true);
    expect(hasWords(createMonitorArgv({ ...create, runtimeArgs: ['--root=/other'] }), marks)).toBe(false);
    expect(hasWords(['vim', id], marks)).toBe(false);
    expect(hasWords([], marks)).toBe(false);
  });

  it('is not an unrelated process with a reused pid', async () => {
    const pidFile = join(directory, 'conmon.pid');
    writeFileSync(pidFile, String(process.pid));
    expect(await monitorIdentity(pidFile, { id, rootArg: '--root=/r' }, realClock())).toBeUndefined();
    expect(
      await monitorIdentity(join(directory, 'absent.pid'), { id, rootArg: '--root=/r' }, realClock()),
    ).toBeUndefined();
  });
});

describe('the number of an open file', () => {
  it.each([
    ['pos:\t0\nflags:\t02102001\nmnt_id:\t30\nino:\t8413206\n', '8413206'],
    // before Linux 5.14
    ['pos:\t0\nflags:\t02102001\nmnt_id:\t30\n', ''],
  ])('of %j is %j', (fdinfo, inode) => {
    expect(inodeIn(fdinfo)).toBe(inode);
  });
});

it('F33: a scan in which a process ended before it was read is incomplete', async () => {
  const child = spawn('true');
  const ended = new Promise((resolve) => void child.once('exit', resolve));
  // no turn of the event loop in between, which would reap it
  while (processStat(child.pid ?? 0)?.state !== 'Z');
  const { found, isWhole, zombies } = scanMarked({ kind: 'marked', words: [id, '--root=/none'], known: [] });
  expect([found, isWhole]).toEqual([[], false]);
  expect(zombies).toContain(child.pid);
  await ended;
});
