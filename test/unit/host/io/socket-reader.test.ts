// Reading and writing pipes and sockets whose other end sends single bytes, or does not read.
import { closeSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { monitorLimits } from '../../../../src/oci/runtime/bounds.ts';
import { makePipe, makeSocketPair, writeEnd } from '../../../../src/host/io/descriptors.ts';
import { socketSink, socketSource } from '../../../../src/host/streams/socket-bytes.ts';
import { SocketReader } from '../../../../src/host/io/socket-reader.ts';
import { SyncPipe } from '../../../../src/oci/runtime/monitor/launch.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { loopTurn, untilTrue } from '../../../support/turns.ts';

const opened: { destroy(): void }[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.destroy();
});

/** What Node holds of a stream that nobody has read: bytes, and nothing where nothing has come. */
const heldBy = (socket: Socket): number => socket.readableLength;

describe('S85 a pipe of single bytes', () => {
  it('that is not read stays in the kernel: nothing is read before the start or while it is paused', async () => {
    const pipe = makePipe();
    const reader = new SocketReader(pipe.read);
    opened.push(reader);
    let came = 0;
    for (let at = 0; at < 100; at += 1) {
      writeSync(pipe.write, 'x');
      await loopTurn();
    }
    expect([reader.socket.bytesRead, heldBy(reader.socket)]).toEqual([0, 0]);
    reader.start((bytes) => (came += bytes.length));
    await untilTrue(() => came === 100);
    reader.pause();
    for (let at = 0; at < 100; at += 1) {
      writeSync(pipe.write, 'x');
      await loopTurn();
    }
    expect([came, reader.socket.bytesRead, heldBy(reader.socket)]).toEqual([100, 100, 0]);
    reader.resume();
    closeSync(pipe.write);
    await reader.closed;
    expect(came).toBe(200);
  });

  it('whose bytes nobody takes is read up to its bound, joined, and delivered whole', async () => {
    const pipe = makePipe();
    const reader = new SocketReader(pipe.read);
    const source = socketSource(reader);
    opened.push(reader);
    let [sent, got, reads] = [0, 0, 0];
    const put = (bytes: Uint8Array): void => void (sent += writeSync(pipe.write, bytes));
    // fewer than are paced: each is a read of its own
    for (let at = 0; at < hostLimits.smallReads.times / 2; at += 1) {
      put(Buffer.of(120));
      await untilTrue(() => reader.socket.bytesRead === sent);
    }
    const singles = sent;
    // large enough for no pace to apply: that nothing is read is the bound's doing alone
    const piece = Buffer.alloc(hostLimits.streamReadBytes / 4, 'x');
    while (sent < hostLimits.streamReadBytes) {
      put(piece);
      await untilTrue(() => reader.socket.bytesRead === sent);
    }
    const readAtBound = sent;
    put(piece);
    for (let turns = 0; turns < 100; turns += 1) await loopTurn();
    expect([reader.socket.bytesRead, heldBy(reader.socket)]).toEqual([readAtBound, 0]);
    closeSync(pipe.write);
    for (let bytes = await source.read(); bytes !== undefined; bytes = await source.read()) {
      got += bytes.length;
      reads += 1;
    }
    expect(got).toBe(sent);
    // those of the single bytes together, and one for each of the others
    expect(reads).toBeLessThan(singles);
  });

  it('is read and dropped once its reader has closed, so that its writer never waits', async () => {
    const pipe = makePipe();
    const reader = new SocketReader(pipe.read);
    const source = socketSource(reader);
    const piece = Buffer.alloc(32 * 1024);
    opened.push(reader);
    for (let at = 0; at < 3; at += 1) {
      writeSync(pipe.write, piece);
      await loopTurn();
    }
    source.cancel();
    for (let at = 1; at <= 20; at += 1) {
      writeSync(pipe.write, piece);
      await untilTrue(() => reader.socket.bytesRead === (3 + at) * piece.length);
    }
    closeSync(pipe.write);
    await reader.closed;
  });
});

describe('a socket', () => {
  it('ends its two directions one by one', async () => {
    const { ours, theirs } = makeSocketPair();
    const reader = new SocketReader(ours, true);
    const peer = new Socket({ fd: theirs, allowHalfOpen: true });
    opened.push(reader, peer);
    const source = socketSource(reader);
    const sink = socketSink(reader.socket);
    peer.end('question');
    expect(Buffer.from((await source.read()) ?? []).toString()).toBe('question');
    expect(await source.read()).toBeUndefined();
    await sink.write(Buffer.from('answer'));
    sink.end();
    let answer = '';
    peer.on('data', (bytes: Buffer) => (answer += bytes.toString()));
    await untilTrue(() => peer.readableEnded);
    expect(answer).toBe('answer');
    await reader.closed;
    await expect(sink.write(Buffer.from('late'))).rejects.toThrow(
      'write to a socket: the reader has closed it',
    );
  });

  it('S85 whose peer does not read gets one piece at a time', async () => {
    const pipe = makePipe();
    const socket = writeEnd(pipe.write);
    socket.on('error', () => undefined);
    opened.push(socket);
    const sink = socketSink(socket);
    await sink.write(Buffer.alloc(64 * 1024));
    let taken = 0;
    const writing = (async () => {
      for (let at = 0; at < 1000; at += 1) {
        await sink.write(Buffer.of(1));
        taken += 1;
      }
    })();
    for (let at = 0; at < 100; at += 1) await loopTurn();
    expect([taken, socket.writableLength]).toEqual([0, 1]);
    closeSync(pipe.read);
    await expect(writing).rejects.toThrow('the reader has closed it');
  });
});

describe('F39 S85 the sync pipe of a monitor', () => {
  const bound = { clock: new HandClock(), timeoutMs: 1000 };

  it('delivers lines, also the last one without a line break', async () => {
    const pipe = makePipe();
    const sync = new SyncPipe(pipe.read);
    for (const byte of '{"pid": 7}\n\nrest') {
      writeSync(pipe.write, byte);
      await loopTurn();
    }
    closeSync(pipe.write);
    expect(await sync.next(bound)).toEqual({ line: '{"pid": 7}' });
    expect(await sync.next(bound)).toEqual({ line: 'rest' });
    expect(await sync.next(bound)).toBe('ended');
  });

  it.each([
    ['a line without an end', 'x'.repeat(monitorLimits.reportBytes + 1), 0],
    [
      'more lines than anybody awaits',
      'x\n'.repeat(monitorLimits.reportLines + 1),
      monitorLimits.reportLines,
    ],
  ])('ends for good with %s', async (_what, text, lines) => {
    const pipe = makePipe();
    const sync = new SyncPipe(pipe.read);
    const writer = writeEnd(pipe.write);
    writer.on('error', () => undefined);
    opened.push(writer);
    writer.write(text);
    for (let at = 0; at < lines; at += 1) expect(await sync.next(bound)).toEqual({ line: 'x' });
    if (lines === 0) expect(await sync.next(bound)).toBe('ended');
  });
});
