/** The configured rlimits of containers, lowered to what this daemon may set (getrlimit(2)). */
import { fail } from '../../../../base/fault.ts';
import type { OciRlimit } from '../../spec/types.ts';

/** Soft and hard limit as configured. */
export interface ConfiguredRlimit {
  readonly soft: number | 'unlimited';
  readonly hard: number | 'unlimited';
}

/** RLIM_INFINITY of the kernel's 64-bit interface (include/uapi/asm-generic/resource.h). */
const INFINITY = 2n ** 64n - 1n;

/** Their names in /proc/PID/limits (fs/proc/base.c). */
const LABELS: Readonly<Record<string, string>> = {
  as: 'Max address space',
  core: 'Max core file size',
  cpu: 'Max cpu time',
  data: 'Max data size',
  fsize: 'Max file size',
  locks: 'Max file locks',
  memlock: 'Max locked memory',
  msgqueue: 'Max msgqueue size',
  nice: 'Max nice priority',
  nofile: 'Max open files',
  nproc: 'Max processes',
  rss: 'Max resident set',
  rtprio: 'Max realtime priority',
  rttime: 'Max realtime timeout',
  sigpending: 'Max pending signals',
  stack: 'Max stack size',
};

export interface AllowedRlimits {
  readonly rlimits: readonly OciRlimit[];
  /** One sentence for each limit that was lowered. */
  readonly conditions: readonly string[];
}

export interface OwnLimits {
  /** Text of the daemon's /proc/self/limits. */
  readonly inherited: string;
  /** CAP_SYS_RESOURCE. */
  readonly canRaise: boolean;
}

/**
 * The limits for config.json. Without CAP_SYS_RESOURCE (`canRaise`) a child gets no more than the daemon has, and a
 * runtime that was to set more could start no container. Throws `invalidRequest` for a soft limit above its hard one,
 * and for an unknown name.
 */
export function rlimitsFor(
  configured: Readonly<Record<string, ConfiguredRlimit>>,
  { inherited, canRaise }: OwnLimits,
): AllowedRlimits {
  const conditions: string[] = [];
  const rlimits = Object.entries(configured)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, limit]): OciRlimit => {
      const [soft, hard] = [bound(limit.soft), bound(limit.hard)];
      if (soft > hard)
        fail('invalidRequest', `use runtime.rlimits.${name}: soft is above hard`, { subject: name });
      const most = canRaise ? INFINITY : inheritedHard(name, inherited);
      if (hard > most)
        conditions.push(
          `runtime.rlimits.${name}: hard limit lowered to ${most}, the daemon's own: no CAP_SYS_RESOURCE`,
        );
      return {
        type: `RLIMIT_${name.toUpperCase()}`,
        soft: soft < most ? soft : most,
        hard: hard < most ? hard : most,
      };
    });
  return { rlimits, conditions };
}

function bound(value: number | 'unlimited'): bigint {
  return value === 'unlimited' ? INFINITY : BigInt(value);
}

function inheritedHard(name: string, limits: string): bigint {
  const label =
    LABELS[name] ?? fail('invalidRequest', `use runtime.rlimits.${name}: unknown limit`, { subject: name });
  const line = limits.split('\n').find((one) => one.startsWith(`${label} `)) ?? '';
  const hard = line.slice(label.length).trim().split(/\s+/u)[1] ?? 'unlimited';
  return hard === 'unlimited' ? INFINITY : BigInt(hard);
}
