import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { distributionLimits } from '../../../../../src/oci/images/bounds.ts';
import { Body } from '../../../../../src/oci/images/registry/body.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { loopTurn, turns } from '../../../../support/turns.ts';

const MINUTE = 60_000;

/** A body that is read, with what came of it. */
function reading() {
  const clock = new HandClock();
  const message = Object.assign(new Readable({ read: () => undefined }), { headers: {}, complete: false });
  const body = new Body(
    message as never,
    'registry.example',
    clock,
    { stallMs: MINUTE, documentMs: MINUTE },
    new AbortController().signal,
    'pull x',
  );
  const outcome = { bytes: 0, ended: '' };
  const done = (async () => {
    for await (const piece of body.pieces()) outcome.bytes += piece.byteLength;
  })().then(
    () => (outcome.ended = 'whole'),
    (error: unknown) => (outcome.ended = error instanceof Error ? error.message : 'unknown'),
  );
  /** So many bytes in each second, over seconds. */
  const feed = async (bytesPerSecond: number, seconds: number): Promise<void> => {
    for (let second = 0; second < seconds && outcome.ended === ''; second += 1) {
      message.push(Buffer.alloc(bytesPerSecond));
      await loopTurn();
      await clock.advance(1000);
    }
    await loopTurn();
    await turns();
  };
  return { message, outcome, done, feed };
}

describe('S90 the mean rate of a body', () => {
  test('that trickles ends it within the span, though some bytes come each minute', async () => {
    const { outcome, feed } = reading();
    await feed(Math.ceil((2 * distributionLimits.progressBytes) / 60), 61);
    expect(outcome.ended).toBe(
      `registry.example: fewer than ${(distributionLimits.leastBytesPerSecond * MINUTE) / 1000} bytes in 60000 ms`,
    );
  });

  test('above the minimum does not end it, however long it takes', async () => {
    const { message, outcome, done, feed } = reading();
    await feed(Math.ceil(distributionLimits.leastBytesPerSecond * 1.1), 300);
    expect(outcome.ended).toBe('');
    message.complete = true;
    message.push(null);
    await done;
    expect(outcome).toEqual({
      bytes: 300 * Math.ceil(distributionLimits.leastBytesPerSecond * 1.1),
      ended: 'whole',
    });
  });
});
