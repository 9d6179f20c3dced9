/** Which image of an index fits this machine (image spec: image-index.md, platform; variants as in its table). */

/** Go's words: `linux`, `amd64`, `v8`; the variant is empty where there is none. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string;
  /**
   * The newest variant that this very machine runs, where it is newer than `variant`: taken when nothing for `variant` is
   * offered. What is built for the older one comes first, so that all nodes of a kind have the same image.
   */
  readonly upTo?: string;
}

/** Node's `process.arch` in the words of the spec, with the variant that every such machine has at least. */
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

/** Other words for architectures, which some builders write into indexes and configs (`uname -m`, Debian's names). */
const OTHER_NAMES: ReadonlyMap<string, string> = new Map([
  ['x86_64', 'amd64'],
  ['x86-64', 'amd64'],
  ['aarch64', 'arm64'],
  ['i386', '386'],
  ['i686', '386'],
  ['armhf', 'arm'],
]);

/** In the words of the spec. */
export function usualNames({
  os,
  architecture,
}: Pick<Platform, 'os' | 'architecture'>): Pick<Platform, 'os' | 'architecture'> {
  const lower = architecture.toLowerCase();
  return { os: os.toLowerCase(), architecture: OTHER_NAMES.get(lower) ?? lower };
}

/** The platform of a machine by Node's name of its architecture; an unknown name stands for itself. */
export function platformOfArch(nodeArch: string): Platform {
  const [architecture, variant] = ARCHITECTURES.get(nodeArch) ?? [nodeArch, ''];
  return { os: 'linux', architecture, variant };
}

/** What each level of x86-64 adds, in the words of /proc/cpuinfo (x86-64 psABI, "Micro-Architecture Levels"). */
const AMD64_LEVELS: readonly (readonly [string, readonly string[]])[] = [
  ['v2', ['cx16', 'lahf_lm', 'popcnt', 'pni', 'sse4_1', 'sse4_2', 'ssse3']],
  ['v3', ['abm', 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'movbe', 'xsave']],
  ['v4', ['avx512bw', 'avx512cd', 'avx512dq', 'avx512f', 'avx512vl']],
];

/** The platform of a machine, with what its processors can do beyond it. `cpuinfo`: text of /proc/cpuinfo. */
export function platformOfMachine(nodeArch: string, cpuinfo: string): Platform {
  const platform = platformOfArch(nodeArch);
  if (platform.architecture !== 'amd64') return platform;
  // the kernel gives a guest's processors what all of them have; the first stands for the others
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
 * How well an image for `offered` runs on `wanted`: 0 is exact, greater is an older variant, undefined is not at all.
 * A newer variant than the machine's never fits, one up to `upTo` as a last resort; a missing one means the architecture's
 * baseline.
 */
export function platformRank(offered: Platform, wanted: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined;
  const has = variantNumber(wanted);
  const asks = variantNumber(offered);
  // a variant that is not `v` and a number has no order: only the same word fits
  if (has === undefined || asks === undefined) return offered.variant === wanted.variant ? 0 : undefined;
  if (asks <= has) return has - asks;
  const most = wanted.upTo === undefined ? undefined : variantNumber({ ...wanted, variant: wanted.upTo });
  return most !== undefined && asks <= most ? NEWER + asks : undefined;
}

/** Any older variant is better than one that only this machine runs; of those the oldest. */
const NEWER = 1000;

const BASELINE: ReadonlyMap<string, number> = new Map([
  ['amd64', 1],
  ['arm64', 8],
  // GOARM's default: an `arm` image that does not say more is built for v7 (containers' and Docker's normalisation)
  ['arm', 7],
]);

function variantNumber(platform: Platform): number | undefined {
  if (platform.variant === '') return BASELINE.get(platform.architecture) ?? 0;
  const digits = /^v([0-9]{1,2})$/u.exec(platform.variant)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
