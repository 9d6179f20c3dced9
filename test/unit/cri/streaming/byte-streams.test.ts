/** Queues and pumps of bytes. */
import { describe, expect, it } from 'vitest';
import { ByteQueue, pump } from '../../../../src/base/byte-streams.ts';
import type { ByteSink } from '../../../../src/base/byte-streams.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

function collecting(): {
  readonly sink: ByteSink;
  readonly text: () => string;
  readonly ended: () => boolean;
} {
  let [all, isEnded] = ['', false];
  const sink: ByteSink = {
    write: (part) => {
      all += Buffer.from(part).toString();
      return Promise.resolve();
    },
    end: () => (isEnded = true),
  };
  return { sink, text: () => all, ended: () => isEnded };
}

describe('a byte queue', () => {
  it('returns waiting bytes in one piece, then the end, and reports what was taken', async () => {
    const taken: number[] = [];
    const queue = new ByteQueue((count) => taken.push(count));
    queue.push(bytes('ab'));
    queue.push(bytes(''));
    queue.push(bytes('c'));
    expect(queue.size).toBe(3);
    queue.end();
    queue.push(bytes('late'));
    expect(await queue.read()).toEqual(bytes('abc'));
    expect(await queue.read()).toBeUndefined();
    expect(taken).toEqual([4, 3]);
  });

  it('wakes a waiting reader', async () => {
    const queue = new ByteQueue();
    const first = queue.read();
    queue.push(bytes('x'));
    expect(await first).toEqual(bytes('x'));
    const last = queue.read();
    queue.end();
    expect(await last).toBeUndefined();
  });

  it('returns the error after the bytes before it', async () => {
    const queue = new ByteQueue();
    queue.push(bytes('x'));
    queue.fail(new Error('broken'));
    queue.end();
    expect(await queue.read()).toEqual(bytes('x'));
    await expect(queue.read()).rejects.toThrow('broken');
  });

  it('S85 holds bytes in one piece, however many they came in, and refuses what is beyond its bound', async () => {
    const queue = new ByteQueue();
    for (let at = 0; at < 60_000; at += 1) queue.push(bytes('x'));
    expect([queue.size, (await queue.read())?.buffer.byteLength, queue.size]).toEqual([60_000, 256, 59_744]);
    for (let at = 0; at < 128; at += 1) queue.push(new Uint8Array(64 * 1024 - 512));
    expect(() => queue.push(new Uint8Array(64 * 1024))).toThrow(
      'buffer bytes for a slow reader: more than 8388608 bytes',
    );
  });

  it('drops bytes that come after its reader has closed', async () => {
    const taken: number[] = [];
    const queue = new ByteQueue((count) => taken.push(count));
    queue.push(bytes('abc'));
    queue.cancel();
    queue.push(bytes('de'));
    expect(taken).toEqual([3, 2]);
    expect(await queue.read()).toBeUndefined();
  });
});

describe('a pump', () => {
  it('copies and ends the sink', async () => {
    const queue = new ByteQueue();
    const { sink, text, ended } = collecting();
    queue.push(bytes('one '));
    const pumping = pump(queue, sink);
    queue.push(bytes('two'));
    queue.end();
    await pumping;
    expect([text(), ended()]).toEqual(['one two', true]);
  });

  it('aborts the source when the sink fails', async () => {
    const taken: number[] = [];
    const queue = new ByteQueue((count) => taken.push(count));
    queue.push(bytes('a'));
    queue.push(bytes('bc'));
    await expect(
      pump(queue, { write: () => Promise.reject(new Error('gone')), end: () => undefined }),
    ).rejects.toThrow('gone');
    expect(taken).toEqual([3]);
  });
});
