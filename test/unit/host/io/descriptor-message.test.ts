// Descriptors over Unix sockets: what the peer gets, and what is refused.
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { errnoName } from '../../../../src/host/ffi/errno.ts';
import { DescriptorChannel } from '../../../../src/host/io/descriptor-channel.ts';
import { receiveMessage, sendMessage } from '../../../../src/host/io/descriptor-message.ts';
import { closeFd, makePipe, makeSocketPair } from '../../../../src/host/io/descriptors.ts';

const text = (value: string): Buffer => Buffer.from(value);
const same = (one: number, other: number): boolean => fstatSync(one).ino === fstatSync(other).ino;
const flagsOf = (fd: number): number => {
  const [, octal = '0'] = /^flags:\s*(\d+)$/mu.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? [];
  return Number.parseInt(octal, 8);
};
const openFds = (): number => readdirSync('/proc/self/fd').length;

function channels(): [DescriptorChannel, DescriptorChannel] {
  const { ours, theirs } = makeSocketPair();
  const pair: [DescriptorChannel, DescriptorChannel] = [
    new DescriptorChannel(ours, 'one'),
    new DescriptorChannel(theirs, 'other'),
  ];
  onTestFinished(() => pair.forEach((channel) => channel.close()));
  return pair;
}

test('S38: a received descriptor is the same file, and close-on-exec', () => {
  const { ours, theirs } = makeSocketPair();
  const { read, write } = makePipe();
  expect(sendMessage(ours, { bytes: text('x'), fds: [read, write] }).result).toBe(1);
  const { bytes, fds, errno, isCut } = receiveMessage(theirs);
  expect([bytes.toString(), fds.length, errno, isCut]).toEqual(['x', 2, 0, false]);
  expect([same(fds[0] ?? -1, read), same(fds[1] ?? -1, write)]).toEqual([true, true]);
  // O_CLOEXEC of fdinfo(5)
  for (const fd of fds) expect(flagsOf(fd) & 0o2000000).toBe(0o2000000);
  for (const fd of [...fds, read, write, ours, theirs]) closeFd(fd);
});

test('nothing to receive is EAGAIN at once', () => {
  const { ours, theirs } = makeSocketPair();
  expect(errnoName(receiveMessage(ours).errno)).toBe('EAGAIN');
  for (const fd of [ours, theirs]) closeFd(fd);
});

test('frames keep their order, bytes and descriptors in both directions', async () => {
  const [one, other] = channels();
  const file = openSync('/dev/null', 'r');
  onTestFinished(() => closeSync(file));
  const long = Buffer.alloc(1024 * 1024, 7);
  const sent = Promise.all([
    one.send(text('first'), [file]),
    one.send(long, [file, file]),
    one.send(text('last')),
  ]);
  const frames = [await other.receive(), await other.receive(), await other.receive()];
  await sent;
  expect(frames.map((frame) => frame?.fds.length)).toEqual([1, 2, 0]);
  expect([frames[0]?.bytes.toString(), frames[2]?.bytes.toString()]).toEqual(['first', 'last']);
  expect(frames[1]?.bytes.equals(long)).toBe(true);
  for (const fd of frames.flatMap((frame) => frame?.fds ?? [])) closeFd(fd);
  await other.send(text('answer'));
  expect((await one.receive())?.bytes.toString()).toBe('answer');
  other.close();
  expect(await one.receive()).toBeUndefined();
});

test('a frame beyond the bounds, or cut by its sender’s end, ends the channel', async () => {
  const { ours, theirs } = makeSocketPair();
  const channel = new DescriptorChannel(theirs, 'sender');
  const header = Buffer.alloc(8);
  header.writeUInt32LE(hostLimits.messageFrameBytes + 1, 0);
  sendMessage(ours, { bytes: header });
  await expect(channel.receive()).rejects.toThrow('receive from sender: a frame of');
  closeFd(ours);

  const { ours: sender, theirs: receiver } = makeSocketPair();
  const other = new DescriptorChannel(receiver, 'sender');
  header.writeUInt32LE(9, 0);
  sendMessage(sender, { bytes: header });
  closeFd(sender);
  await expect(other.receive()).rejects.toThrow('receive from sender: ended within a frame');
});

test('descriptors that nobody has taken are closed with the channel', async () => {
  const before = openFds();
  const { ours, theirs } = makeSocketPair();
  const channel = new DescriptorChannel(theirs, 'sender');
  const { read, write } = makePipe();
  // a header that announces fewer than come
  const header = Buffer.alloc(8);
  header.writeUInt32LE(1, 0);
  sendMessage(ours, { bytes: header, fds: [read, write] });
  const waiting = channel.receive();
  for (const fd of [read, write, ours]) closeFd(fd);
  await expect(waiting).rejects.toThrow('ended within a frame');
  // its poll closes one turn later
  await expect.poll(openFds).toBe(before);
});

test('a connection of a Node server becomes a channel, and keeps what came at once', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-channel-'));
  const path = join(directory, 's');
  const accepted = Promise.withResolvers<DescriptorChannel>();
  const server = createServer((socket) => accepted.resolve(DescriptorChannel.takeFrom(socket, 'client')));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  const client = DescriptorChannel.dial(path);
  await client.send(text('hello'));
  const channel = await accepted.promise;
  expect((await channel.receive())?.bytes.toString()).toBe('hello');
  await channel.send(text('welcome'));
  expect((await client.receive())?.bytes.toString()).toBe('welcome');
  channel.close();
  client.close();
  expect(() => DescriptorChannel.dial(join(directory, 'none'))).toThrow('ENOENT');
});
