import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { driverLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import type { SocketReader } from '../../../../../src/host/io/socket-reader.ts';
import { CappedOutput, drained, takeBoth } from '../../../../../src/oci/runtime/exec/output.ts';
import {
  OutputSlot,
  OutputBudget,
  withOutputSlot,
} from '../../../../../src/oci/runtime/exec/output-budget.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { wholeBytes } from '../../../../support/whole-bytes.ts';
import { containerId } from '../../../cri/stage.ts';

/** Promises that have settled by now. */
async function settledOf(asked: readonly Promise<void>[]): Promise<number> {
  let count = 0;
  for (const one of asked) void one.then(() => (count += 1));
  await Promise.resolve();
  await Promise.resolve();
  return count;
}

/** A pipe that gives what the test gives it. */
class FakeReader implements Pick<
  SocketReader,
  'start' | 'pause' | 'resume' | 'unwanted' | 'closed' | 'destroy'
> {
  closed: Promise<void> = Promise.resolve();
  isPaused = false;
  isUnwanted = false;
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
    this.isUnwanted = true;
  }
  destroy(): void {
    // nothing is held
  }
}

const { execOutputSlots, execOutputSlotsPerNamespace, execOutputSlotHeldMs, execFreeBytes, execOutputBytes } =
  driverLimits;
const MIB = 1024 * 1024;

/** Rooms, their clock, and execs that have asked for one each: one for each namespace of the list. */
function stage(rooms: number = execOutputSlots) {
  const clock = new HandClock();
  const all = new OutputBudget(rooms, clock);
  const claim = (namespace: string): OutputSlot => new OutputSlot(namespace, all);
  const ask = (...namespaces: readonly string[]): OutputSlot[] =>
    namespaces.map((namespace) => {
      const one = claim(namespace);
      void one.ask();
      return one;
    });
  const pass = (ms: number): void => {
    clock.nowMs += ms;
    clock.fire();
  };
  return { all, clock, claim, ask, pass };
}

const states = (execs: readonly OutputSlot[]): string[] =>
  execs.map((one) => (one.isCut ? 'cut' : one.isGranted ? 'granted' : one.isWaiting ? 'waiting' : 'none'));

function outputIn(room: OutputSlot): { readonly reader: FakeReader; readonly output: CappedOutput } {
  const reader = new FakeReader();
  return {
    reader,
    output: new CappedOutput(reader as Partial<SocketReader> as SocketReader, execOutputBytes, room),
  };
}

describe('F74 room for the output of execs', () => {
  it('is granted in order of request within a namespace, once per exec, and passed on at release', async () => {
    const { claim } = stage(2);
    const execs = Array.from({ length: 4 }, () => claim('a'));
    const asked = execs.map((exec) => exec.ask());
    void execs[0]?.ask();
    expect(states(execs)).toEqual(['granted', 'granted', 'waiting', 'waiting']);
    expect(await settledOf(asked)).toBe(2);
    execs[1]?.release();
    execs[1]?.release();
    expect(states(execs).slice(2)).toEqual(['granted', 'waiting']);
  });

  it('a waiting exec can leave the queue; one that never requests, or requests after its end, holds none', () => {
    const { ask, claim } = stage(1);
    const [first, second, third] = ask('a', 'a', 'a') as [OutputSlot, OutputSlot, OutputSlot];
    const silent = claim('a');
    second.release();
    silent.release();
    void silent.ask();
    first.release();
    expect([second.isGranted, third.isGranted, silent.isGranted]).toEqual([false, true, false]);
    third.release();
    expect(states(ask('a'))).toEqual(['granted']);
  });

  it('S21 an exec that writes more than a little is read no further until it has room', async () => {
    const { ask, claim } = stage(1);
    const [first] = ask('a');
    const second = claim('b');
    const { reader, output } = outputIn(second);
    reader.give(new Uint8Array(execFreeBytes));
    expect(reader.isPaused).toBe(false);
    reader.give(new Uint8Array(1));
    expect(reader.isPaused).toBe(true);
    first?.release();
    expect(await settledOf([second.ask()])).toBe(1);
    await Promise.resolve();
    expect(reader.isPaused).toBe(false);
    for (let given = 0; given < 2 * execOutputBytes; given += MIB) reader.give(new Uint8Array(MIB));
    expect(output.takeBytes().length).toBe(execOutputBytes);
  });

  it('is held until the answer is sent, and not revoked meanwhile', () => {
    const { ask, pass } = stage(1);
    const [first, second, third] = ask('a', 'b', 'b') as [OutputSlot, OutputSlot, OutputSlot];
    const over = new AbortController();
    first.releaseWhen(over.signal);
    pass(execOutputSlotHeldMs);
    expect(states([first, second])).toEqual(['granted', 'waiting']);
    over.abort();
    expect(second.isGranted).toBe(true);
    second.releaseWhen(over.signal);
    expect(third.isGranted).toBe(true);
  });
});

describe('S85 no namespace holds up the large outputs of another', () => {
  it('S85 one namespace leaves room for the others, whatever it requests', () => {
    const { ask } = stage();
    const greedy = ask(...Array.from({ length: execOutputSlots + 20 }, () => 'a'));
    expect(states(greedy).filter((one) => one === 'granted')).toHaveLength(execOutputSlotsPerNamespace);
    expect(states(ask('b'))).toEqual(['granted']);
  });

  it('S85 room held for its full time is revoked for another namespace, with its memory, and never sooner', () => {
    const { ask, claim, pass } = stage();
    const slow = claim('a');
    const { reader, output } = outputIn(slow);
    reader.give(new Uint8Array(MIB));
    pass(1000);
    const others = ask('a', 'a', 'b');
    const late = ask('c');
    pass(execOutputSlotHeldMs - 1001);
    expect(states([slow, ...others, ...late])).toEqual([
      'granted',
      'granted',
      'granted',
      'granted',
      'waiting',
    ]);
    pass(1);
    expect(states([slow, ...others, ...late])).toEqual(['cut', 'granted', 'granted', 'granted', 'granted']);
    // the same as what is beyond the largest output: read, and dropped
    reader.give(new Uint8Array(MIB));
    expect([output.takeBytes().length, reader.isUnwanted]).toEqual([execFreeBytes, true]);
    slow.release();
    expect(states(ask('d'))).toEqual(['waiting']);
  });

  it('S85 is revoked when another namespace requests it later, and not for its own', () => {
    const { ask, clock, pass } = stage();
    const slow = ask('a', 'a', 'a', 'a', 'b');
    pass(100 * execOutputSlotHeldMs);
    expect(states(slow)).toEqual(['granted', 'granted', 'granted', 'waiting', 'granted']);
    expect(clock.timers.size).toBe(0);
    expect(states(ask('c'))).toEqual(['granted']);
    // of the namespace that holds the most, the one that has held it the longest
    expect(states(slow)).toEqual(['cut', 'granted', 'granted', 'waiting', 'granted']);
  });

  it('S85 a namespace waits for one turn of each other namespace, not for all of their execs', () => {
    const { ask, pass } = stage();
    // more namespaces than rooms
    const many = ['a', 'b', 'c', 'd', 'e', 'f'].map((namespace) =>
      ask(...Array.from({ length: 50 }, () => namespace)),
    );
    for (let round = 0; round < 5; round += 1) {
      pass(execOutputSlotHeldMs / 2);
      const [mine] = ask('mine') as [OutputSlot];
      expect(states(many.flat()).filter((one) => one === 'granted').length).toBeLessThanOrEqual(
        execOutputSlots,
      );
      // six namespaces, four rooms
      pass(execOutputSlotHeldMs);
      pass(execOutputSlotHeldMs);
      // it may have been taken back again
      expect([round, mine.isGranted || mine.isCut]).toEqual([round, true]);
      mine.release();
    }
  });

  it('S85 the memory of cut output is freed before the next exec gets the room', () => {
    const { ask, claim, pass } = stage(1);
    const slow = claim('a');
    const { reader, output } = outputIn(slow);
    const piece = new Uint8Array(execFreeBytes);
    for (let given = 0; given < 8 * MIB; given += piece.length) reader.give(piece);
    const freed = vi.spyOn(ArrayBuffer.prototype, 'transfer');
    onTestFinished(() => freed.mockRestore());
    ask('b');
    expect(freed).not.toHaveBeenCalled();
    pass(execOutputSlotHeldMs);
    expect(freed.mock.calls.length).toBeGreaterThanOrEqual((8 * MIB) / piece.length);
    expect(output.takeBytes()).toHaveLength(execFreeBytes);
  });

  it('S85 an exec whose room is revoked runs to its end, with the start of each output, its exit code, a line in stderr and one in the log', async () => {
    const { all, ask, pass } = stage(1);
    const id = containerId('c');
    const warned: object[] = [];
    const log = {
      ...silentLog,
      warn: (fields: object, message: string) => void warned.push({ ...fields, message }),
    };
    const result = await withOutputSlot(
      { id, namespace: 'a' },
      log,
      async (room) => {
        const [out, err] = [outputIn(room), outputIn(room)];
        out.reader.give(new Uint8Array(MIB).fill(1));
        await room.ask();
        err.reader.give(Buffer.from('before'));
        const [next] = ask('b');
        pass(execOutputSlotHeldMs);
        expect([room.isCut, next?.isGranted]).toEqual([true, true]);
        out.reader.give(new Uint8Array(MIB).fill(2));
        err.reader.give(Buffer.from(', and after'));
        expect([out.reader.isPaused, out.reader.isUnwanted, err.reader.isUnwanted]).toEqual([
          false,
          true,
          false,
        ]);
        return { exitCode: 7, ...takeBoth(out.output, err.output, room) };
      },
      all,
    );
    expect(result.exitCode).toBe(7);
    expect(wholeBytes(result.stdout)).toEqual(new Uint8Array(execFreeBytes).fill(1));
    expect(Buffer.from(wholeBytes(result.stderr)).toString('utf8')).toBe(
      'before, and after\ntroupe: output cut to 64 KiB: another namespace needed its memory\n',
    );
    expect(warned).toEqual([
      {
        id,
        namespace: 'a',
        message: 'cut output of exec to 65536 bytes: another namespace needed its memory',
      },
    ]);
  });

  it.each([
    [0, 66],
    [execFreeBytes - 66, 66],
    [execFreeBytes - 65, 0],
    [MIB, 0],
  ])(
    'S85 the line about a cut is within the bound: %i bytes of stderr before it, %i of it',
    (bytes, added) => {
      const { ask, claim, pass } = stage(1);
      const room = claim('a');
      const [out, err] = [outputIn(room), outputIn(room)];
      out.reader.give(new Uint8Array(MIB));
      if (bytes > 0) err.reader.give(Buffer.alloc(bytes, '\n'));
      ask('b');
      pass(execOutputSlotHeldMs);
      const { stderr } = takeBoth(out.output, err.output, room);
      expect(wholeBytes(stderr).length).toBe(Math.min(bytes, execFreeBytes) + added);
    },
  );

  it('S85 an exec that has ended is not cut while its output is drained', async () => {
    const { ask, claim, clock, pass } = stage(1);
    const room = claim('a');
    const out = outputIn(room);
    // a background child holds the pipe
    out.reader.closed = new Promise(() => undefined);
    const output = new CappedOutput(
      out.reader as Partial<SocketReader> as SocketReader,
      execOutputBytes,
      room,
    );
    out.reader.give(new Uint8Array(MIB));
    const done = drained([output], room, clock, (granted) => granted);
    const [next] = ask('b') as [OutputSlot];
    pass(execOutputSlotHeldMs);
    await done;
    expect(states([room, next])).toEqual(['granted', 'waiting']);
    expect(output.takeBytes()).toHaveLength(MIB);
    room.releaseWhen(undefined);
    expect(next.isGranted).toBe(true);
  });
});
