import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { InterfaceUsage, Usage, WrittenUsage } from '../../../src/ports/stats.ts';
import { sandboxStats } from '../../../src/cri/present/stats.ts';
import { PodSandboxStatsSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import {
  parseChosen,
  parseFlat,
  parseNetDev,
  parseNumber,
  parsePressure,
} from '../../../src/host/usage/usage-files.ts';
import { containerId, containerView, sandboxId, sandboxView } from './stage.ts';

const usage: Usage = {
  atNs: 7n,
  cpuNs: 2n ** 60n,
  cpuNanoCores: undefined,
  memoryBytes: 10n,
  workingSetBytes: 4n,
  rssBytes: 3n,
  availableBytes: undefined,
  pageFaults: 1n,
  majorPageFaults: 0n,
  swapBytes: 0n,
  swapAvailableBytes: undefined,
  processes: 2n,
  cpuPressure: undefined,
  memoryPressure: undefined,
  ioPressure: undefined,
};

const eth0: InterfaceUsage = {
  name: 'eth0',
  rxBytes: 1n,
  rxPackets: 2n,
  rxErrors: 3n,
  rxDropped: 4n,
  txBytes: 5n,
  txPackets: 6n,
  txErrors: 7n,
  txDropped: 8n,
};

const written: WrittenUsage = {
  usedBytes: 5n,
  inodesUsed: 6n,
  mountpoint: '/m',
  atNs: 8n,
  capacity: { bytes: 100n, inodes: 20n, inodesFree: 14n },
};

describe('accounting files', () => {
  it('selected lines of a file are found by their whole names, in any order', () => {
    const text = 'file 1\ninactive_file 18446744073709551615\ntotal_inactive_file 3\nbad x\nlast 4';
    const names = ['inactive_file', 'file', 'last', 'bad', 'tive_file', 'missing'] as const;
    expect(parseChosen(text, names)).toEqual(
      new Map([
        ['inactive_file', 18_446_744_073_709_551_615n],
        ['file', 1n],
        ['last', 4n],
      ]),
    );
    expect(parseChosen('', names)).toEqual(new Map());
  });

  it('memory.stat and cpu.stat are read as names with numbers; the rest is left out', () => {
    expect(parseFlat('cache 1\ninactive_file 18446744073709551615\nbad x\n\n')).toEqual(
      new Map([
        ['cache', 1n],
        ['inactive_file', 18446744073709551615n],
      ]),
    );
  });

  it('a single number is read; max and an empty file are no number', () => {
    expect(parseNumber('123\n')).toBe(123n);
    expect(parseNumber('max\n')).toBeUndefined();
    expect(parseNumber(undefined)).toBeUndefined();
  });

  it('pressure is read with and without the line for full', () => {
    const text = 'some avg10=1.50 avg60=0.00 avg300=0.25 total=99\n';
    expect(parsePressure(text)?.some).toEqual({ avg10: 1.5, avg60: 0, avg300: 0.25, totalUs: 99n });
    expect(parsePressure(text)?.full.totalUs).toBe(0n);
    expect(parsePressure('')).toBeUndefined();
  });

  it('net/dev is read without loopback, also with a name that touches its colon', () => {
    const text = [
      'Inter-|   Receive                                                |  Transmit',
      ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed',
      '    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0',
      '  eth0:12345       9    2    4    0     0          0         0      678       7    3    5    0     0       0          0',
      '',
    ].join('\n');
    expect(parseNetDev(text)).toEqual([
      {
        name: 'eth0',
        rxBytes: 12345n,
        rxPackets: 9n,
        rxErrors: 2n,
        rxDropped: 4n,
        txBytes: 678n,
        txPackets: 7n,
        txErrors: 3n,
        txDropped: 5n,
      },
    ]);
  });
});

describe('pod statistics', () => {
  it('what the machine does not report is left out; every part has its time', () => {
    const message = sandboxStats({
      view: sandboxView(sandboxId('a')),
      usage,
      interfaces: [eth0, { ...eth0, name: 'net1' }],
      containers: [{ view: containerView(containerId('c')), usage, written }],
    });
    expect(message.linux?.cpu).toEqual({ timestamp: 7n, usageCoreNanoSeconds: { value: 2n ** 60n } });
    expect(message.linux?.memory).not.toHaveProperty('availableBytes');
    expect(message.linux?.io).toBeUndefined();
    expect(message.linux?.process?.processCount?.value).toBe(2n);
    expect(message.linux?.network?.defaultInterface?.name).toBe('eth0');
    expect(message.linux?.network?.interfaces?.map((one) => one.name)).toEqual(['net1']);
    const [one] = message.linux?.containers ?? [];
    expect(one?.writableLayer).toEqual({
      timestamp: 8n,
      fsId: { mountpoint: '/m' },
      usedBytes: { value: 5n },
      inodesUsed: { value: 6n },
    });
    expect(one?.swap?.timestamp).toBe(7n);
  });

  it('S62: a sum or a rate beyond 64 bits is the largest figure, and the answer is made', () => {
    const parts = {
      view: sandboxView(sandboxId('a')),
      usage: { ...usage, cpuNs: 2n ** 65n, cpuNanoCores: 2n ** 70n },
      interfaces: [],
      containers: [],
    };
    const { cpu } =
      fromBinary(
        PodSandboxStatsSchema,
        toBinary(PodSandboxStatsSchema, create(PodSandboxStatsSchema, sandboxStats(parts))),
      ).linux ?? {};
    expect([cpu?.usageCoreNanoSeconds?.value, cpu?.usageNanoCores?.value]).toEqual([
      2n ** 64n - 1n,
      2n ** 64n - 1n,
    ]);
  });

  it('a pod with a renamed eth0 still has a default interface, which the kubelet reads unconditionally', () => {
    const interfaces = [
      { ...eth0, name: 'mine' },
      { ...eth0, name: 'net1' },
    ];
    const { linux } = sandboxStats({ view: sandboxView(sandboxId('a')), usage, interfaces, containers: [] });
    expect(linux?.network?.defaultInterface?.name).toBe('mine');
    expect(linux?.network?.interfaces?.map((one) => one.name)).toEqual(['net1']);
    expect(
      sandboxStats({ view: sandboxView(sandboxId('a')), usage, interfaces: [], containers: [] }).linux
        ?.network,
    ).toBeUndefined();
  });
});
