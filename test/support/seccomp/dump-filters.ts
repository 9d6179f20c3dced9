// Run by filters.ts as a process of its own, since ptrace(2) belongs to a thread: `dump-filters.ts PID`.
//
// Stops a process, prints its seccomp filters as JSON, a list of lists of 64-bit instructions in hexadecimal, the
// oldest filter first (the kernel counts from it: get_nth_filter in kernel/seccomp.c), and lets the process go on.
// Prints `{"refused": errno}` where the kernel does not hand out filters.
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';

const SEIZE = 0x4206;
const INTERRUPT = 0x4207;
const DETACH = 17;
const SECCOMP_GET_FILTER = 0x420c;
const WALL = 0x4000_0000;
/** struct sock_filter of linux/filter.h. */
const INSTRUCTION_BYTES = 8;
/** BPF_MAXINSNS of linux/bpf_common.h. */
const INSTRUCTIONS_MAX = 4096;

const libc = koffi.load('libc.so.6');
const ptrace = libc.func('ptrace', 'long', ['long', 'int', 'size_t', 'size_t']) as (
  request: number,
  pid: number,
  address: number,
  data: number,
) => number;
const ptraceInto = libc.func('ptrace', 'long', ['long', 'int', 'size_t', 'void *']) as (
  request: number,
  pid: number,
  at: number,
  into: Uint8Array,
) => number;
const waitpid = libc.func('waitpid', 'int', ['int', 'void *', 'int']) as (
  pid: number,
  status: Uint8Array,
  options: number,
) => number;

const pid = Number(process.argv[2]);
const failed = (call: string): never => {
  throw new Error(`${call} ${pid}: errno ${koffi.errno()}`);
};

if (ptrace(SEIZE, pid, 0, 0) !== 0 || ptrace(INTERRUPT, pid, 0, 0) !== 0) failed('seize');
if (waitpid(pid, Buffer.alloc(4), WALL) !== pid) failed('wait for');
const filters: string[][] = [];
const bytes = Buffer.alloc(INSTRUCTION_BYTES * INSTRUCTIONS_MAX);
let length = ptraceInto(SECCOMP_GET_FILTER, pid, 0, bytes);
for (; length > 0; length = ptraceInto(SECCOMP_GET_FILTER, pid, filters.length, bytes)) {
  filters.push(Array.from({ length }, (_, at) => bytes.readBigUInt64LE(at * INSTRUCTION_BYTES).toString(16)));
}
const error = koffi.errno();
ptrace(DETACH, pid, 0, 0);
// beyond the last filter it is ENOENT, without any EINVAL
const { ENOENT, EINVAL } = constants.errno;
const isRefused = error !== ENOENT && !(error === EINVAL && filters.length === 0);
writeSync(1, JSON.stringify(isRefused ? { refused: error } : { filters }));
