/**
 * What of a container's limits its scope gets. The kernel shares what a slice has among the slice's children
 * (cgroup-v2.rst, "Weights" and "Protections"), which are the scopes: the same values on the container's own cgroup
 * inside its scope only count beside its monitor. systemd owns a scope's files, so they are properties of the unit.
 */
import type { Resources } from '../../ports/specs.ts';

/** Limits of a container that count between containers. */
export type ScopeLimits = Pick<Resources, 'cpuShares' | 'unified'>;

/** Name, signature and value, as busctl(1) takes them. */
export type UnitProperty = readonly [name: string, signature: string, value: string];

/** systemd's "infinity" (org.freedesktop.systemd1(5)). */
const INFINITY = String(2n ** 64n - 1n);
/** Range of cpu.shares (kernel/sched/sched.h, MIN_SHARES and MAX_SHARES). */
const [SHARES_MIN, SHARES_MAX] = [2, 262_144];

/**
 * The weight of cgroup v2 for shares of v1, as runc 1.4 and crun 1.24 convert them: 2 is 1, the default of 1024 is the
 * default of 100, 262144 is 10000.
 */
export function weightOfShares(shares: bigint): number {
  const log = Math.log2(Math.min(Math.max(Number(shares), SHARES_MIN), SHARES_MAX));
  // the logarithm is exact for powers of two only: 100.00000000000001 is 100
  return Math.ceil(Number((10 ** ((log * log + 125 * log) / 612 - 7 / 34)).toFixed(9)));
}

/** Properties of a scope with these limits; what is not limited is left out. */
export function scopeProperties({ cpuShares, unified }: ScopeLimits): readonly UnitProperty[] {
  const properties: UnitProperty[] = [];
  if (cpuShares !== undefined && cpuShares > 0n)
    properties.push(['CPUWeight', 't', String(weightOfShares(cpuShares))]);
  for (const [file, name] of [
    ['memory.min', 'MemoryMin'],
    ['memory.low', 'MemoryLow'],
  ] as const) {
    const bytes = unified[file];
    if (bytes === 'max') properties.push([name, 't', INFINITY]);
    else if (bytes !== undefined && /^\d{1,18}$/u.test(bytes)) properties.push([name, 't', bytes]);
  }
  return properties;
}

/** The pod's cgroup limits processes; systemd would give each scope its DefaultTasksMax. */
export const UNLIMITED_TASKS: UnitProperty = ['TasksMax', 't', INFINITY];
