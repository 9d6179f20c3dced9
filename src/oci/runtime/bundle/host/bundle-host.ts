/** What the spec generator needs to know of this machine, read once at the daemon's start. */
import { access, readFile } from 'node:fs/promises';
import { hostname, release } from 'node:os';
import { fail } from '../../../../base/fault.ts';
import { codeOf } from '../../../../host/ffi/errno.ts';
import { processCalls } from '../../../../host/ffi/processes.ts';
import type { MountInfo } from '../../../../host/mounts/mountinfo.ts';
import { readMountInfo } from '../../../../host/mounts/mountinfo.ts';
import { namesOf } from '../../../../host/files/names-of.ts';
import type { OwnLimits } from './rlimits.ts';
import { capabilitiesOfMask } from '../../spec/capabilities.ts';
import type { KernelArch, SpecHost } from '../../spec/input.ts';

const CGROUP_ROOT = '/sys/fs/cgroup';
const HUGEPAGES = '/sys/kernel/mm/hugepages';

/** Reads /proc and /sys. Throws `unsupported` on architectures other than x86-64 and arm64. */
export async function probeSpecHost(): Promise<SpecHost> {
  const status = await readFile('/proc/self/status', 'utf8');
  const limits = await readFile('/proc/self/limits', 'utf8');
  const mounts = await readMountInfo();
  const version = (await exists(`${CGROUP_ROOT}/cgroup.controllers`)) ? 2 : 1;
  return {
    arch: kernelArch(process.arch),
    refusedPrograms:
      process.arch === 'x64'
        ? refusedPrograms({
            status,
            runsX32: () => processCalls.getpidOfX32() > 0,
            showsKernel: await exists('/proc/sys/kernel'),
            lacksIa32: await isMissing('/proc/sys/abi/vsyscall32'),
          })
        : [],
    kernelRelease: release(),
    boundingCapabilities: capabilitiesOfMask(fieldOf(status, 'CapBnd')),
    cgroupVersion: version,
    swapLimits: version === 1 ? await hasMemoryAndSwap(mounts) : await exists('/proc/swaps'),
    hugepageSizes: (await hasHugetlb(version, mounts)) ? await pageSizes() : [],
    openFilesHard: hardOpenFiles(limits),
    oomScoreAdj: Number((await readFile('/proc/self/oom_score_adj', 'utf8')).trim()),
    oomScoreAdjCanSink: canRaiseLimits(status),
    messageQueues: mounts.some(({ mountPoint }) => mountPoint === '/dev/mqueue'),
    hostname: hostname(),
  };
}

/** What `rlimitsFor` needs to know of this daemon. */
export async function probeOwnLimits(): Promise<OwnLimits> {
  const [inherited, status] = await Promise.all([
    readFile('/proc/self/limits', 'utf8'),
    readFile('/proc/self/status', 'utf8'),
  ]);
  return { inherited, canRaise: canRaiseLimits(status) };
}

function canRaiseLimits(status: string): boolean {
  return capabilitiesOfMask(fieldOf(status, 'CapEff')).includes('CAP_SYS_RESOURCE');
}

function kernelArch(arch: string): KernelArch {
  return arch === 'x64' || arch === 'arm64'
    ? arch
    : fail('unsupported', `run on ${arch}: only x64 and arm64 are supported`, { subject: arch });
}

interface ProgramFacts {
  /** /proc/self/status. */
  readonly status: string;
  /** Whether a call with an x32 number works. */
  readonly runsX32: () => boolean;
  /** Whether /proc/sys/kernel is there, and /proc/sys/abi/vsyscall32 is not. */
  readonly showsKernel: boolean;
  readonly lacksIa32: boolean;
}

/**
 * What an x86-64 kernel does not run. x32 is in few kernels (CONFIG_X86_X32_ABI): a call shows it, which is not made
 * where a filter on the daemon might end it for that. The file is of CONFIG_IA32_EMULATION
 * (arch/x86/entry/vdso/vdso32-setup.c). In doubt a program runs.
 */
export function refusedPrograms({
  status,
  runsX32,
  showsKernel,
  lacksIa32,
}: ProgramFacts): SpecHost['refusedPrograms'] {
  const hasX32 = /^Seccomp:\s*[12]$/mu.test(status) || runsX32();
  const hasIa32 = !lacksIa32 || !showsKernel;
  return [...(hasIa32 ? [] : (['ia32'] as const)), ...(hasX32 ? [] : (['x32'] as const))];
}

function fieldOf(status: string, name: string): string {
  return (
    new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'mu').exec(status)?.[1] ??
    fail('outside', `read ${name} of /proc/self/status: not found`, { subject: name })
  );
}

/** The hard limit in /proc/PID/limits; for `unlimited`, the default of fs.nr_open. */
export function hardOpenFiles(limits: string): number {
  const hard = /^Max open files\s+\S+\s+(\S+)/mu.exec(limits)?.[1];
  return hard === undefined || !/^[0-9]+$/u.test(hard) ? 1_048_576 : Number(hard);
}

/** Mount point of a v1 controller. */
function v1Mount(controller: string, mounts: readonly MountInfo[]): string | undefined {
  return mounts.find(({ fsType, superOptions }) => fsType === 'cgroup' && superOptions.includes(controller))
    ?.mountPoint;
}

async function hasMemoryAndSwap(mounts: readonly MountInfo[]): Promise<boolean> {
  const memory = v1Mount('memory', mounts);
  return memory !== undefined && exists(`${memory}/memory.memsw.limit_in_bytes`);
}

async function hasHugetlb(version: 1 | 2, mounts: readonly MountInfo[]): Promise<boolean> {
  // on a hybrid machine the v2 mount may have hugetlb, but a runtime that manages v1 does not use it
  if (version === 1) return v1Mount('hugetlb', mounts) !== undefined;
  return (await readFile(`${CGROUP_ROOT}/cgroup.controllers`, 'utf8')).split(/\s+/u).includes('hugetlb');
}

/**
 * Sizes as in the names of cgroup files: `hugepages-2048kB` is 2MB, `hugepages-1048576kB` 1GB, `hugepages-64kB` 64KB.
 */
async function pageSizes(): Promise<readonly string[]> {
  return (await namesOf(HUGEPAGES))
    .map(pageSizeOf)
    .filter((size) => size !== undefined)
    .sort();
}

/**
 * The size in a directory's name in /sys/kernel/mm/hugepages, in the kernel's short form (mm/hugetlb_cgroup.c,
 * mem_fmt).
 */
export function pageSizeOf(name: string): string | undefined {
  const kib = Number(/^hugepages-([0-9]+)kB$/u.exec(name)?.[1] ?? Number.NaN);
  if (Number.isNaN(kib)) return undefined;
  if (kib >= 1024 * 1024) return `${kib / (1024 * 1024)}GB`;
  return kib >= 1024 ? `${kib / 1024}MB` : `${kib}KB`;
}

/** False also when the file can't be reached. */
async function isMissing(path: string): Promise<boolean> {
  return access(path).then(
    () => false,
    (error: unknown) => codeOf(error) === 'ENOENT',
  );
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
