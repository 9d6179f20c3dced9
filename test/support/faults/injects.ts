// A test of an F row declares the fault that it injects, and reports each time that it happened, where it can be seen:
// in the wrapper that returned the error, after strace printed the injection, after the process was found dead.
//
//   const noSpace = injects('F21', 'ENOSPC from the append of a record');
//   …
//   rig.trouble = () => { noSpace.happened(); return 'ENOSPC'; };
//
// `node scripts/rows.ts` finds declarations in the sources (so both arguments are literals) and reports what happened
// from the records of the last run of each file.
import { recordHappened } from './records.ts';

export interface InjectedFault {
  readonly row: string;
  readonly what: string;
  /**
   * Reports that the fault happened: called once it is certain, never before.
   * @param times how often since the last call; throws on less than 1, for then the test has injected nothing
   */
  readonly happened: (times?: number) => void;
}

/** The function, which injects the fault each time that it is called. */
export const injecting =
  <A extends unknown[], R>({ happened }: InjectedFault, inject: (...args: A) => R) =>
  (...args: A): R => {
    happened();
    return inject(...args);
  };

/**
 * Declares a fault that a test injects.
 * @param row code of an F row of test/rows.txt, e.g. `F21`
 * @param what what goes wrong and where, in the words of a log line, e.g. `ENOSPC from the append of a record`
 */
export function injects(row: string, what: string): InjectedFault {
  return {
    row,
    what,
    happened: (times = 1) => {
      if (!(times >= 1)) throw new Error(`${row}: the fault never happened: ${what}`);
      recordHappened({ row, what, times });
    },
  };
}
