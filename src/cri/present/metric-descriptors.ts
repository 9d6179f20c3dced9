/**
 * The metrics of ListPodSandboxMetrics, with the names and labels of cAdvisor: dashboards made for the kubelet's
 * /metrics/cadvisor keep working when the kubelet reads the metrics from the runtime.
 */
import { MetricType } from '../../gen/runtime/v1/api_pb.ts';

/** Labels that every metric has, in the order of their values. */
export const BASE_LABELS = ['id', 'name', 'image', 'namespace', 'pod', 'container'] as const;

export interface MetricDescription {
  readonly help: string;
  readonly type: MetricType;
  /** After the base labels. */
  readonly labels: readonly string[];
}

const counter = (help: string, ...labels: readonly string[]): MetricDescription => ({
  help,
  type: MetricType.COUNTER,
  labels,
});
const gauge = (help: string, ...labels: readonly string[]): MetricDescription => ({
  help,
  type: MetricType.GAUGE,
  labels,
});

/** By name. Times are whole seconds, since a metric's value is an integer. */
export const METRICS = {
  container_last_seen: gauge('When the container was last seen, in seconds since the epoch.'),

  container_cpu_user_seconds_total: counter('CPU time used in user mode, in seconds.'),
  container_cpu_system_seconds_total: counter('CPU time used in the kernel, in seconds.'),
  container_cpu_usage_seconds_total: counter('CPU time used, in seconds.', 'cpu'),
  container_cpu_cfs_periods_total: counter('Enforcement periods that have passed.'),
  container_cpu_cfs_throttled_periods_total: counter(
    'Enforcement periods in which the container was throttled.',
  ),
  container_cpu_cfs_throttled_seconds_total: counter('How long the container was throttled, in seconds.'),

  container_fs_inodes_free: gauge('Free inodes of the file system.'),
  container_fs_inodes_total: gauge('All inodes of the file system.'),
  container_fs_limit_bytes: gauge('Size of the file system that the container writes to, in bytes.'),
  container_fs_usage_bytes: gauge('What the container wrote to its root file system, in bytes.'),

  container_fs_reads_bytes_total: counter('Bytes read.', 'device'),
  container_fs_reads_total: counter('Reads completed.', 'device'),
  container_fs_writes_bytes_total: counter('Bytes written.', 'device'),
  container_fs_writes_total: counter('Writes completed.', 'device'),
  container_blkio_device_usage_total: counter(
    'Bytes by device and operation.',
    'device',
    'major',
    'minor',
    'operation',
  ),

  container_hugetlb_usage_bytes: gauge('Huge pages in use, in bytes.', 'pagesize'),
  container_hugetlb_max_usage_bytes: gauge('Most huge pages that were in use at once, in bytes.', 'pagesize'),

  container_memory_cache: gauge('Page cache, in bytes.'),
  container_memory_rss: gauge('Anonymous memory, in bytes.'),
  container_memory_kernel_usage: gauge('Memory that the kernel holds for the container, in bytes.'),
  container_memory_mapped_file: gauge('Files mapped into memory, in bytes.'),
  container_memory_swap: gauge('Swap in use, in bytes.'),
  container_memory_failcnt: counter('Times that memory use hit its limit.'),
  container_memory_usage_bytes: gauge('Memory in use, page cache included, in bytes.'),
  container_memory_max_usage_bytes: gauge('Most memory that was in use, in bytes.'),
  container_memory_working_set_bytes: gauge('Memory in use that the kernel cannot drop at once, in bytes.'),
  container_memory_failures_total: counter('Page faults.', 'failure_type', 'scope'),

  container_network_receive_bytes_total: counter('Bytes received.', 'interface'),
  container_network_receive_packets_total: counter('Packets received.', 'interface'),
  container_network_receive_packets_dropped_total: counter('Packets dropped on receipt.', 'interface'),
  container_network_receive_errors_total: counter('Errors on receipt.', 'interface'),
  container_network_transmit_bytes_total: counter('Bytes sent.', 'interface'),
  container_network_transmit_packets_total: counter('Packets sent.', 'interface'),
  container_network_transmit_packets_dropped_total: counter('Packets dropped on sending.', 'interface'),
  container_network_transmit_errors_total: counter('Errors on sending.', 'interface'),

  container_oom_events_total: counter('Processes killed by the OOM killer.'),

  container_file_descriptors: gauge('Open files of all processes.'),
  container_processes: gauge('Processes.'),
  container_sockets: gauge('Open sockets of all processes.'),
  container_threads: gauge('Threads of all processes.'),
  container_threads_max: gauge('Limit of threads; 0 for no limit.'),
  container_ulimits_soft: gauge("Soft limits of the container's first process.", 'ulimit'),

  container_spec_cpu_period: gauge('Enforcement period, in microseconds.'),
  container_spec_cpu_shares: gauge('CPU shares.'),
  container_spec_cpu_quota: gauge('CPU quota per period, in microseconds.'),
  container_spec_memory_limit_bytes: gauge('Memory limit, in bytes; 0 for none.'),
  container_spec_memory_reservation_limit_bytes: gauge('Memory that is reserved, in bytes; 0 for none.'),
  container_spec_memory_swap_limit_bytes: gauge('Limit of memory and swap together, in bytes; 0 for none.'),
  container_start_time_seconds: gauge('When the container was started, in seconds since the epoch.'),

  container_pressure_cpu_stalled_seconds_total: counter('How long all tasks waited for a CPU, in seconds.'),
  container_pressure_cpu_waiting_seconds_total: counter('How long some task waited for a CPU, in seconds.'),
  container_pressure_memory_stalled_seconds_total: counter(
    'How long all tasks waited for memory, in seconds.',
  ),
  container_pressure_memory_waiting_seconds_total: counter(
    'How long some task waited for memory, in seconds.',
  ),
  container_pressure_io_stalled_seconds_total: counter('How long all tasks waited for I/O, in seconds.'),
  container_pressure_io_waiting_seconds_total: counter('How long some task waited for I/O, in seconds.'),
} as const satisfies Record<string, MetricDescription>;

export type MetricName = keyof typeof METRICS;

/** What ListMetricDescriptors answers. */
export function metricDescriptors(): { name: string; help: string; labelKeys: string[] }[] {
  return Object.entries<MetricDescription>(METRICS).map(([name, { help, labels }]) => ({
    name,
    help,
    labelKeys: [...BASE_LABELS, ...labels],
  }));
}
