/**
 * What RuntimeDefault refuses on x86-64, by name: the counterpart of seccomp-default.ts, for the short form of the
 * profile, which names what is denied. Together they name every system call of x86-64 and IA-32 up to the number 450,
 * which `test/unit` checks with the kernel's headers.
 */

/** By subject. Those of CAPABILITY_SYSCALLS are denied, too, unless the capability is granted. */
export const DENIED_SYSCALLS: readonly (readonly [subject: string, names: string])[] = [
  ['the kernel itself', 'kexec_file_load kexec_load'],
  ['keyrings, which have no namespace', 'add_key keyctl request_key'],
  ['io_uring, whose operations no filter sees', 'io_uring_enter io_uring_register io_uring_setup'],
  ['memory of other programs, or on other nodes', 'migrate_pages move_pages userfaultfd'],
  ['mounts and swap', 'pivot_root swapoff swapon'],
  ['virtual 8086 mode', 'vm86 vm86old'],
  ['superseded, still in some kernels', '_sysctl bdflush sysfs uselib ustat'],
  [
    'superseded on IA-32 before the year 2000',
    `nice oldfstat oldlstat oldolduname oldstat olduname readdir sgetmask sigaction signal sigpending sigsuspend
    ssetmask`,
  ],
  [
    'numbers without a call, or of removed ones',
    `afs_syscall break create_module ftime get_kernel_syms getpmsg gtty idle lock mpx nfsservctl prof profil putpmsg
    query_module security stty tuxcall ulimit vserver`,
  ],
];

/** Numbers that libseccomp 2.5.4 knows (Linux 5.17), first and last of each range: of others it makes no rules. */
export const KNOWN_NUMBERS = {
  x64: [
    [0, 334],
    [424, 450],
  ],
  ia32: [
    [0, 221],
    [224, 250],
    [252, 284],
    [286, 386],
    [393, 414],
    [416, 450],
  ],
} as const satisfies Readonly<Record<string, readonly (readonly [first: number, last: number])[]>>;

/** The oldest libseccomp that knows those numbers. */
export const OLDEST_LIBSECCOMP: readonly [major: number, minor: number, patch: number] = [2, 5, 4];

/** Of our lists' names those with further numbers, which are the same for both; uretprobe is of x86-64 alone. */
export const NEWER_NUMBERS: readonly (readonly [name: string, number: number])[] = [
  ['uretprobe', 335],
  ['cachestat', 451],
  ['fchmodat2', 452],
  ['map_shadow_stack', 453],
  ['futex_wake', 454],
  ['futex_wait', 455],
  ['futex_requeue', 456],
  ['statmount', 457],
  ['listmount', 458],
  ['mseal', 462],
  ['setxattrat', 463],
  ['getxattrat', 464],
  ['listxattrat', 465],
  ['removexattrat', 466],
  ['open_tree_attr', 467],
];
