// Sockets of ours where the file system, or what an earlier start has left, is not what it usually is.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type * as FsPromises from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, onTestFinished, test, vi } from 'vitest';
import { silentLog } from '../../../../src/base/log.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { listenPrivately } from '../../../../src/host/io/private-socket.ts';
import type { PrivateSocket } from '../../../../src/host/io/private-socket.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

const linking = vi.hoisted(() => ({ refusal: '' }));
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof FsPromises>();
  const link: typeof real.link = (from, to) =>
    linking.refusal === ''
      ? real.link(from, to)
      : Promise.reject(Object.assign(new Error(linking.refusal), { code: linking.refusal }));
  return { ...real, link };
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-socket-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function listen(path: string): Promise<PrivateSocket> {
  const socket = await listenPrivately({
    path,
    clock: realClock(),
    log: silentLog,
    onConnection: (one) => one.destroy(),
  });
  onTestFinished(() => socket.close());
  return socket;
}

test('a directory that the kernel does not create ends the attempt with an error', async () => {
  await expect(listen('/proc/troupe-nowhere/s.sock')).rejects.toThrow(
    'create directory /proc/troupe-nowhere: ENOENT',
  );
});

test.each(['EPERM', 'EOPNOTSUPP', 'ENOSYS'])(
  'F90: the socket is made on a file system without hard links, too (%s)',
  async (code) => {
    const path = join(scratch(), 's.sock');
    linking.refusal = code;
    onTestFinished(() => void (linking.refusal = ''));
    await listen(path);
    expect([statSync(path).isSocket(), statSync(path).mode & 0o777]).toEqual([true, 0o600]);
    // a second one finds that somebody listens
    await expect(listen(path)).rejects.toThrow('another process is listening there');
  },
);

test('F89: leftovers of an earlier start in the private directory are deleted', async () => {
  const directory = scratch();
  const left = join(directory, '.s.sock');
  mkdirSync(left, { mode: 0o700 });
  mkdirSync(join(left, 's/below'), { recursive: true });
  writeFileSync(join(left, 'other'), '');
  await listen(join(directory, 's.sock'));
  expect(readdirSync(directory)).toEqual(['s.sock']);
});
