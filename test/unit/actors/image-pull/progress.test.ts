// How fast a layer comes and how long it will still take: over the last seconds, so that a stall shows.
import { describe, expect, it } from 'vitest';
import { PullProgress } from '../../../../src/actors/image-pull/progress.ts';
import type { Layer } from '../../../../src/ports/specs.ts';
import type { Digest } from '../../../../src/base/ids.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';

const MIB = 1024 * 1024;
const digest = `sha256:${'a'.repeat(64)}` as Digest;
const layer: Layer = { digest, diffId: digest, mediaType: 'tar', sizeBytes: 100 * MIB };

function rig() {
  let nowMs = 1000;
  const progress = new PullProgress({ monoMs: () => nowMs });
  progress.begin('pull/1', [layer]);
  return {
    progress,
    /** `bytes` have come after `ms`. */
    came: (bytes: number, ms: number): void => {
      nowMs += ms;
      progress.downloaded('pull/1', digest, bytes);
    },
    waits: (ms: number): void => void (nowMs += ms),
    now: () => progress.of('pull/1')[0] ?? expect.fail('no layer'),
  };
}

describe('the rate of a layer', () => {
  it('is not reported before it is meaningful', () => {
    const { came, now } = rig();
    expect(now()).toMatchObject({ bytesPerSecond: 0, remainingMs: undefined });
    came(MIB, 5);
    came(2 * MIB, actorLimits.rateLeastMs - 1);
    expect(now()).toMatchObject({ downloadedBytes: 2 * MIB, bytesPerSecond: 0, remainingMs: undefined });
  });

  it('is that of the last seconds, with the remaining time', () => {
    const { came, now } = rig();
    came(0, 0);
    for (let at = 1; at <= 10; at += 1) came(at * MIB, 1000);
    expect(now()).toMatchObject({ bytesPerSecond: MIB, remainingMs: 90_000 });
    for (let at = 1; at <= 10; at += 1) came((10 + at * 2) * MIB, 1000);
    expect(now()).toMatchObject({ bytesPerSecond: 2 * MIB, remainingMs: 35_000 });
  });

  it('falls while nothing comes', () => {
    const { came, waits, now } = rig();
    came(0, 0);
    for (let at = 1; at <= 4; at += 1) came(at * MIB, 1000);
    waits(4000);
    const after = now().bytesPerSecond;
    waits(60_000);
    expect([after < MIB, now().bytesPerSecond < after / 5]).toEqual([true, true]);
  });

  it('does not count bytes of an earlier pull, nor discarded ones', () => {
    const { came, now } = rig();
    came(50 * MIB, 10);
    came(51 * MIB, 1000);
    expect(now().bytesPerSecond).toBe(MIB);
    came(0, 1000);
    expect(now()).toMatchObject({ downloadedBytes: 0, bytesPerSecond: 0 });
  });

  it('ends with the layer; the sum of a pull counts it whole', () => {
    const { progress, came, now } = rig();
    came(0, 0);
    came(99 * MIB, 1000);
    expect(progress.sum('pull/1')).toEqual({
      sizeBytes: 100 * MIB,
      downloadedBytes: 99 * MIB,
      bytesPerSecond: 99 * MIB,
    });
    progress.present('pull/1', digest);
    expect(now()).toMatchObject({ present: true, bytesPerSecond: 0, remainingMs: undefined });
    expect(progress.sum('pull/1')).toEqual({
      sizeBytes: 100 * MIB,
      downloadedBytes: 100 * MIB,
      bytesPerSecond: 0,
    });
    progress.forget('pull/1');
    expect(progress.of('pull/1')).toEqual([]);
  });
});
