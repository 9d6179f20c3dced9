// F90: what becomes of the socket's file while the server runs. S69: who connects.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { socketLimits } from '../../../src/host/bounds.ts';
import type { Log } from '../../../src/base/log.ts';
import { silentLog } from '../../../src/base/log.ts';
import { nameOtherUsers } from '../../../src/daemon/wiring/cri-socket.ts';
import type { SocketPeer } from '../../../src/host/io/socket-peer.ts';
import { peerOf } from '../../../src/host/io/socket-peer.ts';
import { injects } from '../../support/faults/injects.ts';
import type { HandTimers } from '../../support/hand-clock.ts';
import { clientOn, scratchDirectory, serve, version } from './harness.ts';

const removedFile = injects('F90', 'the file of the CRI socket is removed while it is served');
const otherFile = injects('F90', 'another file, a stale socket among them, in the place of the CRI socket');
const otherDaemon = injects('F90', 'another process listens in the place of the CRI socket');

const methods = { [version]: (request: Uint8Array): Promise<Uint8Array> => Promise.resolve(request) };

/** One check of the file: over when the next one is set. */
async function check(clock: HandTimers): Promise<void> {
  clock.fire(socketLimits.scanMs);
  while (![...clock.timers.values()].some(({ ms }) => ms === socketLimits.scanMs)) await turn();
}

function logged(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const note = (_fields: object, message: string): void => void lines.push(message);
  return { log: { ...silentLog, warn: note, error: note }, lines };
}

/** A new client: one that is connected goes on whatever becomes of the file. */
const served = async (path: string): Promise<number> => (await clientOn(path).unary(version)).code;

async function listenerOfAnother(path: string): Promise<void> {
  // in another process, which says when it listens
  const child = spawn(
    process.execPath,
    ['-e', `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('ready'))`],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  onTestFinished(() => void child.kill());
  await new Promise((resolve) => child.stdout.once('data', resolve));
}

describe('the file of the socket', () => {
  test('F90 a removed socket file is back at the next check, within 5 s, with mode 0600; connected clients are served on', async () => {
    expect(socketLimits.scanMs).toBeLessThan(5000 - 1000);
    const { log, lines } = logged();
    const { clock, client, socketPath } = await serve(methods, { log });
    await client.unary(version);
    for (let round = 0; round < 2; round += 1) {
      unlinkSync(socketPath);
      removedFile.happened();
      await check(clock);
      expect(await served(socketPath)).toBe(status.OK);
      expect(statSync(socketPath).mode & 0o7777).toBe(0o600);
    }
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
    expect(lines.filter((line) => line.includes('created again')).length).toBe(2);
  });

  test('F90 a directory removed with its socket file is made again, too', async () => {
    const path = join(scratchDirectory(), 'run', 'cri.sock');
    const { clock } = await serve(methods, { socketPath: path });
    rmSync(dirname(path), { recursive: true });
    removedFile.happened();
    await check(clock);
    expect(await served(path)).toBe(status.OK);
    expect(statSync(dirname(path)).mode & 0o7777).toBe(0o700);
  });

  test('F90 a stale socket in its place is replaced', async () => {
    const { clock, socketPath } = await serve(methods);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(`${socketPath}.old`, resolve));
    renameSync(`${socketPath}.old`, socketPath);
    await new Promise((resolve) => other.close(resolve));
    otherFile.happened();
    await check(clock);
    expect(await served(socketPath)).toBe(status.OK);
  });

  test('F90 another daemon’s socket in its place is logged once with the pid, and stays, also when we end', async () => {
    const taken: SocketPeer[] = [];
    const { log, lines } = logged();
    const { clock, server, socketPath } = await serve(methods, {
      log,
      onTaken: (listener) => taken.push(listener),
    });
    unlinkSync(socketPath);
    await listenerOfAnother(socketPath);
    otherDaemon.happened();
    const { ino } = lstatSync(socketPath);
    for (let round = 0; round < 3; round += 1) await check(clock);
    expect(taken).toEqual([{ pid: expect.any(Number) as number, uid: 0, gid: 0 }]);
    expect(taken[0]?.pid).not.toBe(process.pid);
    expect(lines).toEqual([`listen on ${socketPath}: another process is listening there now`]);
    await server.close();
    expect(lstatSync(socketPath).ino).toBe(ino);
  });

  test('F90 another kind of file in its place stays and is logged once; the socket is back when that is gone', async () => {
    const { log, lines } = logged();
    const { clock, socketPath } = await serve(methods, { log });
    for (const make of [
      () => writeFileSync(socketPath, 'a file'),
      () => mkdirSync(socketPath),
      () => symlinkSync('/nowhere/at/all', socketPath),
    ]) {
      rmSync(socketPath, { recursive: true, force: true });
      make();
      otherFile.happened();
      for (let round = 0; round < 2; round += 1) await check(clock);
      expect(lstatSync(socketPath).isSocket()).toBe(false);
    }
    expect(lines).toEqual([`listen on ${socketPath}: replaced by a file that is not a socket`]);
    rmSync(socketPath);
    await check(clock);
    expect(await served(socketPath)).toBe(status.OK);
  });

  test('a changed mode, or a link to where it was moved, counts as present', async () => {
    const { log, lines } = logged();
    const taken: SocketPeer[] = [];
    const { clock, server, socketPath } = await serve(methods, {
      log,
      onTaken: (listener) => taken.push(listener),
    });
    chmodSync(socketPath, 0o660);
    await check(clock);
    expect(statSync(socketPath).mode & 0o7777).toBe(0o660);
    renameSync(socketPath, `${socketPath}.moved`);
    symlinkSync(`${socketPath}.moved`, socketPath);
    await check(clock);
    expect(await served(socketPath)).toBe(status.OK);
    expect([lines, taken]).toEqual([[], []]);
    await server.close();
    expect(existsSync(socketPath)).toBe(false);
  });

  test('a closed server does not restore its socket file', async () => {
    const { clock, server, socketPath } = await serve(methods);
    unlinkSync(socketPath);
    clock.fire(socketLimits.scanMs);
    await server.close();
    expect(existsSync(socketPath)).toBe(false);
    expect([...clock.timers.values()].some(({ ms }) => ms === socketLimits.scanMs)).toBe(false);
  });
});

test('S69 S94 who connects as another user than root is logged once, by the kernel’s credentials', async () => {
  const directory = scratchDirectory();
  chmodSync(directory, 0o755);
  const { log, lines } = logged();
  const name = nameOtherUsers(log, 0);
  const path = join(directory, 's');
  const peers: (SocketPeer | undefined)[] = [];
  const listener = createServer((socket) => {
    peers.push(peerOf(socket));
    name(socket);
    socket.end();
  });
  onTestFinished(() => void listener.close());
  await new Promise<void>((resolve) => listener.listen(path, resolve));
  chmodSync(path, 0o666);
  // by its directory, since only root may be able to pass through those above it
  const script = (id: number): string =>
    `process.setegid(${id}); process.seteuid(${id}); require('node:net').connect('s').resume()`;
  for (const uid of [0, 65_534, 65_534, 65_533]) {
    const child = spawn(process.execPath, ['-e', script(uid)], { stdio: 'inherit', cwd: directory });
    await new Promise((resolve) => child.once('exit', resolve));
    expect(peers.at(-1)).toEqual({ pid: child.pid, uid, gid: uid });
  }
  expect(lines).toEqual(
    [65_534, 65_533].map((uid) => `uid ${uid} uses the CRI socket: access to it is root access to this node`),
  );
});
