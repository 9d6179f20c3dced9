// A socket that somebody else has bound: systemd, or the daemon before. Which descriptors are used, and what stays.
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../../src/base/log.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { AF_INET, AF_UNIX } from '../../../../src/host/ffi/constants.ts';
import { closeFd, makeSocketPair } from '../../../../src/host/io/descriptors.ts';
import { duplicateOf, whyNotListening, whyNotListeningAt } from '../../../../src/host/io/listening.ts';
import { listenPrivately } from '../../../../src/host/io/private-socket.ts';
import type { PrivateSocket } from '../../../../src/host/io/private-socket.ts';

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-given-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

interface Named {
  readonly path: string;
  readonly name: string;
  readonly given?: readonly number[];
  readonly isKept?: boolean;
  readonly log?: string[];
}

/** Answers each connection with its name. */
async function listen({ path, name, given = [], isKept = false, log = [] }: Named): Promise<PrivateSocket> {
  const socket = await listenPrivately({
    path,
    clock: realClock(),
    log: { ...silentLog, warn: (fields, message) => void log.push(`${message} ${JSON.stringify(fields)}`) },
    given,
    isKept: () => isKept,
    onConnection: (one) => one.end(name),
  });
  onTestFinished(() => socket.close());
  return socket;
}

function listening(at: string | number): Promise<Server> {
  const server = createServer((socket) => socket.end('other'));
  onTestFinished(() => void server.close());
  return new Promise((resolve) => {
    if (typeof at === 'string') server.listen(at, () => resolve(server));
    else server.listen(at, '127.0.0.1', () => resolve(server));
  });
}

/** What the listener at the path answers: the name, or the error's code. */
function ask(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let said = '';
    socket.on('data', (bytes: Buffer) => (said += bytes.toString()));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on('end', () => resolve(said));
  });
}

function linkOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // that of the directory being read
    return undefined;
  }
}

test('a connect between release and adoption waits, and the next listener answers it', async () => {
  const path = join(scratch(), 's.sock');
  const first = await listen({ path, name: 'first' });
  const fd = first.duplicate();
  const before = statSync(path);
  expect(await ask(path)).toBe('first');
  await first.release();
  const waiting = ask(path);
  const second = await listen({ path, name: 'second', given: [fd] });
  expect(await waiting).toBe('second');
  // the file is the same, so that a daemon that still watches it notices nothing
  expect([statSync(path).ino, statSync(path).ctimeMs]).toEqual([before.ino, before.ctimeMs]);
  await first.close();
  expect(await ask(path)).toBe('second');
  await second.close();
  expect(existsSync(path)).toBe(false);
});

test('a socket that somebody else keeps leaves its file when it is closed', async () => {
  const path = join(scratch(), 's.sock');
  const socket = await listen({ path, name: 'first', isKept: true });
  const fd = socket.duplicate();
  await socket.close();
  expect(() => socket.duplicate()).toThrow('closed');
  expect(whyNotListeningAt(fd, path)).toBeUndefined();
  closeFd(fd);
  expect(await ask(path)).toBe('ECONNREFUSED');
});

test('the first descriptor that fits is used, others are closed with a reason', async () => {
  const directory = scratch();
  const path = join(directory, 's.sock');
  const elsewhere = await listening(join(directory, 'elsewhere'));
  const server = await listening(path);
  const file = openSync(join(directory, 'file'), 'w');
  const given = [file, duplicateOf(elsewhere), duplicateOf(server), duplicateOf(server)];
  const files = given.slice(0, 3).map((fd) => linkOf(String(fd)));
  server.close();
  // Node removes the file that it has bound
  expect(existsSync(path)).toBe(false);
  const log: string[] = [];
  await listen({ path, name: 'bound', given, log });
  expect(await ask(path)).toBe('bound');
  expect(log.map((line) => /"reason":"([^"]*)"/u.exec(line)?.[1]?.replaceAll(directory, ''))).toEqual([
    'not a socket',
    '/s.sock does not exist',
    '/s.sock does not exist',
    '/s.sock does not exist',
  ]);
  // their numbers may be in use again by now
  const still = readdirSync('/proc/self/fd').map((fd) => linkOf(fd));
  expect(files.filter((file) => still.includes(file))).toEqual([files[1]]);
});

test('the same socket twice, as of a socket unit and of the store of descriptors, is no reason for a warning', async () => {
  const path = join(scratch(), 's.sock');
  const first = await listen({ path, name: 'first' });
  const given = [first.duplicate(), first.duplicate()];
  const file = linkOf(String(given[0]));
  await first.release();
  const log: string[] = [];
  await listen({ path, name: 'second', given, log });
  expect(await ask(path)).toBe('second');
  expect(log).toEqual([]);
  expect(readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === file)).toHaveLength(1);
});

test('S69: a given socket that is open to others is closed to them', async () => {
  const path = join(scratch(), 's.sock');
  const server = await listening(path);
  chmodSync(path, 0o666);
  const log: string[] = [];
  await listen({ path, name: 'ours', given: [duplicateOf(server)], log });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(log).toEqual([`socket ${path} was open to others: closed to them {"mode":"666"}`]);
});

test('what is not a listening stream socket of the family is named', async () => {
  const { ours, theirs } = makeSocketPair();
  const file = openSync('/dev/null', 'r');
  const tcp = duplicateOf(await listening(0));
  expect([
    whyNotListening(file, [AF_UNIX]),
    whyNotListening(ours, [AF_UNIX]),
    whyNotListening(tcp, [AF_UNIX]),
    whyNotListening(tcp, [AF_INET]),
    whyNotListening(1_000_000, [AF_INET]),
  ]).toEqual(['not a socket', 'does not listen', 'a socket of address family 2', undefined, 'not a socket']);
  for (const fd of [ours, theirs, file, tcp]) closeFd(fd);
});
