// The guests that can be made. A world is a release of Debian with a security module, on a machine that runs it.

/** `trixie` is Debian's newest release, `bookworm` the one before, `forky` the one that is being made. */
export type Release = 'bookworm' | 'trixie' | 'forky';

/** Of a guest; user-mode Linux has the machine's own. */
export type Architecture = 'x64' | 'arm64';

export interface World {
  readonly name: string;
  readonly release: Release;
  readonly architecture: Architecture;
  readonly lsm: 'apparmor' | 'selinux';
  /**
   * `uml`: the kernel as a process of this machine (user-mode Linux), whose programs run on the real processor: five to
   * ten times as fast as an emulator. `qemu`: Debian's own kernel on an emulated processor.
   */
  readonly machine: 'uml' | 'qemu';
  /** The parts that make sense here; all without it. */
  readonly parts?: readonly string[];
}

const worlds: readonly World[] = [
  { name: 'trixie', release: 'trixie', architecture: 'x64', lsm: 'apparmor', machine: 'uml' },
  { name: 'bookworm', release: 'bookworm', architecture: 'x64', lsm: 'apparmor', machine: 'uml' },
  { name: 'forky', release: 'forky', architecture: 'x64', lsm: 'apparmor', machine: 'uml' },
  {
    name: 'selinux',
    release: 'trixie',
    architecture: 'x64',
    lsm: 'selinux',
    machine: 'uml',
    parts: ['selinux', 'packages', 'reboot', 'critest', 'critest-crun', 'conformance', 'kubelet'],
  },
  { name: 'stock', release: 'trixie', architecture: 'x64', lsm: 'apparmor', machine: 'qemu' },
  {
    name: 'arm64',
    release: 'trixie',
    architecture: 'arm64',
    lsm: 'apparmor',
    machine: 'qemu',
    parts: ['arm64', 'systemd', 'kernel', 'crictl', 'critest', 'conformance-slice', 'churn'],
  },
];

/** Throws with the names that there are. */
export function worldOf(name: string): World {
  const found = worlds.find((one) => one.name === name);
  if (found === undefined)
    throw new Error(`there is no guest ${name}; there are: ${worlds.map((one) => one.name).join(', ')}`);
  return found;
}
