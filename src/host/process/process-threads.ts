/** The threads of a process as the kernel shows them: which of them waits for what. */
import { readFileSync, readdirSync } from 'node:fs';
import { printable } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { isProcessGone } from '../ffi/errno.ts';
import { parseStat } from './process-identity.ts';

export interface ThreadState {
  readonly tid: number;
  readonly name: string;
  /** One letter: R, S, D, T … */
  readonly state: string;
  /** The kernel's function in which it waits, without a stack (proc_pid_wchan(5)); empty when it runs. */
  readonly waitsIn: string;
  /** Innermost first; empty where the kernel does not show it. */
  readonly stack: readonly string[];
}

/**
 * Empty when the process is gone. The first one is the main thread. Synchronous, for a process whose thread pool hangs:
 * procfs answers from memory, and what is read here takes no lock that a stuck process could hold.
 */
export function threadsOf(pid: number): readonly ThreadState[] {
  const directory = `/proc/${pid}/task`;
  const tids = namesIn(directory).map(Number);
  return tids.slice(0, hostLimits.shownThreads).flatMap((tid) => {
    const read = (name: string): string => textOf(`${directory}/${tid}/${name}`);
    const stat = parseStat(read('stat'));
    const stack = read('stack').split('\n').map(printable);
    return stat === undefined
      ? []
      : {
          tid,
          name: printable(read('comm').trim()),
          state: stat.state,
          waitsIn: read('wchan').replace(/^0$/u, ''),
          stack: stack.filter((line) => line !== '').slice(0, hostLimits.shownFrames),
        };
  });
}

/** Whether the process has a handler for the signal: the default of most is to end it. */
export function handlesSignal(pid: number, signal: number): boolean {
  const [, mask = '0'] = /^SigCgt:\s*([0-9a-f]+)$/mu.exec(textOf(`/proc/${pid}/status`)) ?? [];
  return (BigInt(`0x${mask}`) & (1n << BigInt(signal - 1))) !== 0n;
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isProcessGone(error)) return [];
    throw error;
  }
}

/** Empty where it does not exist, or may not be read: the stack needs CAP_SYS_ADMIN. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
