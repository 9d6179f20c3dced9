// Runs classic BPF as the kernel runs it for seccomp (seccomp_check_filter in kernel/seccomp.c lists what it accepts).

/** struct sock_filter of linux/filter.h. */
export interface Instruction {
  readonly code: number;
  readonly ifTrue: number;
  readonly ifFalse: number;
  readonly k: number;
}

/** struct seccomp_data of linux/seccomp.h. */
export interface SyscallData {
  readonly number: number;
  /** AUDIT_ARCH_*. */
  readonly arch: number;
  readonly args: readonly bigint[];
}

/** An instruction from its eight bytes, read as a little-endian number. */
export function decoded(word: bigint): Instruction {
  return {
    code: Number(word & 0xffffn),
    ifTrue: Number((word >> 16n) & 0xffn),
    ifFalse: Number((word >> 24n) & 0xffn),
    k: Number(word >> 32n),
  };
}

/** The 32-bit words of the data; a load is of one of them. */
function wordsOf({ number, arch, args }: SyscallData): readonly number[] {
  const halves = Array.from({ length: 6 }, (_, at) => BigInt.asUintN(64, args[at] ?? 0n)).flatMap((arg) => [
    Number(arg & 0xffffffffn),
    Number(arg >> 32n),
  ]);
  // the instruction pointer, which no profile compares
  return [number >>> 0, arch >>> 0, 0, 0, ...halves];
}

const [LOAD_ABSOLUTE, LOAD_NUMBER, LOAD_MEMORY, STORE, RETURN, RETURN_A, JUMP] = [
  0x20, 0x00, 0x60, 0x02, 0x06, 0x16, 0x05,
];
const AND = 0x54;

const CONDITIONS: ReadonlyMap<number, (a: number, k: number) => boolean> = new Map([
  [0x15, (a, k) => a === k],
  [0x25, (a, k) => a > k],
  [0x35, (a, k) => a >= k],
  [0x45, (a, k) => (a & k) !== 0],
]);

/** The program's answer. Throws for what seccomp's filters of libseccomp and of ours do not have. */
export function run(program: readonly Instruction[], data: SyscallData): number {
  const words = wordsOf(data);
  const memory: number[] = [];
  let a = 0;
  for (let at = 0; at < program.length; at += 1) {
    const { code, ifTrue, ifFalse, k } = program[at] as Instruction;
    const condition = CONDITIONS.get(code);
    if (condition !== undefined) at += condition(a, k) ? ifTrue : ifFalse;
    else if (code === LOAD_ABSOLUTE) a = words[k / 4] ?? wrong(program, at);
    else if (code === LOAD_NUMBER) a = k;
    else if (code === LOAD_MEMORY) a = memory[k] ?? wrong(program, at);
    else if (code === STORE) memory[k] = a;
    else if (code === AND) a = (a & k) >>> 0;
    else if (code === JUMP) at += k;
    else if (code === RETURN) return k;
    else if (code === RETURN_A) return a;
    else wrong(program, at);
  }
  return wrong(program, program.length);
}

function wrong(program: readonly Instruction[], at: number): never {
  throw new Error(`instruction ${at}: ${JSON.stringify(program[at])}`);
}
