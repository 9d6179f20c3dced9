/** Prototypes of calls about processes, signals and memory. */
import { native, SETRESUID, syscall, SYSCALLS, X32_GETPID } from './native.ts';
import type { Word } from './native.ts';

/** Spawning, signals, waiting, ending, memory, time. */
export const processCalls = {
  waitpid: native<[pid: number, status: Uint8Array, options: number]>('waitpid', ['int', 'void *', 'int']),
  waitid: native<[kind: number, id: number, info: Uint8Array, options: number]>('waitid', [
    'int',
    'unsigned int',
    'void *',
    'int',
  ]),
  kill: native<[pid: number, signal: number]>('kill', ['int', 'int']),
  exit: native<[code: number]>('_exit', ['int'], 'void'),
  posixSpawn: native<
    [
      pid: Uint8Array,
      path: string,
      actions: Uint8Array,
      attributes: Uint8Array,
      argv: Uint8Array,
      envp: Uint8Array,
    ]
  >('posix_spawn', ['void *', 'const char *', 'void *', 'void *', 'void *', 'void *']),
  spawnattrInit: native<[attributes: Uint8Array]>('posix_spawnattr_init', ['void *']),
  spawnattrDestroy: native<[attributes: Uint8Array]>('posix_spawnattr_destroy', ['void *']),
  spawnattrSetflags: native<[attributes: Uint8Array, flags: number]>('posix_spawnattr_setflags', [
    'void *',
    'short',
  ]),
  spawnattrGetflags: native<[attributes: Uint8Array, flags: Uint8Array]>('posix_spawnattr_getflags', [
    'void *',
    'void *',
  ]),
  spawnattrSetsigmask: native<[attributes: Uint8Array, set: Uint8Array]>('posix_spawnattr_setsigmask', [
    'void *',
    'void *',
  ]),
  spawnattrSetsigdefault: native<[attributes: Uint8Array, set: Uint8Array]>('posix_spawnattr_setsigdefault', [
    'void *',
    'void *',
  ]),
  actionsInit: native<[actions: Uint8Array]>('posix_spawn_file_actions_init', ['void *']),
  actionsDestroy: native<[actions: Uint8Array]>('posix_spawn_file_actions_destroy', ['void *']),
  actionsAddopen: native<[actions: Uint8Array, fd: number, path: string, flags: number, mode: number]>(
    'posix_spawn_file_actions_addopen',
    ['void *', 'int', 'const char *', 'int', 'unsigned int'],
  ),
  actionsAdddup2: native<[actions: Uint8Array, fd: number, childFd: number]>(
    'posix_spawn_file_actions_adddup2',
    ['void *', 'int', 'int'],
  ),
  actionsAddclose: native<[actions: Uint8Array, fd: number]>('posix_spawn_file_actions_addclose', [
    'void *',
    'int',
  ]),
  actionsAddclosefrom: native<[actions: Uint8Array, fd: number]>('posix_spawn_file_actions_addclosefrom_np', [
    'void *',
    'int',
  ]),
  actionsAddchdir: native<[actions: Uint8Array, path: string]>('posix_spawn_file_actions_addchdir_np', [
    'void *',
    'const char *',
  ]),
  schedSetscheduler: native<[tid: number, policy: number, parameters: Uint8Array]>('sched_setscheduler', [
    'int',
    'int',
    'void *',
  ]),
  mallocTrim: native<[keptBytes: number]>('malloc_trim', ['size_t']),
  madvise: native<[address: Word, length: Word, advice: number]>('madvise', ['uintptr_t', 'size_t', 'int']),
  sigaction: native<[signal: number, action: Uint8Array | null, old: Uint8Array | null]>('sigaction', [
    'int',
    'void *',
    'void *',
  ]),
  sigprocmask: native<[how: number, set: Uint8Array, old: Uint8Array | null]>('sigprocmask', [
    'int',
    'void *',
    'void *',
  ]),
  sigemptyset: native<[set: Uint8Array]>('sigemptyset', ['void *']),
  prctl: native<[option: number, value: Word, third: Word, fourth: Word, fifth: Word]>('prctl', [
    'int',
    'unsigned long',
    'unsigned long',
    'unsigned long',
    'unsigned long',
  ]),
  poll: native<[descriptors: Uint8Array, count: number, timeoutMs: number]>('poll', [
    'void *',
    'unsigned long',
    'int',
  ]),
  pidfdOpen: syscall<[pid: number, flags: number]>(SYSCALLS.pidfdOpen, ['int', 'unsigned int']),
  pidfdSendSignal: syscall<[pidfd: number, signal: number, info: null, flags: number]>(
    SYSCALLS.pidfdSendSignal,
    ['int', 'int', 'void *', 'unsigned int'],
  ),

  /**
   * The system call, which changes this thread alone; glibc's function of the same name changes all threads.
   * An id of -1 (0xffffffff) stays as it is.
   */
  setresuidOfThread: syscall<[real: number, effective: number, saved: number]>(
    SETRESUID[process.arch === 'arm64' ? 'arm64' : 'x64'],
    ['unsigned int', 'unsigned int', 'unsigned int'],
  ),

  /** getpid by the number that programs of the x32 ABI use; -1 where the kernel does not have the ABI. */
  getpidOfX32: syscall<[]>(X32_GETPID, []),

  clockGettime: native<[clock: number, time: Uint8Array]>('clock_gettime', ['int', 'void *']),
} as const;
