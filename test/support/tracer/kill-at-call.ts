// Run by tracer.ts as a process of its own, since it waits for all that it traces: `kill-at-call.ts PID AT SIDE`.
//
// Traces the threads of PID (ptrace(2)), not its children, and ends it by SIGKILL at its AT-th call that changes the
// world, counted over all threads: `before` the call has done anything (a process that has a fatal signal at the entry
// of a call does not make it), or `after` it, while its result has not been seen. With `hold` it leaves the process
// where it is before the call, until this program is ended: nothing that it traces goes on meanwhile. AT 0 does none of
// this. Prints `attached` once every call is seen, then each such call, then `reached` with the call.
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { worldCall } from './world-calls.ts';

const SEIZE = 0x4206;
const INTERRUPT = 0x4207;
const LISTEN = 0x4208;
const TO_NEXT_CALL = 24;
const GET_SYSCALL_INFO = 0x420e;
/** PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACECLONE: threads, for a child is made by fork or vfork; PTRACE_O_TRACEEXEC. */
const OPTIONS = 0x1 | 0x8 | 0x10;
const EVENT_EXEC = 4;
const EVENT_STOP = 128;
const WALL = 0x4000_0000;
const SYSCALL_STOP = constants.signals.SIGTRAP | 0x80;
const STOP_SIGNALS: readonly number[] = ['SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU'].map(
  (name) => constants.signals[name as NodeJS.Signals],
);
/** struct ptrace_syscall_info of linux/ptrace.h. */
const INFO_BYTES = 88;
const [OF_ENTRY, OF_EXIT] = [1, 2];

const libc = koffi.load('libc.so.6');
const ptrace = libc.func('ptrace', 'long', ['long', 'int', 'size_t', 'size_t']) as (
  request: number,
  tid: number,
  address: number,
  data: number,
) => number;
const ptraceInto = libc.func('ptrace', 'long', ['long', 'int', 'size_t', 'void *']) as (
  request: number,
  tid: number,
  bytes: number,
  into: Uint8Array,
) => number;
const waitpid = libc.func('waitpid', 'int', ['int', 'void *', 'int']) as (
  pid: number,
  status: Uint8Array,
  options: number,
) => number;

const [pid = 0, at = 0] = process.argv.slice(2, 4).map(Number);
const side = process.argv[4];
const say = (line: string): void => void writeSync(1, `${line}\n`);

let memory = openSync(`/proc/${pid}/mem`, 'r');
/** Threads in the call after which the process is to be killed, with that call. */
const last = new Map<number, string>();
const waitedFor = new Set<number>();
let seen = 0;

function seize(tid: number): void {
  // a thread may have ended since it was listed
  if (ptrace(SEIZE, tid, 0, OPTIONS) === 0 && ptrace(INTERRUPT, tid, 0, 0) === 0) waitedFor.add(tid);
}

function reach(call: string): void {
  if (side !== 'hold') process.kill(pid, 'SIGKILL');
  say(`reached ${call}`);
  if (side === 'hold') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

const info = Buffer.alloc(INFO_BYTES);

/** A thread stands at the entry or at the exit of a call. */
function atCall(tid: number): void {
  if (ptraceInto(GET_SYSCALL_INFO, tid, INFO_BYTES, info) < 0) return;
  if (info[0] === OF_EXIT) {
    const call = last.get(tid);
    if (call !== undefined) reach(call);
    return;
  }
  if (info[0] !== OF_ENTRY) return;
  const args = Array.from({ length: 6 }, (_, index) => info.readBigUInt64LE(32 + 8 * index));
  const call = worldCall({ pid, number: Number(info.readBigUInt64LE(24)), args, memory });
  if (call === undefined) return;
  seen += 1;
  if (seen < at || at === 0) say(call);
  if (seen !== at) return;
  if (side === 'after') last.set(tid, call);
  else reach(call);
}

for (const tid of readdirSync(`/proc/${pid}/task`)) seize(Number(tid));
const status = Buffer.alloc(4);
for (let isAttached = false; ;) {
  const tid = waitpid(-1, status, WALL);
  if (tid < 0) break;
  const word = status.readUInt32LE();
  if ((word & 0xff) !== 0x7f) {
    last.delete(tid);
    if (tid === pid) break;
    continue;
  }
  const [signal, event] = [(word >> 8) & 0xff, word >> 16];
  if (signal === SYSCALL_STOP) atCall(tid);
  if (event === EVENT_EXEC) {
    // the descriptor is of the memory of the program before
    closeSync(memory);
    memory = openSync(`/proc/${pid}/mem`, 'r');
  }
  const isGroupStop = event === EVENT_STOP && STOP_SIGNALS.includes(signal);
  const passedOn = event !== 0 || signal === SYSCALL_STOP ? 0 : signal;
  ptrace(isGroupStop ? LISTEN : TO_NEXT_CALL, tid, 0, passedOn);
  waitedFor.delete(tid);
  if (!isAttached && waitedFor.size === 0) {
    isAttached = true;
    say('attached');
  }
}
closeSync(memory);
