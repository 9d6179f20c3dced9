// The master of a terminal as a source of bytes, with the kernel's answers planted.
import koffi from 'koffi';
import { openSync } from 'node:fs';
import { constants } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { libc } from '../../../../src/host/ffi/ffi.ts';
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
