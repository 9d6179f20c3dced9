// What would make a skipped test run, by the reason why it was skipped: one table for the tests of this checkout and
// for suites of others, whose words are not ours.

/** The first row that matches counts. `$1` is what the reason names. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/\broot\b(?! file)/u, 'root: `sudo npm test`'],
  [/apparmor/iu, 'a kernel with AppArmor enabled: `npm run test:vm`'],
  [/npm run runtimes/u, '`sudo npm run runtimes` once, which makes it'],
  [/a policy is loaded/u, 'a machine without an SELinux policy'],
  [/protected_symlinks/u, 'a machine where it is set, as systemd does: `sysctl fs.protected_symlinks=1`'],
  [/no newer variant|runs no newer/u, 'a processor of a newer variant (x86-64-v2 or later)'],
  [/linux-libc-dev/u, '`apt-get install linux-libc-dev`'],
  [/only on x64|x64/u, 'an x86-64 machine'],
  [/the guest \w+ is not built/u, '`npm run test:vm` once, which builds the guest (20 minutes)'],
  [/\/dev\/fuse/u, 'the kernel module fuse (`modprobe fuse`)'],
  [/needs Linux (\d+\.\d+)/u, 'Linux $1 or newer'],
  [/\/dev\/loop-control/u, 'the kernel module loop (`modprobe loop`)'],
  [/\/dev\/net/u, 'the kernel module tun (`modprobe tun`)'],
  [/\/dev\/shm/u, 'a tmpfs at /dev/shm'],
  [/Chromium/u, '`apt-get install chromium-headless-shell`'],
  [/kernel has no (\w+)/u, 'a kernel with the file system $1'],
  [/project quotas/u, 'a kernel with ext4 and project quotas'],
  [/ptrace|strace can/u, 'a machine that allows ptrace'],
  [/setup\.js/u, '`sudo node scripts/setup.js test`'],
  [/\bstrace\b(?!$|,)/u, 'strace, on a machine that lets it trace'],
  [/memory controller/u, 'a cgroup layout with the memory controller'],
  [/cgroup freezer of version 1|\/sys\/fs\/cgroup\/freezer|cgroup v2/u, 'a machine with cgroup v1'],
  [/pressure stall|PSI|version 2/u, 'a machine with cgroup v2 and PSI: `npm run test:vm`'],
  [/IPv6|ip6tables|router advert/u, 'a kernel with IPv6, and ip6tables with its nat table'],
  [/cores go to/u, 'kernel.core_pattern without a program or a path'],
  [/go mod download/u, 'network access to a Go module proxy, once'],
  [/apt-get install ([\w.-]+)/u, '`apt-get install $1`'],
  [
    /debian|\.deb\b|apt-get|busybox/iu,
    "network access to Debian's packages, once (`node scripts/setup.js test`)",
  ],
  [/kubeadm is not built/u, '`sudo npm run cluster` once, which builds it'],
  [/not built|npm run critest|images of critest/u, '`npm run critest` once, which fetches its images'],
  [/a disk of its own/u, 'a file system of that kind for this test: other tests have one'],
  [/needs btrfs/u, 'a kernel with the file system btrfs'],
  [/systemd driver|driver is systemd/u, 'the cgroupfs driver'],
  [/recursive read-only/u, 'a runtime of the other kind: runc 1.1 and newer both ways'],
  [/resizes no static pod/u, 'a kubelet in a cluster: `npm run cluster` does'],
  [/runs postStart only when/u, 'a scenario on a quiet daemon: the same one ran there'],
  [/feature gate/iu, 'other feature gates: `npm run node-e2e -- --gates NAMES`'],
  [/busybox's shell|words of busybox/u, 'the published image of busybox'],
  [/dummy network links|CONFIG_DUMMY/u, 'a kernel with CONFIG_DUMMY'],
  [/needs the images? ([\w./, -]+)/u, 'the public registry, for $1'],
  [/public registr/u, 'the public registry'],
  [/CAP_SYS_RESOURCE/u, 'a machine that grants CAP_SYS_RESOURCE'],
  [/CAP_SYS_NICE/u, 'a machine that grants CAP_SYS_NICE'],
  [/stand still/u, 'a machine that runs without pauses of seconds'],
  [/without a nice value/u, 'a shell with the nice value 0'],
  [
    /recursive readonly mounts/u,
    'a runtime whose `features` lists them: runc 1.1 or later, a crun that has the command',
  ],
  [/supports user namespaces/u, 'a runtime with idmapped mounts: runc 1.2 or later, or crun'],
  [/getsubids|userns/u, '`apt-get install uidmap`, and mappings for the kubelet'],
  [/configuration of containerd or CRI-O/u, 'containerd or CRI-O'],
  [/\bCRIU\b/u, 'a CRIU that works with the kernel'],
  [/loads libseccomp/u, 'a runc that is linked with glibc and libseccomp, as distributions have it'],
  [/commit of the last release/u, 'a clone with its history: `git fetch --unshallow`'],
  [/runc on PATH/u, '`apt-get install runc`'],
];

/** Debian's package of each program that a test may need. */
const PACKAGES: ReadonlyMap<string, string> = new Map([
  ['runc', 'runc'],
  ['crun', 'crun'],
  ['conmon', 'conmon'],
  ['iptables', 'iptables'],
  ['strace', 'strace'],
  ['perl', 'perl'],
  ['openssl', 'openssl'],
  ['ssh-keygen', 'openssh-client'],
  ['gpg', 'gnupg'],
  ['gpgv', 'gpgv'],
  ['gpgconf', 'gpgconf'],
  ['dpkg-query', 'dpkg'],
  ['systemd-analyze', 'systemd'],
  ['nsenter', 'util-linux'],
  ['flock', 'util-linux'],
  ['fsfreeze', 'util-linux'],
  ['mkfs.ext4', 'e2fsprogs'],
  ['groff', 'groff-base'],
  ['bash', 'bash'],
  ['zsh', 'zsh'],
  ['fish', 'fish'],
  ['bridge', 'containernetworking-plugins'],
  ['host-local', 'containernetworking-plugins'],
  ['portmap', 'containernetworking-plugins'],
  ['loopback', 'containernetworking-plugins'],
  ['crictl', 'cri-tools, or `node scripts/setup.js test`'],
]);

function packagesIn(reason: string): readonly string[] {
  const names = [...reason.matchAll(/\/[\w./-]*\/([\w.-]+)/gu)].map(
    ([, name = '']) => PACKAGES.get(name) ?? '',
  );
  return [...new Set(names.filter((name) => name !== ''))];
}

/** What would make it run; undefined where no row knows the reason. */
export function remedyOf(reason: string): string | undefined {
  const found = REMEDIES.find(([pattern]) => pattern.test(reason));
  if (found !== undefined) {
    const [pattern, remedy] = found;
    return remedy.replace('$1', pattern.exec(reason)?.[1] ?? '');
  }
  const packages = packagesIn(reason);
  return packages.length === 0 ? undefined : `\`apt-get install ${packages.join(' ')}\``;
}

/** A reason and what would make the test run, for a list of skips. */
export const skipText = (reason: string): string =>
  `${reason}; runs with ${remedyOf(reason) ?? 'nothing that is known'}`;
