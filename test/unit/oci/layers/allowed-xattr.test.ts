import { describe, expect, test } from 'vitest';
import { isAllowedXattr } from '../../../../src/oci/layers/unpack-xattr.ts';

describe('attributes that an image may set', () => {
  test.each([
    'user.overlay.opaque',
    'user.overlay.redirect',
    'user.fuseoverlayfs.override_stat',
    'user.fuseoverlayfs.opaque',
    'user.fuseoverlayfs.redirect',
    'user.containers.override_stat',
    'user.virtfs.uid',
    'user.virtfs.mode',
    'user.virtfs.rdev',
    'user.virtiofs.trusted.overlay.redirect',
    'user.virtiofsd.security.capability',
    'user.rootlesscontainers',
  ])('S95 %s is used by a file system program and is not set', (name) => {
    expect(isAllowedXattr(name)).toBe(false);
  });

  test.each([
    'user.overlays',
    'user.fuse',
    'user.container',
    'user.mime_type',
    'user.rootlesscontainers2',
    'security.capability',
    'system.posix_acl_access',
  ])('S95 %s is ignored by them and is set', (name) => {
    expect(isAllowedXattr(name)).toBe(true);
  });
});
