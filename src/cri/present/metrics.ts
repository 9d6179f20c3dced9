/** Usage → metrics. Pure. A value that the machine does not report is left out, not zero. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { InterfaceUsage, Pressure, Usage, UsageDetails, WrittenUsage } from '../../ports/stats.ts';
import type { ContainerView, SandboxView } from '../../actors/directory/views.ts';
import { ListPodSandboxMetricsResponseSchema } from '../../gen/runtime/v1/api_pb.ts';
import type {
  ContainerMetricsSchema,
  MetricSchema,
  PodSandboxMetricsSchema,
} from '../../gen/runtime/v1/api_pb.ts';
import { METRICS } from './metric-descriptors.ts';
import type { MetricName } from './metric-descriptors.ts';

export interface ContainerReading {
  readonly view: ContainerView;
  readonly usage: Usage;
  readonly details: UsageDetails;
  readonly written: WrittenUsage | undefined;
}

export interface SandboxReading {
  readonly view: SandboxView;
  readonly atNs: bigint;
  /** Empty for a pod on the host's network. */
  readonly interfaces: readonly InterfaceUsage[];
  readonly containers: readonly ContainerReading[];
}

/** One sample: its metric, its value, and the values of the labels that this metric has beside the base labels. */
type Value = readonly [name: MetricName, value: bigint | undefined, ...labels: readonly string[]];

/** Label `container` of a whole pod's series: cAdvisor's name for the container that holds the network. */
const POD = 'POD';

/** A list's answer with this pod alone, as `containerStatsEntry` (stats.ts). */
export function sandboxMetricsEntry(reading: SandboxReading): Uint8Array {
  const podMetrics = [sandboxMetrics(reading)];
  return toBinary(
    ListPodSandboxMetricsResponseSchema,
    create(ListPodSandboxMetricsResponseSchema, { podMetrics }),
  );
}

/** All metrics of one pod and of its running containers. */
export function sandboxMetrics({
  view,
  atNs,
  interfaces,
  containers,
}: SandboxReading): MessageInitShape<typeof PodSandboxMetricsSchema> {
  const base = [view.id, view.id, '', view.spec.key.namespace, view.spec.key.name, POD];
  return {
    podSandboxId: view.id,
    metrics: metrics(base, atNs, interfaces.flatMap(networkValues)),
    containerMetrics: containers.map((one) => containerMetrics(view, one)),
  };
}

function containerMetrics(
  sandbox: SandboxView,
  reading: ContainerReading,
): MessageInitShape<typeof ContainerMetricsSchema> {
  const { view, usage } = reading;
  const image = view.spec.imageUserSpecified === '' ? view.spec.imageRequested : view.spec.imageUserSpecified;
  const base = [
    view.id,
    view.id,
    image,
    sandbox.spec.key.namespace,
    sandbox.spec.key.name,
    view.spec.key.name,
  ];
  return { containerId: view.id, metrics: metrics(base, usage.atNs, containerValues(reading)) };
}

/** The largest value of CRI's Int64Value; larger ones are capped, as in present/stats.ts. */
const I64_MAX = 2n ** 63n - 1n;

function metrics(
  base: readonly string[],
  timestamp: bigint,
  values: readonly Value[],
): MessageInitShape<typeof MetricSchema>[] {
  return values.flatMap(([name, value, ...labels]) =>
    value === undefined
      ? []
      : [
          {
            name,
            timestamp,
            metricType: METRICS[name].type,
            labelValues: [...base, ...labels],
            value: { value: value > I64_MAX ? I64_MAX : value },
          },
        ],
  );
}

function containerValues({ view, usage, details, written }: ContainerReading): readonly Value[] {
  return [
    ['container_last_seen', seconds(usage.atNs)],
    ...cpuValues(usage, details),
    ...memoryValues(usage, details),
    ...diskValues(details, written),
    ...processValues(details),
    ...specValues(view),
    ...pressureValues('cpu', usage.cpuPressure),
    ...pressureValues('memory', usage.memoryPressure),
    ...pressureValues('io', usage.ioPressure),
  ];
}

function cpuValues(usage: Usage, details: UsageDetails): readonly Value[] {
  return [
    ['container_cpu_user_seconds_total', seconds(details.cpuUserNs)],
    ['container_cpu_system_seconds_total', seconds(details.cpuSystemNs)],
    // the kubelet configures cAdvisor without single CPUs, so dashboards know this label value
    ['container_cpu_usage_seconds_total', seconds(usage.cpuNs), 'total'],
    ['container_cpu_cfs_periods_total', details.periods],
    ['container_cpu_cfs_throttled_periods_total', details.throttledPeriods],
    ['container_cpu_cfs_throttled_seconds_total', seconds(details.throttledNs)],
  ];
}

function memoryValues(usage: Usage, details: UsageDetails): readonly Value[] {
  return [
    ['container_memory_cache', details.cacheBytes],
    ['container_memory_rss', usage.rssBytes],
    ['container_memory_kernel_usage', details.kernelBytes],
    ['container_memory_mapped_file', details.mappedBytes],
    ['container_memory_swap', usage.swapBytes],
    ['container_memory_failcnt', details.limitHits],
    ['container_memory_usage_bytes', usage.memoryBytes],
    ['container_memory_max_usage_bytes', details.peakBytes],
    ['container_memory_working_set_bytes', usage.workingSetBytes],
    ['container_memory_failures_total', details.ownPageFaults ?? usage.pageFaults, 'pgfault', 'container'],
    ['container_memory_failures_total', usage.pageFaults, 'pgfault', 'hierarchy'],
    [
      'container_memory_failures_total',
      details.ownMajorPageFaults ?? usage.majorPageFaults,
      'pgmajfault',
      'container',
    ],
    ['container_memory_failures_total', usage.majorPageFaults, 'pgmajfault', 'hierarchy'],
    ['container_oom_events_total', details.oomKills],
    ...details.hugepages.flatMap(({ pageSize, usedBytes, peakBytes }): readonly Value[] => [
      ['container_hugetlb_usage_bytes', usedBytes, pageSize],
      ['container_hugetlb_max_usage_bytes', peakBytes, pageSize],
    ]),
  ];
}

function diskValues({ devices }: UsageDetails, written: WrittenUsage | undefined): readonly Value[] {
  return [
    ['container_fs_inodes_free', written?.capacity.inodesFree],
    ['container_fs_inodes_total', written?.capacity.inodes],
    ['container_fs_limit_bytes', written?.capacity.bytes],
    ['container_fs_usage_bytes', written?.usedBytes],
    ...devices.flatMap(
      ({ device, major, minor, readBytes, writtenBytes, reads, writes }): readonly Value[] => [
        ['container_fs_reads_bytes_total', readBytes, device],
        ['container_fs_reads_total', reads, device],
        ['container_fs_writes_bytes_total', writtenBytes, device],
        ['container_fs_writes_total', writes, device],
        ['container_blkio_device_usage_total', readBytes, device, `${major}`, `${minor}`, 'read'],
        ['container_blkio_device_usage_total', writtenBytes, device, `${major}`, `${minor}`, 'write'],
      ],
    ),
  ];
}

function processValues(details: UsageDetails): readonly Value[] {
  return [
    ['container_file_descriptors', details.openFiles],
    ['container_processes', details.processes],
    ['container_sockets', details.sockets],
    ['container_threads', details.threads],
    ['container_threads_max', details.threadsMax],
    ['container_ulimits_soft', details.openFilesSoftLimit, 'max_open_files'],
  ];
}

function specValues({ spec: { resources }, startedAtNs }: ContainerView): readonly Value[] {
  const reservation = resources.unified['memory.min'] ?? '';
  return [
    ['container_spec_cpu_period', limit(resources.cpuPeriod)],
    ['container_spec_cpu_shares', limit(resources.cpuShares)],
    // without a quota there is no series: 0 would mean no CPU at all
    ['container_spec_cpu_quota', limit(resources.cpuQuota) || undefined],
    ['container_spec_memory_limit_bytes', limit(resources.memoryLimitBytes)],
    [
      'container_spec_memory_reservation_limit_bytes',
      /^\d{1,18}$/u.test(reservation) ? BigInt(reservation) : 0n,
    ],
    ['container_spec_memory_swap_limit_bytes', limit(resources.memorySwapLimitBytes)],
    ['container_start_time_seconds', seconds(startedAtNs)],
  ];
}

function pressureValues(of: 'cpu' | 'memory' | 'io', pressure: Pressure | undefined): readonly Value[] {
  return [
    [`container_pressure_${of}_stalled_seconds_total`, microseconds(pressure?.full.totalUs)],
    [`container_pressure_${of}_waiting_seconds_total`, microseconds(pressure?.some.totalUs)],
  ];
}

function networkValues({ name, ...usage }: InterfaceUsage): readonly Value[] {
  return [
    ['container_network_receive_bytes_total', usage.rxBytes, name],
    ['container_network_receive_packets_total', usage.rxPackets, name],
    ['container_network_receive_packets_dropped_total', usage.rxDropped, name],
    ['container_network_receive_errors_total', usage.rxErrors, name],
    ['container_network_transmit_bytes_total', usage.txBytes, name],
    ['container_network_transmit_packets_total', usage.txPackets, name],
    ['container_network_transmit_packets_dropped_total', usage.txDropped, name],
    ['container_network_transmit_errors_total', usage.txErrors, name],
  ];
}

/** Unset and unlimited are both 0, as in cAdvisor. */
function limit(value: bigint | undefined): bigint {
  return value === undefined || value < 0n ? 0n : value;
}

function seconds(ns: bigint | undefined): bigint | undefined {
  return ns === undefined ? undefined : ns / 1_000_000_000n;
}

function microseconds(us: bigint | undefined): bigint | undefined {
  return us === undefined ? undefined : us / 1_000_000n;
}
