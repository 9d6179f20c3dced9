// Debian's packages that the set-up brings, by mode.

/** Debian package → how one sees that what it brings is there: a program's name, or paths of which one exists. */
export const installed = {
  runc: { program: 'runc' },
  conmon: { program: 'conmon' },
  'containernetworking-plugins': {
    anyOf: ['/usr/lib/cni/bridge', '/opt/cni/bin/bridge', '/usr/libexec/cni/bridge'],
  },
  iptables: { program: 'iptables' },
  iproute2: { program: 'ip' },
  crun: { program: 'crun' },
  strace: { program: 'strace' },
  openssl: { program: 'openssl' },
  gpg: { program: 'gpg' },
  'gpg-agent': { program: 'gpg-agent' },
  gpgv: { program: 'gpgv' },
  gcc: { program: 'gcc' },
  'libc6-dev': { anyOf: ['/usr/include/stdio.h'] },
  'pkg-config': { program: 'pkg-config' },
  'libseccomp-dev': { anyOf: ['/usr/include/seccomp.h'] },
  'golang-go': { program: 'go' },
  e2fsprogs: { program: 'mke2fs' },
  // not perl-base, which every Debian has: mmdebstrap needs its modules
  perl: { program: 'cpan' },
  // what builds the kernel of the guest
  make: { program: 'make' },
  flex: { program: 'flex' },
  bison: { program: 'bison' },
  bc: { program: 'bc' },
  // what packs troupe itself
  dpkg: { program: 'dpkg-deb' },
  rpm: { program: 'rpmbuild' },
  'debian-archive-keyring': { anyOf: ['/usr/share/keyrings/debian-archive-keyring.gpg'] },
};

/**
 * As `installed`, for what only some tests need and not every release has (Ubuntu has Chromium as a snap only): tests that
 * need it say that they are skipped.
 */
export const wished = {
  // reads the units of deploy/; where it is missing no systemd runs the machine, and the package starts nothing
  systemd: { program: 'systemd-analyze' },
  // buildah runs itself anew for each RUN, without the environment that leads to the unpacked libraries
  libgpgme11: { anyOf: ['x86_64', 'aarch64'].map((arch) => `/usr/lib/${arch}-linux-gnu/libgpgme.so.11`) },
  'chromium-headless-shell': {
    anyOf: ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/chromium-browser'],
  },
};

/** Name of the directory below the cache → packages unpacked into it, and whether their libraries come, too. */
export const unpacked = {
  'busybox-static': { packages: ['busybox-static'], withLibraries: false },
  busybox: { packages: ['busybox'], withLibraries: true },
  nginx: { packages: ['nginx'], withLibraries: true },
  'docker-registry': { packages: ['docker-registry'], withLibraries: false },
  // what images of the node e2e suite have beside busybox
  'image-programs': {
    packages: ['bash', 'curl', 'hostname', 'netcat-openbsd', 'util-linux'],
    withLibraries: true,
  },
  // who fills and reads layouts and archives, and builds images, in the tests of formats
  skopeo: { packages: ['skopeo'], withLibraries: true },
  buildah: { packages: ['buildah'], withLibraries: true },
  // what the storage drivers are tested with
  'fuse-overlayfs': { packages: ['fuse-overlayfs'], withLibraries: true },
  'btrfs-progs': { packages: ['btrfs-progs'], withLibraries: true },
  'erofs-utils': { packages: ['erofs-utils'], withLibraries: true },
  // the masquerade rule is made with nft where the machine has it
  nftables: { packages: ['nftables'], withLibraries: true },
  // promtool judges the rules of deploy/alerts and the text of a scrape
  prometheus: { packages: ['prometheus'], withLibraries: false },
  // makes the guest of test:vm and the root in which packages are installed; its QEMU and its kernel come the same way
  mmdebstrap: { packages: ['mmdebstrap'], withLibraries: false },
  // makes the disk of power-loss
  xfsprogs: { packages: ['xfsprogs'], withLibraries: true },
};

/** What only the guest of test:vm is made with. */
const guestOnly = ['make', 'flex', 'bison', 'bc', 'xfsprogs'];
const forTests = (names) => names.filter((name) => !guestOnly.includes(name));
const toPackage = ['dpkg', 'rpm'];
const toStart = ['runc', 'conmon', 'containernetworking-plugins', 'iptables'];
/** What each mode needs. */
export const modes = {
  packages: { needsRoot: false, install: [], wish: [], unpack: [] },
  start: { needsRoot: true, install: toStart, wish: [], unpack: [] },
  // the binaries of the other processor come from npm, into the cache
  package: { needsRoot: false, install: toPackage, wish: [], unpack: [] },
  demo: { needsRoot: true, install: toStart, wish: [], unpack: ['busybox-static'] },
  test: {
    needsRoot: true,
    install: forTests(Object.keys(installed)),
    wish: Object.keys(wished),
    unpack: forTests(Object.keys(unpacked)),
  },
  vm: { needsRoot: true, install: Object.keys(installed), wish: [], unpack: Object.keys(unpacked) },
};
