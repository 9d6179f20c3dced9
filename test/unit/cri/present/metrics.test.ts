import { describe, expect, it } from 'vitest';
import type { Usage, UsageDetails } from '../../../../src/ports/stats.ts';
import { BASE_LABELS, metricDescriptors } from '../../../../src/cri/present/metric-descriptors.ts';
import { sandboxMetrics } from '../../../../src/cri/present/metrics.ts';
import { MetricType } from '../../../../src/gen/runtime/v1/api_pb.ts';
import { parseDeviceTable, parseIoStat } from '../../../../src/host/usage/usage-files.ts';
import { containerId, containerSpec, containerView, sandboxId, sandboxView } from '../stage.ts';

const SECOND = 1_000_000_000n;
const line = { avg10: 0, avg60: 0, avg300: 0, totalUs: 2_500_000n };
const pressure = { some: line, full: { ...line, totalUs: 1_000_000n } };

const usage: Usage = {
  atNs: 1_700_000_000n * SECOND + 5n,
  cpuNs: 12n * SECOND + 1n,
  cpuNanoCores: undefined,
  memoryBytes: 10n,
  workingSetBytes: 4n,
  rssBytes: 3n,
  availableBytes: undefined,
  pageFaults: 9n,
  majorPageFaults: 2n,
  swapBytes: 0n,
  swapAvailableBytes: undefined,
  processes: 2n,
  cpuPressure: pressure,
  memoryPressure: pressure,
  ioPressure: pressure,
};

const details: UsageDetails = {
  cpuUserNs: 8n * SECOND,
  cpuSystemNs: 4n * SECOND,
  periods: 100n,
  throttledPeriods: 7n,
  throttledNs: 3n * SECOND,
  cacheBytes: 11n,
  kernelBytes: 12n,
  mappedBytes: 13n,
  limitHits: 14n,
  peakBytes: 15n,
  ownPageFaults: 5n,
  ownMajorPageFaults: 1n,
  oomKills: 1n,
  hugepages: [{ pageSize: '2MB', usedBytes: 16n, peakBytes: 17n }],
  devices: [
    { major: 8, minor: 16, device: '/dev/sdb', readBytes: 18n, writtenBytes: 19n, reads: 20n, writes: 21n },
  ],
  processes: 2n,
  threads: 3n,
  threadsMax: 0n,
  openFiles: 22n,
  sockets: 23n,
  openFilesSoftLimit: 1024n,
};

const eth0 = {
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
const resources = {
  ...containerSpec.resources,
  cpuQuota: 50_000n,
  memoryLimitBytes: -1n,
  unified: { 'memory.min': '4096' },
};
const view = containerView(containerId('c'), {
  startedAtNs: 3n * SECOND,
  spec: { ...containerSpec, resources },
});
const written = {
  usedBytes: 5n,
  inodesUsed: 6n,
  mountpoint: '/m',
  atNs: 8n,
  capacity: { bytes: 100n, inodes: 20n, inodesFree: 14n },
};
const pod = sandboxMetrics({
  view: sandboxView(sandboxId('a')),
  atNs: usage.atNs,
  interfaces: [eth0],
  containers: [{ view, usage, details, written }],
});
const ofContainer = pod.containerMetrics?.[0]?.metrics ?? [];

const valueOf = (name: string, ...labels: readonly string[]): bigint | undefined =>
  [...(pod.metrics ?? []), ...ofContainer].find(
    (metric) =>
      metric.name === name &&
      labels.every((label, index) => metric.labelValues?.[BASE_LABELS.length + index] === label),
  )?.value?.value;

describe('metrics by the names of cAdvisor', () => {
  it('has 56 descriptors, and a container with everything has a value for each', () => {
    const descriptors = metricDescriptors();
    expect(descriptors).toHaveLength(56);
    const reported = new Set([...(pod.metrics ?? []), ...ofContainer].map(({ name }) => name));
    expect(descriptors.map(({ name }) => name).filter((name) => !reported.has(name))).toEqual([]);
  });

  it('gives each value as many labels as its descriptor has keys', () => {
    const keys = new Map(metricDescriptors().map(({ name, labelKeys }) => [name, labelKeys.length]));
    for (const metric of [...(pod.metrics ?? []), ...ofContainer]) {
      expect([metric.name, metric.labelValues?.length]).toEqual([metric.name, keys.get(metric.name ?? '')]);
      expect(metric.timestamp).toBe(usage.atNs);
    }
  });

  it('names pod and container in the labels, and calls the pod itself POD', () => {
    const { key } = sandboxView(sandboxId('a')).spec;
    expect(ofContainer[0]?.labelValues).toEqual([
      view.id,
      view.id,
      view.spec.imageUserSpecified || view.spec.imageRequested,
      key.namespace,
      key.name,
      view.spec.key.name,
    ]);
    expect(pod.metrics?.[0]?.labelValues).toEqual([
      sandboxId('a'),
      sandboxId('a'),
      '',
      key.namespace,
      key.name,
      'POD',
      'eth0',
    ]);
  });

  it('counts in whole seconds, and separates counters from gauges', () => {
    expect(valueOf('container_cpu_usage_seconds_total', 'total')).toBe(12n);
    expect(valueOf('container_pressure_io_waiting_seconds_total')).toBe(2n);
    expect(valueOf('container_start_time_seconds')).toBe(3n);
    expect(ofContainer.find(({ name }) => name === 'container_memory_rss')?.metricType).toBe(
      MetricType.GAUGE,
    );
    expect(ofContainer.find(({ name }) => name === 'container_cpu_usage_seconds_total')?.metricType).toBe(
      MetricType.COUNTER,
    );
  });

  it('shows no limit as 0, and counts faults of the cgroup itself apart from those below it', () => {
    expect(valueOf('container_spec_memory_limit_bytes')).toBe(0n);
    expect(valueOf('container_spec_memory_reservation_limit_bytes')).toBe(4096n);
    expect(valueOf('container_spec_cpu_quota')).toBe(50_000n);
    expect(valueOf('container_memory_failures_total', 'pgfault', 'container')).toBe(5n);
    expect(valueOf('container_memory_failures_total', 'pgfault', 'hierarchy')).toBe(9n);
    expect(valueOf('container_blkio_device_usage_total', '/dev/sdb', '8', '16', 'write')).toBe(19n);
  });

  it('leaves out what the machine does not report', () => {
    const bare: UsageDetails = {
      ...details,
      peakBytes: undefined,
      openFiles: undefined,
      hugepages: [{ pageSize: '2MB', usedBytes: 0n, peakBytes: undefined }],
    };
    const less = sandboxMetrics({
      view: sandboxView(sandboxId('a')),
      atNs: 1n,
      interfaces: [],
      containers: [{ view, usage, details: bare, written: undefined }],
    });
    const names = new Set(less.containerMetrics?.[0]?.metrics?.map(({ name }) => name));
    for (const name of [
      'container_memory_max_usage_bytes',
      'container_file_descriptors',
      'container_hugetlb_max_usage_bytes',
      'container_fs_usage_bytes',
    ]) {
      expect(names.has(name)).toBe(false);
    }
    expect(less.metrics).toEqual([]);
  });
});

describe('I/O files of cgroups', () => {
  it('io.stat of v2 has a device per line; unknown words are left out', () => {
    const text = '8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n252:1 rbytes=7\nbad\n';
    expect([...parseIoStat(text)]).toEqual([
      ['8:0', { readBytes: 1n, writtenBytes: 2n, reads: 3n, writes: 4n }],
      ['252:1', { readBytes: 7n, writtenBytes: 0n, reads: 0n, writes: 0n }],
    ]);
  });

  it('tables of v1 have reads and writes of each device; totals are left out', () => {
    const text = '8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Total 3\n8:16 Write 5\nTotal 8\n';
    expect([...parseDeviceTable(text)]).toEqual([
      ['8:0', { read: 1n, written: 2n }],
      ['8:16', { read: 0n, written: 5n }],
    ]);
  });
});
