// The master of a terminal as a source of bytes, with the kernel's answers planted.
import koffi from 'koffi';
import { closeSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET } from '../../../../src/host/ffi/constants.ts';
import { must } from '../../../../src/host/ffi/errno.ts';
import { callSync, libc } from '../../../../src/host/ffi/ffi.ts';
import { PolledDescriptor } from '../../../../src/host/io/polled-descriptor.ts';

/** Each read is answered by the next of these: bytes, or EIO. */
function plantReads(answers: readonly string[]): void {
  const { read } = libc;
  const left = [...answers];
  const planted = (_fd: number, buffer: Uint8Array): number => {
    const answer = left.shift() ?? 'EIO';
    if (answer !== 'EIO') return Buffer.from(buffer.buffer, buffer.byteOffset).write(answer);
    koffi.errno(constants.errno.EIO);
    return -1;
  };
  Object.assign(libc, { read: planted });
  onTestFinished(() => void Object.assign(libc, { read }));
}

async function allOf(terminal: PolledDescriptor): Promise<string> {
  let text = '';
  for (let bytes = await terminal.read(); bytes !== undefined; bytes = await terminal.read()) {
    text += Buffer.from(bytes).toString();
  }
  return text;
}

test('bytes written between the kernel’s poll for input and its check for the close are read after EIO', async () => {
  const terminal = new PolledDescriptor(openSync('/dev/ptmx', 'r+'), 'a terminal');
  onTestFinished(() => terminal.close());
  plantReads(['one ', 'EIO', 'last ', 'EIO', 'words', 'EIO', 'EIO', 'of another']);
  expect(await allOf(terminal)).toBe('one last words');
});

test('a terminal whose process ended without output ends', async () => {
  const terminal = new PolledDescriptor(openSync('/dev/ptmx', 'r+'), 'a terminal');
  onTestFinished(() => terminal.close());
  plantReads([]);
  expect(await allOf(terminal)).toBe('');
});

test('the last packets of a peer that has closed with bytes of ours unread are read', async () => {
  const fds = new Int32Array(2);
  const bytes = new Uint8Array(fds.buffer);
  must(
    callSync(libc.socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bytes),
    'open a',
    'pair of sockets',
  );
  const [ours = -1, peer = -1] = fds;
  const socket = new PolledDescriptor(ours, 'a monitor');
  onTestFinished(() => socket.close());
  await socket.write(Buffer.from('stdin that nobody reads'));
  writeSync(peer, 'last ');
  writeSync(peer, 'words');
  closeSync(peer);
  expect(await allOf(socket)).toBe('last words');
});
