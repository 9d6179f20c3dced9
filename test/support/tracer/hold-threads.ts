// Run by held-threads.ts as a process of its own, since it waits for all that it traces: `hold-threads.ts PID NAME
// WHICH`.
//
// Holds the threads of PID that have this name where they are (ptrace(2)): `present` those that there are, `all` also
// each thread that is made from now on, at its first instruction. The others go on. Prints `held` once the present ones
// stand. They go on when this program ends, however it does.
import { readFileSync, readdirSync, writeSync } from 'node:fs';
import koffi from 'koffi';

const SEIZE = 0x4206;
const INTERRUPT = 0x4207;
const CONTINUE = 7;
/** PTRACE_O_TRACECLONE: new threads are traced from their beginning. */
const CLONES = 0x8;
const EVENT_STOP = 128;
const WALL = 0x4000_0000;

const libc = koffi.load('libc.so.6');
const ptrace = libc.func('ptrace', 'long', ['long', 'int', 'size_t', 'size_t']) as (
  request: number,
  tid: number,
  address: number,
  data: number,
) => number;
const waitpid = libc.func('waitpid', 'int', ['int', 'void *', 'int']) as (
  pid: number,
  status: Uint8Array,
  options: number,
) => number;

const pid = Number(process.argv[2]);
const name = process.argv[3];
const isAll = process.argv[4] === 'all';

const nameOf = (tid: string): string => readFileSync(`/proc/${pid}/task/${tid}/comm`, 'latin1').trim();
const present = new Set(
  readdirSync(`/proc/${pid}/task`)
    .filter((tid) => nameOf(tid) === name)
    .map(Number),
);
for (const tid of present)
  if (ptrace(SEIZE, tid, 0, 0) !== 0 || ptrace(INTERRUPT, tid, 0, 0) !== 0)
    throw new Error(`thread ${tid} cannot be traced`);
// the main thread makes them
if (isAll && ptrace(SEIZE, pid, 0, CLONES) !== 0) throw new Error(`process ${pid} cannot be traced`);

const standing = new Set<number>();
let isSaid = false;
const status = Buffer.alloc(4);
for (;;) {
  const tid = waitpid(-1, status, WALL);
  if (tid < 0) break;
  const word = status.readUInt32LE();
  const isStopped = (word & 0xff) === 0x7f;
  if (!isStopped && tid === pid) break;
  if (!isStopped) continue;
  const [signal, event] = [(word >> 8) & 0xff, word >> 16];
  if (event === EVENT_STOP && tid !== pid) standing.add(tid);
  else ptrace(CONTINUE, tid, 0, event === 0 ? signal : 0);
  if (isSaid || [...present].some((one) => !standing.has(one))) continue;
  isSaid = true;
  writeSync(1, 'held\n');
}
