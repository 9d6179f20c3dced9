// Nice values of processes and threads.
import { readFileSync, readdirSync } from 'node:fs';

/** Field 19 of a file as proc_pid_stat(5) has it. */
export const niceIn = (stat: string): number =>
  Number(
    stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .at(16),
  );

export const niceOf = (pid: number): number => niceIn(readFileSync(`/proc/${pid}/stat`, 'latin1'));

/** Of each thread of a process but its main one, where its name is wanted, without those that end meanwhile. */
export function niceOfOtherThreads(
  pid: number,
  isWanted: (name: string) => boolean = () => true,
): readonly number[] {
  const others = readdirSync(`/proc/${pid}/task`).filter((tid) => tid !== String(pid));
  return others.flatMap((tid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'latin1');
      return isWanted(stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))) ? [niceIn(stat)] : [];
    } catch {
      return [];
    }
  });
}
