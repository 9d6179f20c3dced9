import { describe, expect, it } from 'vitest';
import { MetricsSchema as MetricsV1 } from '../../../../../src/gen/shim/metrics_pb.ts';
import { MetricsSchema as MetricsV2 } from '../../../../../src/gen/shim/metrics2_pb.ts';
import { encodeMessage } from '../../../../../src/ttrpc/protocol.ts';
import { shimExit } from '../../../../../src/oci/runtime/shim/exits.ts';
import { parseShimRecord } from '../../../../../src/oci/runtime/shim/record.ts';
import { usageIn } from '../../../../../src/oci/runtime/shim/stats.ts';

describe('the record of a shim', () => {
  const good = {
    version: 1,
    handler: 'kata',
    path: '/run/s/1',
    api: 2,
    shim: { pid: 7, startTicks: 9 },
    task: { pid: 8, startTicks: 10 },
  };

  it('is read back, without a task that was not started yet', () => {
    expect(parseShimRecord(JSON.stringify(good))).toEqual(good);
    expect(parseShimRecord(JSON.stringify({ ...good, task: undefined }))).toEqual({
      ...good,
      task: undefined,
    });
    expect(parseShimRecord(JSON.stringify({ ...good, path: '\0abstract' }))?.path).toBe('\0abstract');
  });

  it.each([
    ['', '{', 'null', '[]'],
    Object.entries({ version: 2, handler: 5, path: 'relative', api: 4, shim: { pid: 1, startTicks: 1 } }).map(
      ([key, value]) => JSON.stringify({ ...good, [key]: value }),
    ),
  ])('counts as absent when damaged', (...texts) => {
    for (const text of texts) expect(parseShimRecord(text)).toBeUndefined();
  });
});

describe('an exit reported by a shim', () => {
  it('has its time, or the time of the report; an impossible code is unknown', () => {
    expect(shimExit(7, { seconds: 5n, nanos: 3 }, 9_000_000_000n)).toEqual({
      exitCode: 7,
      atNs: 5_000_000_003n,
    });
    expect(shimExit(0, undefined, 99n)).toEqual({ exitCode: 0, atNs: 99n });
    // Go's zero time lies before 1970
    expect(shimExit(4_294_967_295, { seconds: -62_135_596_800n, nanos: 0 }, 99n)).toEqual({
      exitCode: 255,
      atNs: 99n,
    });
  });
});

it('S62: an exit reported for the future is taken as now: its time is in no file and no answer', () => {
  for (const at of [
    { seconds: 2n ** 62n, nanos: 0 },
    { seconds: 9n, nanos: 999_999_999 },
    { seconds: 1n, nanos: -2_147_483_648 },
  ]) {
    expect(shimExit(0, at, 9_000_000_000n)).toEqual({ exitCode: 0, atNs: 9_000_000_000n });
  }
});

it('S62: impossible figures are left out, and the others stay', () => {
  const most = 2n ** 64n - 1n;
  const v2 = encodeMessage(MetricsV2, {
    cpu: { usageUsec: most },
    memory: { usage: 10n, inactiveFile: 1n, anon: most, pgfault: 7n },
    pids: { current: most },
  });
  const usage = usageIn({ typeUrl: 'io.containerd.cgroups.v2.Metrics', value: v2 });
  expect(usage).toMatchObject({ memoryBytes: 10n, workingSetBytes: 9n, pageFaults: 7n, processes: 0n });
  expect([usage?.cpuNs, usage?.rssBytes]).toEqual([undefined, undefined]);
  const v1 = encodeMessage(MetricsV1, { cpu: { usage: { total: most } }, memory: { totalPgFault: most } });
  expect(usageIn({ typeUrl: 'io.containerd.cgroups.v1.Metrics', value: v1 })).toMatchObject({
    cpuNs: undefined,
    pageFaults: undefined,
    processes: 0n,
  });
});

describe('the figures of a guest', () => {
  it('are read in version 1', () => {
    const value = encodeMessage(MetricsV1, {
      cpu: { usage: { total: 5n } },
      memory: {
        totalRss: 3n,
        totalInactiveFile: 4n,
        totalPgFault: 6n,
        usage: { usage: 10n, limit: 100n },
        swap: { usage: 12n },
      },
      pids: { current: 2n },
    });
    expect(usageIn({ typeUrl: 'io.containerd.cgroups.v1.Metrics', value })).toMatchObject({
      cpuNs: 5n,
      memoryBytes: 10n,
      workingSetBytes: 6n,
      availableBytes: 94n,
      rssBytes: 3n,
      pageFaults: 6n,
      swapBytes: 2n,
      processes: 2n,
    });
  });

  it('are read in version 2, without a limit', () => {
    const value = encodeMessage(MetricsV2, {
      cpu: { usageUsec: 5n },
      memory: { usage: 10n, inactiveFile: 20n, usageLimit: 2n ** 64n - 1n, anon: 1n },
    });
    expect(usageIn({ typeUrl: 'type.googleapis.com/io.containerd.cgroups.v2.Metrics', value })).toMatchObject(
      {
        cpuNs: 5000n,
        memoryBytes: 10n,
        workingSetBytes: 0n,
        availableBytes: undefined,
        rssBytes: 1n,
      },
    );
  });

  it('of another kind are left out', () => {
    expect(usageIn({ typeUrl: 'io.containerd.windows.Metrics', value: new Uint8Array() })).toBeUndefined();
  });
});
