/** Which xattrs a layer may set. */
import type { ByteString } from '../../base/byte-string.ts';

/**
 * Prefixes of xattrs that other file system programs interpret: overlayfs in a user namespace, fuse-overlayfs (owner,
 * mode and device number of a file, whiteouts, redirects: its main.c and containers/storage's idtools), QEMU's 9p
 * server and virtiofsd for virtual machines (`mapped-xattr`, `xattrmap`), and rootless unpackers (rootlesscontainers).
 * With `override_stat`, for example, an image could change the type and owner of a file after it was checked.
 */
const FOREIGN_PREFIXES: readonly string[] = [
  'user.overlay.',
  'user.fuseoverlayfs.',
  'user.containers.',
  'user.virtfs.',
  'user.virtiofs.',
  'user.virtiofsd.',
];
const FOREIGN_NAMES: readonly string[] = ['user.', 'user.rootlesscontainers'];

/**
 * Whether an image may set this xattr. Never trusted.*: overlayfs uses these, and with trusted.overlay.redirect an
 * image could reach other directories. Of user.*, all but those that other file system programs interpret (S95). Of
 * security.*, only capabilities: labels and IMA hashes are the host's policy.
 */
export function isAllowedXattr(name: ByteString): boolean {
  if (name.startsWith('user.'))
    return !FOREIGN_NAMES.includes(name) && !FOREIGN_PREFIXES.some((prefix) => name.startsWith(prefix));
  return (
    name === 'security.capability' ||
    name === 'system.posix_acl_access' ||
    name === 'system.posix_acl_default'
  );
}
