import { describe, expect, it } from 'vitest';
import { driverLimits } from '../../../src/base/limits.ts';
import type { SocketReader } from '../../../src/host/socket-reader.ts';
import { CappedOutput } from '../../../src/oci/runtime/exec-output.ts';
import { OutputRoom, OutputRooms } from '../../../src/oci/runtime/exec-room.ts';

/** Promises that have settled by now. */
async function settledOf(asked: readonly Promise<void>[]): Promise<number> {
  let count = 0;
  for (const one of asked) void one.then(() => (count += 1));
  await Promise.resolve();
  await Promise.resolve();
  return count;
}

/** A pipe that gives what the test gives it. */
class FakeReader implements Pick<SocketReader, 'start' | 'pause' | 'resume' | 'unwanted' | 'closed' | 'destroy'> {
  readonly closed = Promise.resolve();
  isPaused = false;
  give: (bytes: Uint8Array) => void = () => undefined;
  start(take: (bytes: Uint8Array) => void): void {
    this.give = take;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  unwanted(): void {
    // what is over the bound is dropped by who reads
    // it has no pace of its own
  }
  destroy(): void {
    // nothing is held
  }
}

describe('F74 room for the output of execs', () => {
  it('is given in the order of asking, once per exec, and handed on when it is released', async () => {
    const rooms = new OutputRooms(2);
    const execs = Array.from({ length: 4 }, () => new OutputRoom(rooms));
    const asked = execs.map((exec) => exec.ask());
    void execs[0]?.ask();
    expect(execs.map(({ isGranted }) => isGranted)).toEqual([true, true, false, false]);
    expect(await settledOf(asked)).toBe(2);
    execs[1]?.release();
    execs[1]?.release();
    expect(execs.map(({ isGranted, isWaiting }) => [isGranted, isWaiting]).slice(2)).toEqual([[true, false], [false, true]]);
  });

  it('one that waits leaves the line; one that never asked, or asks when it is over, holds none', () => {
    const rooms = new OutputRooms(1);
    const [first, second, third, silent] = Array.from({ length: 4 }, () => new OutputRoom(rooms)) as [OutputRoom, OutputRoom, OutputRoom, OutputRoom];
    for (const exec of [first, second, third]) void exec.ask();
    second.release();
    silent.release();
    void silent.ask();
    first.release();
    expect([second.isGranted, third.isGranted, silent.isGranted]).toEqual([false, true, false]);
    third.release();
    const next = new OutputRoom(rooms);
    void next.ask();
    expect(next.isGranted).toBe(true);
  });

  it('S21 an exec that writes more than a little without room is read no further before it has one', async () => {
    const rooms = new OutputRooms(1);
    const [first, second] = [new OutputRoom(rooms), new OutputRoom(rooms)];
    void first.ask();
    const reader = new FakeReader();
    const output = new CappedOutput(reader as Partial<SocketReader> as SocketReader, driverLimits.execOutputBytes, second);
    reader.give(new Uint8Array(driverLimits.execFreeBytes));
    expect(reader.isPaused).toBe(false);
    reader.give(new Uint8Array(1));
    expect(reader.isPaused).toBe(true);
    first.release();
    expect(await settledOf([second.ask()])).toBe(1);
    await Promise.resolve();
    expect(reader.isPaused).toBe(false);
    for (let given = 0; given < 2 * driverLimits.execOutputBytes; given += 1024 * 1024) reader.give(new Uint8Array(1024 * 1024));
    expect(output.takeBytes().length).toBe(driverLimits.execOutputBytes);
  });

  it('is held until the answer has left', () => {
    const rooms = new OutputRooms(1);
    const [first, second, third] = Array.from({ length: 3 }, () => new OutputRoom(rooms)) as [OutputRoom, OutputRoom, OutputRoom];
    for (const exec of [first, second, third]) void exec.ask();
    const over = new AbortController();
    first.releaseWhen(over.signal);
    expect(second.isGranted).toBe(false);
    over.abort();
    expect(second.isGranted).toBe(true);
    second.releaseWhen(over.signal);
    expect(third.isGranted).toBe(true);
  });
});
