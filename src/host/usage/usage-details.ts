/** Figures that only the metrics report: more files of a cgroup, and its processes' files below /proc. */
import { opendirSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DeviceUsage, UsageDetails } from '../../ports/stats.ts';
import { mayHangReader } from '../process/process-status.ts';
import { hostLimits } from '../bounds.ts';
import { readKernelFile } from './kernel-files.ts';
import { parseDeviceTable, parseFlat, parseIoStat, parseNumber } from './usage-files.ts';
import type { DeviceOperations } from './usage-files.ts';

/** Reads a file of the cgroup in a controller's hierarchy; undefined when it does not exist. */
export type ReadControl = (controller: string, file: string) => string | undefined;

type CgroupDetails = Omit<UsageDetails, 'processes' | 'openFiles' | 'sockets' | 'openFilesSoftLimit'>;

/** Reads the cgroup behind `read`; `pageSizes` in the kernel's notation for file names (`2MB`). */
export function readDetails(
  version: 1 | 2,
  read: ReadControl,
  pageSizes: readonly string[],
  pid: number | undefined,
): UsageDetails {
  const details = version === 2 ? detailsV2(read, pageSizes) : detailsV1(read, pageSizes);
  const pids = (read('pids', 'cgroup.procs') ?? '').split('\n').filter((line) => line !== '');
  const softLimit = /^Max open files +(\d+)/mu.exec(
    (pid === undefined ? undefined : readKernelFile(`/proc/${pid}/limits`)) ?? '',
  )?.[1];
  return {
    ...details,
    processes: details.threads === undefined ? undefined : BigInt(pids.length),
    ...countFiles(pids),
    openFilesSoftLimit: parseNumber(softLimit),
  };
}

function detailsV1(read: ReadControl, pageSizes: readonly string[]): CgroupDetails {
  const cpu = parseFlat(read('cpu', 'cpu.stat') ?? '');
  const memory = parseFlat(read('memory', 'memory.stat') ?? '');
  return {
    cpuUserNs: parseNumber(read('cpuacct', 'cpuacct.usage_user')),
    cpuSystemNs: parseNumber(read('cpuacct', 'cpuacct.usage_sys')),
    periods: cpu.get('nr_periods'),
    throttledPeriods: cpu.get('nr_throttled'),
    throttledNs: cpu.get('throttled_time'),
    cacheBytes: memory.get('total_cache'),
    kernelBytes: parseNumber(read('memory', 'memory.kmem.usage_in_bytes')),
    mappedBytes: memory.get('total_mapped_file'),
    limitHits: parseNumber(read('memory', 'memory.failcnt')),
    peakBytes: parseNumber(read('memory', 'memory.max_usage_in_bytes')),
    ownPageFaults: memory.get('pgfault'),
    ownMajorPageFaults: memory.get('pgmajfault'),
    oomKills: parseFlat(read('memory', 'memory.oom_control') ?? '').get('oom_kill'),
    hugepages: hugepages(pageSizes, read, 'usage_in_bytes', 'max_usage_in_bytes'),
    devices: devicesV1(read),
    ...threads(read),
  };
}

function detailsV2(read: ReadControl, pageSizes: readonly string[]): CgroupDetails {
  const cpu = parseFlat(read('cpu', 'cpu.stat') ?? '');
  const memory = parseFlat(read('memory', 'memory.stat') ?? '');
  const events = parseFlat(read('memory', 'memory.events') ?? '');
  const ns = (name: string): bigint | undefined => {
    const usec = cpu.get(name);
    return usec === undefined ? undefined : usec * 1000n;
  };
  return {
    cpuUserNs: ns('user_usec'),
    cpuSystemNs: ns('system_usec'),
    periods: cpu.get('nr_periods'),
    throttledPeriods: cpu.get('nr_throttled'),
    throttledNs: ns('throttled_usec'),
    cacheBytes: memory.get('file'),
    kernelBytes: memory.get('kernel'),
    mappedBytes: memory.get('file_mapped'),
    limitHits: events.get('max'),
    // since Linux 5.19
    peakBytes: parseNumber(read('memory', 'memory.peak')),
    // v2 reports only the sum of a cgroup and those below it
    ownPageFaults: undefined,
    ownMajorPageFaults: undefined,
    oomKills: events.get('oom_kill'),
    hugepages: hugepages(pageSizes, read, 'current', undefined),
    devices: named(parseIoStat(read('io', 'io.stat') ?? '')),
    ...threads(read),
  };
}

function threads(read: ReadControl): Pick<UsageDetails, 'threads' | 'threadsMax'> {
  const max = read('pids', 'pids.max');
  return {
    threads: parseNumber(read('pids', 'pids.current')),
    threadsMax: max?.trim() === 'max' ? 0n : parseNumber(max),
  };
}

function hugepages(
  pageSizes: readonly string[],
  read: ReadControl,
  used: string,
  peak: string | undefined,
): UsageDetails['hugepages'] {
  return pageSizes.flatMap((pageSize) => {
    const usedBytes = parseNumber(read('hugetlb', `hugetlb.${pageSize}.${used}`));
    const peakBytes =
      peak === undefined ? undefined : parseNumber(read('hugetlb', `hugetlb.${pageSize}.${peak}`));
    return usedBytes === undefined ? [] : [{ pageSize, usedBytes, peakBytes }];
  });
}

/** The throttle files count all I/O; the others only that of one I/O scheduler (blkio-controller.rst). */
function devicesV1(read: ReadControl): readonly DeviceUsage[] {
  const bytes = parseDeviceTable(read('blkio', 'blkio.throttle.io_service_bytes_recursive') ?? '');
  const counts = parseDeviceTable(read('blkio', 'blkio.throttle.io_serviced_recursive') ?? '');
  const all = [...bytes].map(([numbers, { read: readBytes, written: writtenBytes }]) => {
    const count = counts.get(numbers) ?? { read: 0n, written: 0n };
    return [numbers, { readBytes, writtenBytes, reads: count.read, writes: count.written }] as const;
  });
  return named(new Map(all));
}

function named(devices: ReadonlyMap<string, DeviceOperations>): readonly DeviceUsage[] {
  return [...devices].map(([numbers, operations]) => {
    const [major = 0, minor = 0] = numbers.split(':').map(Number);
    return { major, minor, device: deviceName(numbers), ...operations };
  });
}

function deviceName(numbers: string): string {
  try {
    return `/dev/${basename(readlinkSync(`/sys/dev/block/${numbers}`))}`;
  } catch {
    return numbers;
  }
}

/**
 * Stops at the bound: a container with a million open files, or as many processes, must not delay everything
 * else.
 */
function countFiles(pids: readonly string[]): Pick<UsageDetails, 'openFiles' | 'sockets'> {
  if (pids.length > hostLimits.countedFiles) return { openFiles: undefined, sockets: undefined };
  let openFiles = 0;
  let sockets = 0;
  for (const pid of pids) {
    if (mayHangReader(Number(pid))) return { openFiles: undefined, sockets: undefined };
    try {
      using directory = opendirSync(`/proc/${pid}/fd`);
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        openFiles += 1;
        if (openFiles > hostLimits.countedFiles) return { openFiles: undefined, sockets: undefined };
        if (isSocket(join(`/proc/${pid}/fd`, entry.name))) sockets += 1;
      }
    } catch {
      // the process has ended meanwhile
    }
  }
  return { openFiles: BigInt(openFiles), sockets: BigInt(sockets) };
}

function isSocket(path: string): boolean {
  try {
    return readlinkSync(path).startsWith('socket:');
  } catch {
    return false;
  }
}

/**
 * Sizes of huge pages that this kernel has, in the notation of cgroup files (hugetlb.rst of both versions).
 */
export function hugepageSizes(): readonly string[] {
  try {
    using directory = opendirSync('/sys/kernel/mm/hugepages');
    const names: string[] = [];
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync())
      names.push(entry.name);
    return names
      .map(pageSizeName)
      .filter((name) => name !== '')
      .sort();
  } catch {
    return [];
  }
}

const KIB_STEP = 1024;

function pageSizeName(directory: string): string {
  const kib = Number(/^hugepages-(\d+)kB$/u.exec(directory)?.[1]);
  if (!Number.isInteger(kib)) return '';
  if (kib >= KIB_STEP ** 2) return `${kib / KIB_STEP ** 2}GB`;
  return kib >= KIB_STEP ? `${kib / KIB_STEP}MB` : `${kib}KB`;
}
