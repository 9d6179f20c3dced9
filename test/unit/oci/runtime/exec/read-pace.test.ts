// A process that writes in small pieces: what it costs is reads in a time, whatever its rate.
import { describe, expect, test } from 'vitest';
import type { ByteSink, ByteSource } from '../../../../../src/base/byte-streams.ts';
import { hostLimits } from '../../../../../src/host/bounds.ts';
import { discard, OutputPump } from '../../../../../src/oci/runtime/exec/stream-output.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { loopTurn } from '../../../../support/turns.ts';

const { smallReadBytes } = hostLimits;
const { smallReadRestMs } = hostLimits;
const { smallReads } = hostLimits;

/** Reads after which a source ends, so that one who takes them at any rate comes to an end, too. */
const MOST = 5000;

/** Always has so many bytes for whoever reads. */
function endless(bytes: number): ByteSource & { readonly reads: () => number; readonly end: () => void } {
  let [reads, ended] = [0, false];
  return {
    reads: () => reads,
    end: () => void (ended = true),
    cancel: () => undefined,
    read: () => {
      if (ended || reads >= MOST) return Promise.resolve(undefined);
      reads += 1;
      return Promise.resolve(new Uint8Array(bytes));
    },
  };
}

const taker: ByteSink = { write: () => Promise.resolve(), end: () => undefined };

/** Reads in a span of the pace, and in each of the next two. */
async function readsOf(source: ReturnType<typeof endless>, sink: ByteSink): Promise<readonly number[]> {
  const clock = new HandClock();
  const pump = new OutputPump(source, sink, clock);
  const counts: number[] = [];
  for (let span = 0; span < 3; span += 1) {
    await loopTurn();
    counts.push(source.reads());
    clock.nowMs += smallReads.everyMs;
    clock.fire();
  }
  source.end();
  await loopTurn();
  clock.fire();
  await pump.ended;
  return counts;
}

describe('output in small pieces', () => {
  const each = smallReads.times + 1;

  test('S89: single bytes cost a bounded number of reads in a time', async () => {
    expect(await readsOf(endless(1), taker)).toEqual([each, each * 2, each * 3]);
  });

  test('S89: unwanted output is read no faster, whatever its pieces', async () => {
    expect(await readsOf(endless(smallReadBytes * 4), discard)).toEqual([each, each * 2, each * 3]);
  });

  test('S89: further reads each wait for a short pause only, in which the kernel joins output', async () => {
    const clock = new HandClock();
    const source = endless(1);
    const pump = new OutputPump(source, taker, clock);
    await loopTurn();
    const counts: number[] = [];
    for (let rest = 0; rest < 3; rest += 1) {
      clock.nowMs += smallReadRestMs;
      clock.fire(smallReadRestMs);
      await loopTurn();
      counts.push(source.reads());
    }
    expect(counts).toEqual([each + 1, each + 2, each + 3]);
    source.end();
    clock.nowMs += smallReadRestMs;
    clock.fire();
    await pump.ended;
  });

  test('a source that pauses by itself is not paused again, unless its output is unwanted (S89)', async () => {
    const clock = new HandClock();
    const source = endless(1);
    await new OutputPump(source, taker, clock, true).ended;
    expect([source.reads(), clock.timers.size]).toEqual([MOST, 0]);
    const unwanted = endless(1);
    void new OutputPump(unwanted, discard, clock, true);
    await loopTurn();
    expect(unwanted.reads()).toBe(each);
  });

  test('S89: large pieces wait only for the client', async () => {
    const source = endless(smallReadBytes);
    const clock = new HandClock();
    const many = smallReads.times * 10;
    const pump = new OutputPump(
      source,
      {
        ...taker,
        write: () => (source.reads() >= many ? (source.end(), Promise.resolve()) : Promise.resolve()),
      },
      clock,
    );
    await pump.ended;
    expect([source.reads(), clock.timers.size]).toEqual([many, 0]);
  });
});
