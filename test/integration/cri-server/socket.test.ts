import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import type { Server } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hostLimits } from '../../../src/host/bounds.ts';
import { scratchDirectory, serve, version } from './harness.ts';

function listening(path: string): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    onTestFinished(() => void server.close());
    server.listen(path, () => resolve(server));
  });
}

/** A socket file on which nobody listens, as a killed process leaves it. */
async function staleSocket(path: string): Promise<void> {
  const server = await listening(`${path}.old`);
  renameSync(`${path}.old`, path);
  await new Promise((resolve) => server.close(resolve));
  expect(lstatSync(path).isSocket()).toBe(true);
}

const methods = { [version]: (request: Uint8Array): Promise<Uint8Array> => Promise.resolve(request) };

describe('the socket file', () => {
  test('S69 it has mode 0600 whatever the umask, its new directory has 0700, and nothing else is left there', async () => {
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    const directory = join(scratchDirectory(), 'run', 'troupe');
    const { socketPath } = await serve(methods, { socketPath: join(directory, 'troupe.sock') });
    expect(statSync(socketPath).mode & 0o7777).toBe(0o600);
    expect(statSync(directory).mode & 0o7777).toBe(0o700);
    expect(readdirSync(directory)).toEqual(['troupe.sock']);
  });

  test('the mode of an existing directory stays', async () => {
    const directory = join(scratchDirectory(), 'run');
    mkdirSync(directory, { mode: 0o755 });
    await serve(methods, { socketPath: join(directory, 'troupe.sock') });
    expect(statSync(directory).mode & 0o7777).toBe(0o755);
  });

  test('F82 a stale socket is replaced', async () => {
    const socketPath = join(scratchDirectory(), 's.sock');
    await staleSocket(socketPath);
    const { client } = await serve(methods, { socketPath });
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });

  test('F82 a socket with a listener is refused and stays', async () => {
    const { socketPath, client } = await serve(methods);
    await expect(serve(methods, { socketPath })).rejects.toMatchObject({
      fault: {
        kind: 'conflict',
        message: `listen on ${socketPath}: another process is listening there`,
        subject: socketPath,
      },
    });
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
  });

  test('a file, a directory, and a symbolic link to a stale socket are refused and stay', async () => {
    const directory = scratchDirectory();
    writeFileSync(join(directory, 'file'), 'kept');
    mkdirSync(join(directory, 'directory'));
    await staleSocket(join(directory, 'stale'));
    symlinkSync('stale', join(directory, 'link'));
    for (const name of ['file', 'directory', 'link']) {
      await expect(serve(methods, { socketPath: join(directory, name) })).rejects.toMatchObject({
        fault: { kind: 'conflict' },
      });
    }
    expect(readdirSync(directory).sort()).toEqual(['directory', 'file', 'link', 'stale']);
  });

  test('leftovers of a start that was killed half-way are deleted', async () => {
    const directory = scratchDirectory();
    mkdirSync(join(directory, '.troupe.sock'), { mode: 0o700 });
    await staleSocket(join(directory, '.troupe.sock', 's'));
    await serve(methods, { socketPath: join(directory, 'troupe.sock') });
    expect(readdirSync(directory)).toEqual(['troupe.sock']);
  });

  test('another user’s directory in its place is refused', async () => {
    const directory = scratchDirectory();
    mkdirSync(join(directory, '.troupe.sock'), { mode: 0o755 });
    await expect(serve(methods, { socketPath: join(directory, 'troupe.sock') })).rejects.toMatchObject({
      fault: { kind: 'conflict' },
    });
    expect(readdirSync(directory)).toEqual(['.troupe.sock']);
  });

  test('a relative or too long path is refused by name', async () => {
    await expect(serve(methods, { socketPath: 'run/troupe.sock' })).rejects.toMatchObject({
      fault: { kind: 'invalidRequest' },
    });
    const directory = scratchDirectory();
    const longest = join(directory, 'x'.repeat(hostLimits.privateSocketPathBytes - directory.length - 1));
    const { client } = await serve(methods, { socketPath: longest });
    expect(await client.unary(version)).toMatchObject({ code: status.OK });
    await expect(serve(methods, { socketPath: `${longest}x` })).rejects.toMatchObject({
      fault: { kind: 'invalidRequest' },
    });
  });

  test('close removes the file unless it was replaced', async () => {
    const first = await serve(methods);
    await first.server.close();
    expect(existsSync(first.socketPath)).toBe(false);
    const second = await serve(methods);
    rmSync(second.socketPath);
    const third = await serve(methods, { socketPath: second.socketPath });
    await second.server.close();
    expect(await third.client.unary(version)).toMatchObject({ code: status.OK });
  });
});
