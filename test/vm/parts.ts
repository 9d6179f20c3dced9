// The parts of a guest: QEMU and a kernel on this side, a Debian root file system on the other. All of it comes from
// Debian, is unpacked or built below the cache, and is kept there.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, open, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOrThrow } from '../support/run.ts';
import { cached, cacheDirectory, checkout } from '../support/tools/cache.ts';

/**
 * The release of guest, kernel and QEMU: it has QEMU 10, runc 1.1, crun, conmon 2.1.12, systemd 257 without cgroup v1.
 */
const RELEASE = 'trixie';
/** A package's change of version makes nothing new here; this does. */
const RECIPE = 1;

const BUILD_TIMEOUT_MS = 20 * 60_000;
const MIB = 1024 * 1024;
/** The guest's root disk: some 300 MB of Debian, then room for images, journals and containers. Sparse. */
const ROOT_MIB = 2048;
/** Where the partition begins, as partitioning programs have it. */
const PARTITION_MIB = 1;
/** The MBR's disk signature, by which the kernel finds its root: device names depend on which disk answers first. */
const DISK_SIGNATURE = 0x74726f75;

/** `root=` of the kernel's command line. */
export const rootPartition = `PARTUUID=${DISK_SIGNATURE.toString(16).padStart(8, '0')}-01`;

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
];

export interface HostParts {
  /** The program with what its loader needs; arguments follow. */
  readonly qemu: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly kernel: string;
}

/** Runs Debian's mmdebstrap, which scripts/setup.js has unpacked. */
async function debianTree(
  target: string,
  variant: 'extract' | 'minbase',
  packages: readonly string[],
): Promise<void> {
  const unpacked = join(cacheDirectory, 'debian/mmdebstrap/usr/bin');
  process.stderr.write(`making a ${RELEASE} tree with ${packages.join(' ')} (once)\n`);
  await runOrThrow(
    [
      'nice',
      '-n',
      '15',
      'perl',
      join(unpacked, 'mmdebstrap'),
      '--mode=root',
      `--variant=${variant}`,
      `--include=${packages.join(',')}`,
      '--quiet',
      RELEASE,
      target,
    ],
    // it calls a program of its own by name
    { timeoutMs: BUILD_TIMEOUT_MS, env: { PATH: `${process.env['PATH'] ?? ''}:${unpacked}` } },
  );
}

const hostTree = async (): Promise<string> =>
  await cached(
    `vm/host-${RELEASE}-${RECIPE}`,
    async (work) => await debianTree(work, 'extract', ['qemu-system-x86', 'linux-image-cloud-amd64']),
  );

/** QEMU and kernel, unpacked and not installed: QEMU runs with the loader and the libraries of its own tree. */
export async function hostParts(): Promise<HostParts> {
  const tree = await hostTree();
  const libraries = join(tree, 'usr/lib/x86_64-linux-gnu');
  const kernel = (await readdir(join(tree, 'boot'))).find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error(`there is no kernel in ${tree}/boot`);
  const data = ['usr/share/qemu', 'usr/share/seabios'].flatMap((place) => ['-L', join(tree, place)]);
  return {
    qemu: [
      join(tree, 'usr/lib64/ld-linux-x86-64.so.2'),
      '--library-path',
      libraries,
      join(tree, 'usr/bin/qemu-system-x86_64'),
      ...data,
    ],
    env: { QEMU_MODULE_DIR: join(libraries, 'qemu') },
    kernel: join(tree, 'boot', kernel),
  };
}

/** The guest's root disk. QEMU writes its changes elsewhere, so that each run begins with the same. */
export async function rootDisk(): Promise<string> {
  const recipe = createHash('sha256');
  for (const part of [
    String(RECIPE),
    GUEST_PACKAGES.join(),
    ...Object.values(guestFiles).map(({ text }) => text),
  ])
    recipe.update(part);
  const directory = await cached(`vm/root-${RELEASE}-${recipe.digest('hex').slice(0, 12)}`, async (work) => {
    const tree = await mkdtemp(join(tmpdir(), 'troupe-vm-root-'));
    try {
      await debianTree(tree, 'minbase', GUEST_PACKAGES);
      await furnish(tree);
      await makeRootDisk(tree, join(work, 'root.img'));
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  });
  return join(directory, 'root.img');
}

const unit = `[Unit]
Description=the tests of this run
After=basic.target dbus.service systemd-udevd.service
Wants=dbus.service

[Service]
Type=exec
ExecStart=/usr/local/sbin/vm-job
`;

// By serial numbers, since names depend on which disk answers first. The second boot finds everything unpacked.
const job = `#!/bin/sh
exec >/dev/ttyS1 2>&1
disk() {
  for one in /sys/class/nvme/nvme*; do
    if [ "$(tr -d ' ' <"$one/serial")" = "$1" ]; then echo "/dev/\${one##*/}n1"; fi
  done
}
export HOME=/root TROUPE_CACHE=/opt/cache NO_COLOR=1
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
const guestFiles: Readonly<Record<string, { readonly text: string; readonly mode: number }>> = {
  'etc/systemd/system/vm-job.service': { text: unit, mode: 0o644 },
  'usr/local/sbin/vm-job': { text: job, mode: 0o755 },
  'etc/hostname': { text: 'guest\n', mode: 0o644 },
  'etc/hosts': { text: '127.0.0.1 localhost guest\n', mode: 0o644 },
  'etc/resolv.conf': { text: 'nameserver 127.0.0.1\n', mode: 0o644 },
  // the kernel mounts it; a stop that hangs must not hold up the reboot for minutes
  'etc/fstab': { text: '', mode: 0o644 },
  'etc/systemd/system.conf.d/vm.conf': { text: '[Manager]\nDefaultTimeoutStopSec=20s\n', mode: 0o644 },
};

/** Units that only cost time in an emulator. */
const MASKED = [
  'systemd-timesyncd.service',
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'systemd-pcrphase.service',
  'getty.target',
  'serial-getty@ttyS0.service',
];

async function furnish(tree: string): Promise<void> {
  await cp(join(await hostTree(), 'usr/lib/modules'), join(tree, 'usr/lib/modules'), { recursive: true });
  for (const release of await readdir(join(tree, 'usr/lib/modules')))
    await runOrThrow(['chroot', tree, 'depmod', release]);
  // of programs that are not there; reading them takes an emulator half a minute
  const profiles = join(tree, 'etc/apparmor.d');
  for (const entry of await readdir(profiles, { withFileTypes: true }))
    if (entry.isFile()) await rm(join(profiles, entry.name));
  for (const [path, { text, mode }] of Object.entries(guestFiles)) {
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

async function makeExt4(
  tree: string,
  image: string,
  sizeMib: number,
  extended: readonly string[] = [],
): Promise<void> {
  const options = ['root_owner=0:0', 'lazy_itable_init=1', ...extended].join(',');
  await runOrThrow(
    [
      'nice',
      '-n',
      '15',
      'mke2fs',
      '-q',
      '-F',
      '-t',
      'ext4',
      '-b',
      '4096',
      '-d',
      tree,
      '-E',
      options,
      image,
      `${sizeMib}m`,
    ],
    { timeoutMs: BUILD_TIMEOUT_MS },
  );
}

/** One Linux partition; enough for the kernel, which names partitions by the signature. */
export function masterBootRecord(firstSector: number, sectors: number): Buffer {
  const record = Buffer.alloc(512);
  record.writeUInt32LE(DISK_SIGNATURE, 440);
  record.writeUInt8(0x83, 446 + 4);
  record.writeUInt32LE(firstSector, 446 + 8);
  record.writeUInt32LE(sectors, 446 + 12);
  record.writeUInt16LE(0xaa55, 510);
  return record;
}

/** The npm packages as a disk: they change with the lockfile only, and unpacking them takes an emulator a minute. */
export async function modulesDisk(): Promise<string> {
  const lock = createHash('sha256')
    .update(readFileSync(join(checkout, 'package-lock.json')))
    .digest('hex')
    .slice(0, 12);
  const directory = await cached(`vm/modules-${lock}`, async (work) => {
    const tree = join(checkout, 'node_modules');
    const used = Number(
      (await runOrThrow(['du', '--summarize', '--dereference-args', '--block-size=1M', tree])).split('\t')[0],
    );
    await makeExt4(tree, join(work, 'modules.img'), used + 256);
  });
  return join(directory, 'modules.img');
}

/** Directories of the cache that tests in the guest use, so that nothing is built there. */
const CARRIED = [
  'tools/crictl',
  'tools/runc',
  'tools/critest',
  'debian/busybox',
  'debian/busybox-static',
  'debian/docker-registry',
  'debian/nginx',
  'images',
];

/** The checkout as it is now (`troupe/`) and built tools (`cache/`), in one tar that QEMU shows as a disk. */
export async function packCheckout(target: string): Promise<void> {
  const tar = ['nice', '-n', '15', 'tar', '--file', target];
  const options = { timeoutMs: BUILD_TIMEOUT_MS };
  const left = ['node_modules', '.cache'].map((name) => `--exclude=./${name}`);
  await runOrThrow(
    [...tar, '--create', '--exclude-vcs', ...left, '--transform', 's,^\\.,troupe,S', '-C', checkout, '.'],
    options,
  );
  const carried = CARRIED.filter((name) => existsSync(join(cacheDirectory, name)));
  if (carried.length > 0)
    await runOrThrow(
      [...tar, '--append', '--transform', 's,^,cache/,S', '-C', cacheDirectory, ...carried],
      options,
    );
}
