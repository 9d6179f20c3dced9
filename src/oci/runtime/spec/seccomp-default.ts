/**
 * The RuntimeDefault profile: an allow-list; everything else fails with EPERM. It allows the system calls on which
 * Docker and containerd agree (checked in November 2026), grouped by subject; deviations are commented. Rules that
 * they tie to a kernel version always apply, since the oldest supported kernel is Linux 5.14.
 */

/** By subject. The runtime skips names that the kernel or libseccomp does not know. */
export const ALLOWED_SYSCALLS: readonly (readonly [subject: string, names: string])[] = [
  [
    'open, close, positions',
    `open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 lseek _llseek flock
    name_to_handle_at memfd_create memfd_secret`,
  ],
  [
    'read and write',
    `read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 sendfile sendfile64 splice tee
    vmsplice copy_file_range readahead fadvise64 fadvise64_64 fallocate truncate truncate64 ftruncate ftruncate64
    sync syncfs fsync fdatasync sync_file_range sync_file_range2 cachestat`,
  ],
  [
    'names and attributes',
    `access faccessat faccessat2 chdir fchdir getcwd chmod fchmod fchmodat fchmodat2 chown chown32
    lchown lchown32 fchown fchown32 fchownat link linkat symlink symlinkat readlink readlinkat unlink unlinkat rename
    renameat renameat2 mkdir mkdirat rmdir mknod mknodat umask utime utimes utimensat utimensat_time64 futimesat
    getdents getdents64 stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs
    fstatfs64`,
  ],
  [
    'extended attributes',
    `getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr
    llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat`,
  ],
  [
    'waiting for events',
    `select _newselect pselect6 pselect6_time64 poll ppoll ppoll_time64 epoll_create epoll_create1
    epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 inotify_init
    inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark io_setup io_destroy io_submit io_cancel
    io_getevents io_pgetevents io_pgetevents_time64`,
  ],
  [
    'memory',
    `brk mmap mmap2 munmap mremap mprotect msync madvise mincore mlock mlock2 mlockall munlock munlockall mseal
    remap_file_pages map_shadow_stack membarrier pkey_alloc pkey_free pkey_mprotect process_mrelease`,
  ],
  [
    'processes',
    `fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid getpgrp
    setpgid getsid setsid kill tkill tgkill pidfd_open pidfd_send_signal prctl ptrace process_vm_readv
    process_vm_writev set_tid_address set_thread_area get_thread_area set_robust_list get_robust_list rseq
    restart_syscall uretprobe`,
  ],
  [
    'users and capabilities',
    `getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32
    getresgid getresgid32 getgroups getgroups32 setuid setuid32 setgid setgid32 setreuid setreuid32 setregid
    setregid32 setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups
    setgroups32 capget capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self`,
  ],
  [
    'scheduling and limits',
    `sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam
    sched_setparam sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min
    sched_rr_get_interval sched_rr_get_interval_time64 getpriority setpriority ioprio_get ioprio_set getrlimit
    ugetrlimit setrlimit prlimit64 getrusage getcpu times sysinfo uname getrandom`,
  ],
  ['futexes', `futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue`],
  [
    'signals',
    `rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn signalfd signalfd4 pause`,
  ],
  [
    'time',
    `time gettimeofday clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
    clock_nanosleep_time64 nanosleep alarm getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime
    timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
    timerfd_settime64 adjtimex clock_adjtime clock_adjtime64`,
  ],
  ['pipes, terminals', `pipe pipe2 ioctl`],
  [
    'sockets',
    `socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt send
    sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64`,
  ],
  [
    'System V and POSIX IPC',
    `ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl
    shmdt shmget mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink`,
  ],
];

/**
 * What a runtime's init and its libraries may call between installing the filter and executing the pause program, and
 * what that calls; all allowed above. With no_new_privs, which the pause process has, a runtime installs the filter
 * after users, capabilities and mounts. The program is 64-bit and waits. Each name costs the runtime 20 µs for each
 * architecture: with the whole profile a third of a sandbox's start was libseccomp's.
 */
export const PAUSE_SYSCALLS = `open openat openat2 close close_range dup dup2 dup3 fcntl lseek read readv pread64 write
    writev pwrite64 access faccessat faccessat2 chdir fchdir getcwd umask readlink readlinkat getdents getdents64 stat
    lstat fstat newfstatat statx statfs fstatfs poll ppoll pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait
    epoll_pwait2 eventfd2 select brk mmap munmap mremap mprotect madvise mincore membarrier execve execveat exit exit_group
    wait4 waitid getpid getppid gettid kill tgkill prctl arch_prctl set_tid_address set_robust_list rseq
    restart_syscall getuid geteuid getgid getegid getgroups capget sched_yield sched_getaffinity getrlimit setrlimit
    prlimit64 uname getrandom futex rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack pause
    gettimeofday clock_gettime clock_nanosleep nanosleep pipe2 ioctl accept accept4 recvfrom recvmsg sendto sendmsg
    shutdown getsockopt`;

/** Further ones by kernel architecture, including those of its 32-bit programs. */
export const ARCH_SYSCALLS = {
  x64: 'arch_prctl modify_ldt',
  arm64: 'arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls',
} as const;

/** libseccomp's names of the architecture and of the 32-bit ones that its kernel supports. */
export const ARCHITECTURES = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
} as const;

/** Allowed if the bounding set has the capability, since the process may do the same anyway. */
export const CAPABILITY_SYSCALLS: readonly (readonly [capability: string, names: string])[] = [
  ['CAP_DAC_READ_SEARCH', 'open_by_handle_at'],
  [
    'CAP_SYS_ADMIN',
    `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr
    move_mount open_tree open_tree_attr listmount statmount perf_event_open quotactl quotactl_fd setdomainname
    sethostname setns syslog umount umount2 unshare`,
  ],
  ['CAP_SYS_BOOT', 'reboot'],
  ['CAP_SYS_CHROOT', 'chroot'],
  ['CAP_SYS_MODULE', 'delete_module init_module finit_module'],
  ['CAP_SYS_PACCT', 'acct'],
  ['CAP_SYS_PTRACE', 'kcmp pidfd_getfd process_madvise'],
  ['CAP_SYS_RAWIO', 'iopl ioperm'],
  ['CAP_SYS_TIME', 'settimeofday stime clock_settime clock_settime64'],
  ['CAP_SYS_TTY_CONFIG', 'vhangup'],
  ['CAP_SYS_NICE', 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node'],
  ['CAP_SYSLOG', 'syslog'],
  ['CAP_BPF', 'bpf'],
  ['CAP_PERFMON', 'perf_event_open'],
];

/** personality(2) values: PER_LINUX, PER_LINUX32, UNAME26, both, and the value that only queries. */
export const PERSONALITIES: readonly bigint[] = [0x0n, 0x8n, 0x20000n, 0x20008n, 0xffffffffn];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: refused without CAP_SYS_ADMIN. */
export const NAMESPACE_FLAGS = 0x7e020000n;

/**
 * Socket families (AF_*): all below AF_ALG (38, the kernel's crypto interface with a history of vulnerabilities,
 * S35), and above it single numbers, so that AF_VSOCK (40, a channel to the hypervisor) is excluded, too. Single
 * numbers, since "not equal" would compare 64 bits while the kernel reads 32: 2^32 + 38 would pass. socketcall, the
 * old i386 multiplexer, hides the family from the filter: libseccomp allows it for each call that is allowed by its own
 * name (README.md).
 */
export const FIRST_DENIED_FAMILY = 38n;
export const HIGHER_FAMILIES: readonly bigint[] = [39n, 41n, 42n, 43n, 44n, 45n];
