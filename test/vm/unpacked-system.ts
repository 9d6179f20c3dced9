// A system of another architecture: its packages are unpacked, and their scripts cannot run here. What a guest needs of
// those scripts is done by hand; the users that systemd and dbus declare, systemd-sysusers makes at the boot.
import { chmod, copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { debianTree } from './trees.ts';
import type { World } from './world.ts';

/** apt's pattern for what every system has, what is not essential but expected, and what Node needs. */
const EVERY_SYSTEM = ['?essential', 'passwd', 'mount', 'mawk', 'netbase', 'libstdc++6'];

/** base-files's script makes these. */
const DIRECTORIES: Readonly<Record<string, number>> = {
  dev: 0o755,
  mnt: 0o755,
  opt: 0o755,
  proc: 0o555,
  root: 0o700,
  run: 0o755,
  srv: 0o755,
  sys: 0o555,
  tmp: 0o1777,
  'usr/local/bin': 0o755,
  'usr/local/sbin': 0o755,
  'var/lib': 0o755,
  'var/log': 0o755,
  'var/tmp': 0o1777,
};

/** update-alternatives and deb-systemd-helper make these: path and target. */
const LINKS: Readonly<Record<string, string>> = {
  'usr/bin/awk': 'mawk',
  ...Object.fromEntries(
    ['iptables', 'ip6tables'].flatMap((name) =>
      ['', '-save', '-restore'].map((action) => [`usr/sbin/${name}${action}`, 'xtables-nft-multi']),
    ),
  ),
  'etc/systemd/system/sysinit.target.wants/apparmor.service': '/usr/lib/systemd/system/apparmor.service',
  // caches that nothing reads here; a third of the boot
  ...Object.fromEntries(
    ['ldconfig', 'systemd-hwdb-update', 'systemd-journal-catalog-update'].map((name) => [
      `etc/systemd/system/${name}.service`,
      '/dev/null',
    ]),
  ),
};

/** base-passwd's and base-files's scripts copy these. */
const COPIES: Readonly<Record<string, string>> = {
  'etc/passwd': 'usr/share/base-passwd/passwd.master',
  'etc/group': 'usr/share/base-passwd/group.master',
  'etc/nsswitch.conf': 'usr/share/libc-bin/nsswitch.conf',
};

/** With one, systemd does not take the boot for a machine's first, which costs an emulator a minute. */
const MACHINE_ID = '7472657570657465737467756573740a\n';

/** What a system depends on beside its packages: it is made anew when this changes. */
export const unpackedRecipe = JSON.stringify([EVERY_SYSTEM, DIRECTORIES, LINKS, COPIES, MACHINE_ID]);

/** Fills the directory with the world's system. */
export async function unpackedSystem(tree: string, world: World, packages: readonly string[]): Promise<void> {
  const all = [...EVERY_SYSTEM, ...packages];
  await debianTree(tree, world.release, 'extract', all, world.architecture);
  for (const [path, mode] of Object.entries(DIRECTORIES)) {
    await mkdir(join(tree, path), { recursive: true });
    // mkdir's own mode is subject to the umask
    await chmod(join(tree, path), mode);
  }
  for (const [path, target] of Object.entries(LINKS)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await symlink(target, join(tree, path));
  }
  for (const [path, source] of Object.entries(COPIES)) await copyFile(join(tree, source), join(tree, path));
  await writeFile(join(tree, 'etc/machine-id'), MACHINE_ID);
  // systemd-sysusers adds to what there is
  const groups = await readFile(join(tree, 'etc/group'), 'utf8');
  if (!groups.startsWith('root:')) throw new Error(`the groups of ${tree} begin with another one than root`);
}
