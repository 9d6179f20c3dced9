import { describe, expect, it } from 'vitest';
import { hexOf, parseContainerId, parseDigest, parseImageId, parseSandboxId } from '../../../src/base/ids.ts';

const HEX = '0123456789abcdef'.repeat(4);

describe('ids', () => {
  it.each([parseSandboxId, parseContainerId])('take 64 lower-case hex digits', (parse) => {
    expect(parse(HEX)).toBe(HEX);
  });

  it.each([
    '',
    HEX.slice(1),
    `${HEX}0`,
    HEX.toUpperCase(),
    `${HEX}\n`,
    ` ${HEX.slice(1)}`,
    HEX.replace('0', 'g'),
    `../${HEX.slice(3)}`,
  ])('refuse %j, since an id becomes a file name (S76)', (text) => {
    expect(parseSandboxId(text)).toBeUndefined();
    expect(parseContainerId(text)).toBeUndefined();
  });

  it('S47: of images and layers are sha256 digests only', () => {
    const digest = `sha256:${HEX}`;
    expect(parseDigest(digest)).toBe(digest);
    expect(parseImageId(digest)).toBe(digest);
    expect(hexOf(parseDigest(digest) ?? expect.fail('not parsed'))).toBe(HEX);
    for (const text of [
      HEX,
      `sha512:${HEX}`,
      `SHA256:${HEX}`,
      `sha256:${HEX}0`,
      `sha256:${HEX}\n`,
      'sha256:',
      'sha256:../../x',
      `sha256:${HEX.toUpperCase()}`,
      '',
    ]) {
      expect(parseDigest(text)).toBeUndefined();
      expect(parseImageId(text)).toBeUndefined();
    }
  });
});
