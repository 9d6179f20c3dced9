// The root disk of a guest: Debian, our unit, and nothing of the checkout.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import { cached, cacheDirectory, checkout } from '../support/tools/cache.ts';
import { masterBootRecord } from './boot-record.ts';
import { makeExt4 } from './ext4.ts';
import { kernelTree, programOfTree } from './qemu.ts';
import { BUILD_TIMEOUT_MS, debianTree } from './trees.ts';
import { unpackedRecipe, unpackedSystem } from './unpacked-system.ts';
import type { World } from './world.ts';

/** A package's change of version makes nothing new here; this does. */
const RECIPE = 2;
const MIB = 1024 * 1024;
/** Some 300 MB of Debian, then room for images, journals and containers. Sparse. */
const ROOT_MIB = 8192;
/** Where the partition begins, as partitioning programs have it. */
const PARTITION_MIB = 1;
/** What the guest's Debian has beside the minimum. */
const GUEST_PACKAGES = [
  'systemd-sysv',
  'udev',
  'dbus',
  'apparmor',
  'kmod',
  'procps',
  'iproute2',
  'iptables',
  'ca-certificates',
  'runc',
  'crun',
  'conmon',
  'containernetworking-plugins',
  'fuse-overlayfs',
];
/** The reference policy, with what loads it and labels files. */
const SELINUX_PACKAGES = ['selinux-policy-default', 'policycoreutils', 'selinux-utils'];
const SELINUX_CONFIG = 'SELINUX=enforcing\nSELINUXTYPE=default\n';

const POLICY_MODULE = join(checkout, 'deploy/selinux/troupe.cil');

async function cacheKey(world: World): Promise<string> {
  const recipe = createHash('sha256');
  for (const part of [
    String(RECIPE),
    world.machine,
    packagesOf(world).join(),
    ...(world.lsm === 'selinux' ? [await readFile(POLICY_MODULE, 'utf8')] : []),
    ...(world.architecture === 'x64' ? [] : [unpackedRecipe]),
    ...Object.values(filesOf(world)).map(({ text }) => text),
  ])
    recipe.update(part);
  return `vm/root-${world.name}-${recipe.digest('hex').slice(0, 12)}`;
}

/** The root disk is in the cache. */
export const isRootMade = async (world: World): Promise<boolean> =>
  existsSync(join(cacheDirectory, await cacheKey(world)));

/** The guest's root disk. A run writes its changes elsewhere, so that each begins with the same. */
export async function rootDisk(world: World): Promise<string> {
  const directory = await cached(await cacheKey(world), async (work) => {
    const tree = await mkdtemp(join(tmpdir(), 'troupe-vm-root-'));
    try {
      if (world.architecture === 'x64') await debianTree(tree, world.release, 'minbase', packagesOf(world));
      else await unpackedSystem(tree, world, packagesOf(world));
      await furnish(world, tree);
      if (world.lsm === 'selinux') await addPolicy(tree);
      await makeRootDisk(tree, join(work, 'root.img'));
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  });
  return join(directory, 'root.img');
}

const packagesOf = ({ lsm, architecture }: World): readonly string[] => [
  ...GUEST_PACKAGES,
  ...(lsm === 'selinux' ? SELINUX_PACKAGES : []),
  // test/unit/host/ffi compares with the kernel's headers
  ...(architecture === 'x64' ? [] : ['linux-libc-dev']),
];

/**
 * Adds our module to the policy, which takes minutes in the guest, and labels each file by it, as extended attributes
 * that mke2fs copies.
 */
async function addPolicy(tree: string): Promise<void> {
  const inTree = ['nice', '-n', '15', 'chroot', tree];
  const options = { timeoutMs: BUILD_TIMEOUT_MS };
  await cp(POLICY_MODULE, join(tree, 'root/troupe.cil'));
  await runOrThrow([...inTree, 'semodule', '--noreload', '--install', '/root/troupe.cil'], options);
  const contexts = '/etc/selinux/default/contexts/files/file_contexts';
  // -m: this machine's file systems have no labels, by its list of mounts
  await runOrThrow([...inTree, 'setfiles', '-F', '-m', contexts, '/'], options);
}

const unit = `[Unit]
Description=the tests of this run
After=basic.target dbus.service systemd-udevd.service
Wants=dbus.service

[Service]
Type=exec
ExecStart=/usr/local/sbin/vm-job
`;

// By serial numbers, since names depend on which disk answers first; user-mode Linux has none, but an order. The second
// boot finds everything unpacked.
const job = `#!/bin/sh
word() {
  sed -n "s/.* $1=\\([^ ]*\\).*/\\1/p" /proc/cmdline
}
exec >"/dev/$(word troupe.tty)" 2>&1
disk() {
  for one in /sys/class/nvme/nvme*; do
    if [ -e "$one/serial" ] && [ "$(tr -d ' ' <"$one/serial")" = "$1" ]; then echo "/dev/\${one##*/}n1"; fi
  done
  letters=abcdef
  for serial in $(word troupe.disks | tr , ' '); do
    if [ "$serial" = "$1" ]; then echo "/dev/ubd\${letters%"\${letters#?}"}"; fi
    letters=\${letters#?}
  done
}
TROUPE_COMMIT=$(word troupe.commit)
export HOME=/root TROUPE_CACHE=/opt/cache NO_COLOR=1 TROUPE_COMMIT
cd /opt
if [ ! -e troupe/package.json ]; then
  tar -xf "$(disk checkout)"
  mkdir -p troupe/node_modules
fi
mount "$(disk modules)" /opt/troupe/node_modules
TROUPE_VM_RESULTS=$(disk results)
export TROUPE_VM_RESULTS
cd /opt/troupe
/opt/troupe/node_modules/.bin/node test/vm/guest/main.ts
code=$?
if [ "$code" = 75 ]; then systemctl reboot; else systemctl poweroff; fi
`;

/** Files of the guest's root, by path. */
const filesOf = ({
  lsm,
}: World): Readonly<Record<string, { readonly text: string; readonly mode: number }>> => ({
  ...(lsm === 'selinux' ? { 'etc/selinux/config': { text: SELINUX_CONFIG, mode: 0o644 } } : {}),
  'etc/systemd/system/vm-job.service': { text: unit, mode: 0o644 },
  'usr/local/sbin/vm-job': { text: job, mode: 0o755 },
  'etc/hostname': { text: 'guest\n', mode: 0o644 },
  'etc/hosts': { text: '127.0.0.1 localhost guest\n', mode: 0o644 },
  'etc/resolv.conf': { text: 'nameserver 127.0.0.1\n', mode: 0o644 },
  // the kernel mounts it; a stop that hangs must not hold up the reboot for minutes
  'etc/fstab': { text: '', mode: 0o644 },
  'etc/systemd/system.conf.d/vm.conf': { text: '[Manager]\nDefaultTimeoutStopSec=20s\n', mode: 0o644 },
});

/** Units that only cost time in an emulator. */
const MASKED = [
  'systemd-timesyncd.service',
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'systemd-pcrphase.service',
  'getty.target',
  'serial-getty@ttyS0.service',
];

async function furnish(world: World, tree: string): Promise<void> {
  if (world.machine === 'qemu') {
    const { architecture } = world;
    const modules = join(tree, 'usr/lib/modules');
    await cp(join(await kernelTree(architecture), 'usr/lib/modules'), modules, { recursive: true });
    const depmod = await programOfTree(architecture, 'usr/bin/kmod', 'depmod');
    for (const release of await readdir(modules)) await runOrThrow([...depmod, '-b', tree, release]);
  }
  // of programs that are not there; reading them takes an emulator half a minute
  const profiles = join(tree, 'etc/apparmor.d');
  for (const entry of await readdir(profiles, { withFileTypes: true }))
    if (entry.isFile()) await rm(join(profiles, entry.name));
  for (const [path, { text, mode }] of Object.entries(filesOf(world))) {
    await mkdir(join(tree, path, '..'), { recursive: true });
    await rm(join(tree, path), { force: true });
    await writeFile(join(tree, path), text);
    await chmod(join(tree, path), mode);
  }
  const units = join(tree, 'etc/systemd/system');
  for (const name of MASKED) await symlink('/dev/null', join(units, name)).catch(() => undefined);
  await mkdir(join(units, 'multi-user.target.wants'), { recursive: true });
  await symlink('../vm-job.service', join(units, 'multi-user.target.wants/vm-job.service'));
}

/** A disk with one partition, whose file system mke2fs fills from the tree without mounting anything. */
async function makeRootDisk(tree: string, image: string): Promise<void> {
  const file = await open(image, 'w');
  try {
    await file.truncate(ROOT_MIB * MIB);
    await file.write(masterBootRecord((PARTITION_MIB * MIB) / 512, ((ROOT_MIB - PARTITION_MIB) * MIB) / 512));
  } finally {
    await file.close();
  }
  await makeExt4(tree, image, ROOT_MIB - PARTITION_MIB, [`offset=${PARTITION_MIB * MIB}`]);
}
