/** The pause program: executed for real as PID 1, by unshare and by runc. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { pauseElf } from '../../../src/oci/runtime/pause-process/elf.ts';
import { SANDBOX_ID, sandbox } from '../../unit/oci/runtime/spec/fixtures.ts';
import { fx, makeMachine, statusOf, whyNot } from './machine.ts';
import { staticBusybox } from '../../support/tools/debian.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNot();
if (reason !== undefined) process.stdout.write(`skipped, the pause program: ${reason}\n`);

/** The host's pids of the children of a process. */
function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter((text) => text !== '')
    .map(Number);
}

/**
 * Returns once `found` gives a value; the test's time limit, which aborts the signal, ends a wait for what never comes.
 */
async function until<T>(signal: AbortSignal, found: () => T | undefined): Promise<T> {
  for (;;) {
    const value = found();
    if (value !== undefined) return value;
    signal.throwIfAborted();
    await nextTurn();
  }
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => child.once('close', () => resolve()));

/**
 * Makes an orphan in the namespace, lets it end when it has become a child of PID 1, and waits until nothing is left of
 * it.
 */
async function orphanIsReaped(pause: number, dir: string, signal: AbortSignal): Promise<boolean> {
  const fifo = join(dir, 'release');
  rmSync(fifo, { force: true });
  spawnSync('mkfifo', [fifo]);
  // the outer shell ends at once, the inner one waits for the FIFO
  const script = `${staticBusybox()} sh -c 'read line < ${fifo}' & exit 0`;
  const made = spawnSync('nsenter', ['-t', String(pause), '-p', staticBusybox(), 'sh', '-c', script], {
    stdio: 'ignore',
  });
  expect(made.status).toBe(0);
  const orphan = await until(signal, () => childrenOf(pause)[0]);
  expect(statusOf(readFileSync(`/proc/${orphan}/status`, 'utf8')).get('PPid')).toBe(String(pause));
  await writeFile(fifo, 'go\n');
  // a zombie would stay in the list for ever
  await until(signal, () => (childrenOf(pause).length === 0 ? true : undefined));
  return !existsSync(`/proc/${orphan}`);
}

unless(describe, reason)('the pause program as PID 1', () => {
  test('reaps orphans, runs on, ignores SIGTERM from inside, and ends by SIGKILL', async ({ signal }) => {
    const dir = mkdtempSync(join(tmpdir(), 'troupe-pause-'));
    const path = join(dir, 'pause');
    writeFileSync(path, pauseElf(process.arch === 'arm64' ? 'arm64' : 'x64'), { mode: 0o755 });
    const unshare = spawn('unshare', ['--pid', '--fork', path], { stdio: 'ignore' });
    const closed = ended(unshare);
    try {
      const pause = await until(signal, () => childrenOf(unshare.pid ?? 0)[0]);
      await until(signal, () =>
        readFileSync(`/proc/${pause}/comm`, 'utf8') === 'pause\n' ? true : undefined,
      );
      // bit 16 is SIGCHLD
      await until(signal, () =>
        (BigInt(`0x${statusOf(readFileSync(`/proc/${pause}/status`, 'utf8')).get('SigIgn')}`) >> 16n) & 1n
          ? true
          : undefined,
      );
      expect(await orphanIsReaped(pause, dir, signal)).toBe(true);
      expect(await orphanIsReaped(pause, dir, signal)).toBe(true);
      const inside = spawnSync('nsenter', ['-t', String(pause), '-p', staticBusybox(), 'kill', '-TERM', '1']);
      expect(inside.status).toBe(0);
      expect(await orphanIsReaped(pause, dir, signal)).toBe(true);
      expect(statusOf(readFileSync(`/proc/${pause}/status`, 'utf8')).get('State')).toBe('S (sleeping)');
      process.kill(pause, 'SIGKILL');
      await closed;
      expect(existsSync(`/proc/${pause}`)).toBe(false);
    } finally {
      for (const pid of unshare.exitCode === null && unshare.signalCode === null
        ? childrenOf(unshare.pid ?? 0)
        : [])
        process.kill(pid, 'SIGKILL');
      await closed;
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

unless(describe, reason)('the pause container under runc', () => {
  test('runs as 65535 without capabilities under a seccomp filter, on a read-only root with nothing but itself', async ({
    signal,
  }) => {
    const machine = await makeMachine();
    const { layout } = machine;
    const pod = {
      ...sandbox,
      cgroupParent: machine.cgroupParent,
      namespaces: { network: 'node', ipc: 'node', pid: 'pod', targetId: undefined },
    } as const;
    try {
      await machine.writer.writePauseBundle({ id: SANDBOX_ID, sandbox: pod }, fx);
      await machine.writer.writePauseBundle({ id: SANDBOX_ID, sandbox: pod }, fx);
      const argv = [
        '--root',
        layout.runtimeRoot('runc'),
        'run',
        '--detach',
        '--bundle',
        layout.pauseBundleDir(SANDBOX_ID),
      ];
      // no pipes: the pause process would hold them
      const ran = spawnSync('runc', [...argv, '--pid-file', layout.pausePidFile(SANDBOX_ID), SANDBOX_ID], {
        stdio: 'ignore',
      });
      expect(ran.status).toBe(0);
      const pause = Number(readFileSync(layout.pausePidFile(SANDBOX_ID), 'utf8'));
      await until(signal, () =>
        readFileSync(`/proc/${pause}/comm`, 'utf8') === 'pause\n' ? true : undefined,
      );
      const status = statusOf(readFileSync(`/proc/${pause}/status`, 'utf8'));
      for (const set of ['CapBnd', 'CapEff', 'CapPrm', 'CapInh', 'CapAmb'])
        expect(status.get(set)).toBe('0000000000000000');
      expect(status.get('Uid')).toBe('65535\t65535\t65535\t65535');
      expect(status.get('NoNewPrivs')).toBe('1');
      expect(status.get('Seccomp')).toBe('2');
      expect(status.get('NSpid')?.split('\t').at(-1)).toBe('1');
      expect(readdirSync(layout.pauseRootfs).sort()).toEqual(['dev', 'pause', 'proc']);
      expect(readdirSync(join(layout.pauseRootfs, 'dev'))).toEqual([]);
      expect(statSync(join(layout.pauseRootfs, 'pause')).mode & 0o777).toBe(0o555);
      expect(readFileSync(`/proc/${pause}/cgroup`, 'utf8')).toContain(
        `${machine.cgroupParent}/troupe-sandbox-${SANDBOX_ID}/pause`,
      );
      expect(await orphanIsReaped(pause, machine.dir, signal)).toBe(true);
    } finally {
      spawnSync('runc', ['--root', layout.runtimeRoot('runc'), 'delete', '--force', SANDBOX_ID]);
      machine.remove();
    }
  });
});
