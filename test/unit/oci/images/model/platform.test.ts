import { describe, expect, it } from 'vitest';
import { parseManifest, mediaTypes, type ImageIndex } from '../../../../../src/oci/images/model/manifest.ts';
import {
  formatPlatform,
  platformOfArch,
  platformOfMachine,
  type Platform,
} from '../../../../../src/oci/images/model/platform.ts';
import { choosePlatform } from '../../../../../src/oci/images/model/choose-platform.ts';

function parsePlatform(text: string): Platform {
  const [os = '', architecture = '', variant = ''] = text.split('/');
  return { os, architecture, variant };
}

/** The number of the entry chosen; platforms as `os/arch/variant`, '' for an entry that states none. */
function chosen(offered: readonly string[], wanted: string, upTo?: string): number | undefined {
  const manifests = offered.map((text, index) => ({
    mediaType: mediaTypes.ociManifest,
    digest: `sha256:${index.toString(16).padStart(64, '0')}`,
    size: index,
    ...(text === '' ? {} : { platform: parsePlatform(text) }),
  }));
  const index = parseManifest(
    Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })),
    '',
    'i',
  ) as ImageIndex;
  return choosePlatform(index.entries, { ...parsePlatform(wanted), ...(upTo === undefined ? {} : { upTo }) })
    ?.size;
}

describe('the platform of an index', () => {
  it.each<[readonly string[], string, number | undefined]>([
    [['linux/arm64', 'linux/amd64'], 'linux/amd64', 1],
    [['windows/amd64', 'linux/amd64'], 'linux/amd64', 1],
    [['linux/arm64'], 'linux/amd64', undefined],
    [['unknown/unknown'], 'linux/amd64', undefined],
    [[], 'linux/amd64', undefined],
    [['linux/amd64', 'linux/amd64'], 'linux/amd64', 0],
    // arm falls back v8 → v7 → v6, never forward
    [['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v8', 2],
    [['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v7', 1],
    [['linux/arm/v7'], 'linux/arm/v6', undefined],
    [['linux/arm'], 'linux/arm/v7', 0],
    [['linux/arm64'], 'linux/arm64/v8', 0],
    [['linux/arm64/v8'], 'linux/arm64', 0],
    [['linux/arm64/v9', 'linux/arm64/v8'], 'linux/arm64/v8', 1],
    [['linux/amd64/v3', 'linux/amd64'], 'linux/amd64', 1],
    [['linux/amd64/v2', 'linux/amd64/v3'], 'linux/amd64/v3', 1],
    [['linux/mips/softfloat'], 'linux/mips', undefined],
    [['linux/mips/softfloat'], 'linux/mips/softfloat', 0],
    // entries without a platform come last
    [['', 'linux/amd64'], 'linux/amd64', 1],
    [['', 'linux/arm64'], 'linux/amd64', 0],
    // other words for the same
    [['linux/aarch64', 'linux/x86_64'], 'linux/amd64', 1],
    [['Linux/x86-64', 'linux/aarch64'], 'linux/arm64/v8', 1],
    [['linux/i386', 'linux/armhf'], 'linux/arm/v7', 1],
  ])('of %j for %s: %s', (offered, wanted, expected) => {
    expect(chosen(offered, wanted)).toBe(expected);
  });

  it.each<[readonly string[], string, number | undefined]>([
    [['linux/amd64/v2', 'linux/amd64'], 'v3', 1],
    [['linux/amd64/v3', 'linux/amd64/v2'], 'v3', 1],
    [['linux/amd64/v4', 'linux/amd64/v3'], 'v3', 1],
    [['linux/amd64/v3'], 'v2', undefined],
    // an entry that says nothing may be anything
    [['', 'linux/amd64/v2'], 'v2', 1],
  ])('of %j for a machine of baseline that runs up to %s: %s', (offered, upTo, expected) => {
    expect(chosen(offered, 'linux/amd64', upTo)).toBe(expected);
  });

  it('entries of unsupported types are skipped', () => {
    const platform = { os: 'linux', architecture: 'amd64' };
    const types = [
      'application/vnd.example.sbom+json',
      'application/vnd.docker.distribution.manifest.v1+json',
      mediaTypes.ociManifest,
    ];
    const manifests = types.map((mediaType, size) => ({
      mediaType,
      size,
      digest: `sha256:${'e'.repeat(64)}`,
      platform,
    }));
    const of = (entries: readonly object[]): ImageIndex =>
      parseManifest(
        Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: entries })),
        '',
        'i',
      ) as ImageIndex;
    expect(choosePlatform(of(manifests).entries, { ...platform, variant: '' })?.size).toBe(1);
    expect(choosePlatform(of(manifests.slice(0, 1)).entries, { ...platform, variant: '' })).toBeUndefined();
  });

  it('levels of x86-64 follow the flags of the processor', () => {
    const v2 = 'fpu cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3';
    const v3 = `${v2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave`;
    const of = (flags: string, arch = 'x64'): string | undefined =>
      platformOfMachine(arch, `processor\t: 0\nflags\t\t: ${flags}\nbugs\t\t: x\n`).upTo;
    expect([
      of('fpu'),
      of(v2),
      of(v2.replace('ssse3', '')),
      of(v3),
      of(`${v3} avx512bw avx512cd avx512dq avx512f avx512vl`),
    ]).toEqual([undefined, 'v2', undefined, 'v3', 'v4']);
    // without the level below, what is above counts nothing
    expect(of(v3.replace('popcnt', ''))).toBeUndefined();
    expect(of(v3, 'arm64')).toBeUndefined();
    expect(platformOfMachine('x64', '')).toEqual(platformOfArch('x64'));
  });

  it('Node’s names of architectures are mapped to the spec’s', () => {
    expect(formatPlatform(platformOfArch('x64'))).toBe('linux/amd64');
    expect(formatPlatform(platformOfArch('arm64'))).toBe('linux/arm64/v8');
    expect(formatPlatform(platformOfArch('sparc'))).toBe('linux/sparc');
  });
});
