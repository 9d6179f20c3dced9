/**
 * A guard of ours taken out, and the test that must notice. Without the guard the test does what the guard prevents, as
 * root: it has to do it to files of its own (a directory that is left out of a refusal is then labelled, chowned or
 * deleted).
 */
export interface Mutant {
  /** Of test/rows.txt. */
  readonly row: string;
  /** What the daemon does without the guard. */
  readonly title: string;
  /** From the checkout. */
  readonly file: string;
  /** Text that the file has exactly once. */
  readonly find: string;
  readonly replace: string;
  readonly test: NamedTest;
}

export interface NamedTest {
  /** From the checkout: `test/<project of vitest>/…`. */
  readonly file: string;
  /** A regular expression on the whole name; the row stands in the names that it matches. */
  readonly named: string;
}

/** The directory below test/ says how a test is run (vitest.config.ts). */
export function projectOf({ file }: NamedTest): string {
  return file.split('/')[1] ?? '';
}

const ON_THE_MACHINE: readonly string[] = ['integration', 'e2e', 'security'];

/** Whether it needs root, and the machine for itself. */
export function isOnTheMachine(test: NamedTest): boolean {
  return ON_THE_MACHINE.includes(projectOf(test));
}

/** The text without the guard. Throws unless it is there exactly once. */
export function withoutGuard(text: string, { row, title, file, find, replace }: Mutant): string {
  const times = text.split(find).length - 1;
  if (times !== 1)
    throw new Error(
      `${row}, ${title}: what it replaces is ${times} times in ${file}, not once; does the guard stand elsewhere now?`,
    );
  if (find === replace) throw new Error(`${row}, ${title}: it changes nothing`);
  return text.replace(find, () => replace);
}
