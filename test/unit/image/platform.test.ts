import { describe, expect, it } from 'vitest';
import { parseManifest, mediaTypes, type ImageIndex } from '../../../src/oci/image/manifest.ts';
import { choosePlatform, formatPlatform, platformOfArch, type Platform } from '../../../src/oci/image/platform.ts';

function parsePlatform(text: string): Platform {
  const [os = '', architecture = '', variant = ''] = text.split('/');
  return { os, architecture, variant };
}

/** The number of the entry chosen; platforms as `os/arch/variant`, '' for an entry that states none. */
function chosen(offered: readonly string[], wanted: string): number | undefined {
  const manifests = offered.map((text, index) => ({
    mediaType: mediaTypes.ociManifest,
    digest: `sha256:${index.toString(16).padStart(64, '0')}`,
    size: index,
    ...(text === '' ? {} : { platform: parsePlatform(text) }),
  }));
  const index = parseManifest(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })), '', 'i') as ImageIndex;
  return choosePlatform(index.entries, parsePlatform(wanted))?.size;
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
  ])('of %j for %s: %s', (offered, wanted, expected) => {
    expect(chosen(offered, wanted)).toBe(expected);
  });

  it('Node’s names of architectures in the words of the spec', () => {
    expect(formatPlatform(platformOfArch('x64'))).toBe('linux/amd64');
    expect(formatPlatform(platformOfArch('arm64'))).toBe('linux/arm64/v8');
    expect(formatPlatform(platformOfArch('sparc'))).toBe('linux/sparc');
  });
});
