/** Ranks how well an image fits this machine (image spec: image-index.md, platform; variants as in its table). */

/** In Go's names: `linux`, `amd64`, `v8`. The variant may be empty. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
  /**
   * The newest variant that this machine runs, if newer than `variant`. Used only when no image for `variant` or an
   * older one is offered, so that all nodes of one architecture prefer the same image.
   */
  readonly upTo?: string;
}

/** Node's `process.arch` → architecture as the spec names it, with the variant that every such machine supports. */
const ARCHITECTURES: ReadonlyMap<string, readonly [string, string]> = new Map([
  ['x64', ['amd64', '']],
  ['arm64', ['arm64', 'v8']],
  ['arm', ['arm', 'v7']],
  ['ia32', ['386', '']],
  ['ppc64', ['ppc64le', '']],
  ['s390x', ['s390x', '']],
  ['riscv64', ['riscv64', '']],
  ['loong64', ['loong64', '']],
]);

/** Other names of architectures that some builders write into indexes and configs (from `uname -m` and Debian). */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['x86-64', 'amd64'],
  ['aarch64', 'arm64'],
  ['i386', '386'],
  ['i686', '386'],
  ['armhf', 'arm'],
]);

/** The names that the spec uses. */
export function usualNames({
  os,
  architecture,
}: Pick<Platform, 'os' | 'architecture'>): Pick<Platform, 'os' | 'architecture'> {
  const lower = architecture.toLowerCase();
  return { os: os.toLowerCase(), architecture: OTHER_NAMES.get(lower) ?? lower };
}

/** The platform for Node's name of an architecture. An unknown name is used as it is. */
export function platformOfArch(nodeArch: string): Platform {
  const [architecture, variant] = ARCHITECTURES.get(nodeArch) ?? [nodeArch, ''];
  return { os: 'linux', architecture, variant };
}

/** The flags in /proc/cpuinfo that each level of x86-64 adds (x86-64 psABI, "Micro-Architecture Levels"). */
const AMD64_LEVELS: readonly (readonly [string, readonly string[]])[] = [
  ['v2', ['cx16', 'lahf_lm', 'popcnt', 'pni', 'sse4_1', 'sse4_2', 'ssse3']],
  ['v3', ['abm', 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe', 'xsave']],
  ['v4', ['avx512bw', 'avx512cd', 'avx512dq', 'avx512f', 'avx512vl']],
];

/** The platform of this machine, with `upTo` from its processor flags. `cpuinfo`: text of /proc/cpuinfo. */
export function platformOfMachine(nodeArch: string, cpuinfo: string): Platform {
  const platform = platformOfArch(nodeArch);
  if (platform.architecture !== 'amd64') return platform;
  // the kernel reports the same flags for all processors of a machine, so read the first only
  const flags = new Set(/^flags\s*:(.*)$/mu.exec(cpuinfo)?.[1]?.trim().split(/\s+/u));
  let upTo = '';
  for (const [level, adds] of AMD64_LEVELS) {
    if (!adds.every((flag) => flags.has(flag))) break;
    upTo = level;
  }
  return upTo === '' ? platform : { ...platform, upTo };
}

/** For messages: `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== '').join('/');
}

/**
 * How well an image for `offered` fits `wanted`: 0 is an exact match, a greater number an older variant, undefined does
 * not fit. A variant newer than the machine's fits only up to `upTo`, as a last resort. An empty variant means the
 * architecture's baseline.
 */
export function platformRank(offered: Platform, wanted: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const has = variantNumber(wanted);
  const asks = variantNumber(offered);
  // variants other than `v` and a number have no order: they must be equal
  if (has === undefined || asks === undefined) return offered.variant === wanted.variant ? 0 : undefined;
  if (asks <= has) return has - asks;
  const most = wanted.upTo === undefined ? undefined : variantNumber({ ...wanted, variant: wanted.upTo });
  return most !== undefined && asks <= most ? NEWER + asks : undefined;
}

/** Ranks variants up to `upTo` after all older variants; among them the oldest first. */
const NEWER = 1000;

const BASELINE: ReadonlyMap<string, number> = new Map([
  ['amd64', 1],
  ['arm64', 8],
  // GOARM's default: containerd and Docker normalise `arm` without a variant to v7
  ['arm', 7],
]);

function variantNumber(platform: Platform): number | undefined {
  if (platform.variant === '') return BASELINE.get(platform.architecture) ?? 0;
  const digits = /^v([0-9]{1,2})$/u.exec(platform.variant)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
