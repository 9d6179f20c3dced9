/** What is wrong with a configuration, with the place of each error. */
import { FaultError, fault } from '../../base/fault.ts';

/** In place of a file, for errors of the command line. */
export const COMMAND_LINE = 'command line';

export interface ConfigProblem {
  /** The file, or COMMAND_LINE. */
  readonly file: string;
  /** Counted from 1; undefined for a whole file. */
  readonly line: number | undefined;
  /** With its tables, such as `log.level`; empty for a whole file. */
  readonly key: string;
  readonly reason: string;
}

/** `FILE, line 3: log.level: must be …`. */
export function problemText(problem: ConfigProblem): string {
  const separator = problem.line === undefined ? ': ' : ', ';
  return `${problem.file}${separator}${problemWithinFile(problem)}`;
}

/** The same without the file. */
function problemWithinFile({ line, key, reason }: ConfigProblem): string {
  return `${line === undefined ? '' : `line ${line}: `}${key === '' ? '' : `${key}: `}${reason}`;
}

/** File → all its errors in one line, for a condition whose subject is the file. */
export function problemsByFile(problems: readonly ConfigProblem[]): ReadonlyMap<string, string> {
  const byFile = new Map<string, string>();
  for (const problem of problems) {
    const before = byFile.get(problem.file);
    const text = problemWithinFile(problem);
    byFile.set(problem.file, before === undefined ? text : `${before}; ${text}`);
  }
  return byFile;
}

/** `invalidRequest` with every error of a configuration, of which there is at least one. */
export class ConfigError extends FaultError {
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[]) {
    super(
      fault('invalidRequest', `read configuration ${problems.map(problemText).join('; ')}`, {
        subject: problems[0]?.key || problems[0]?.file || '',
      }),
    );
    this.problems = problems;
  }
}

/** What a terminal shows of any error: one line, or with several errors of a configuration a line for each. */
export function errorLines(thrown: unknown, message: string): readonly string[] {
  if (!(thrown instanceof ConfigError) || thrown.problems.length < 2) return [message];
  const lines = thrown.problems.map((problem) => `  ${problemText(problem)}`);
  return [`read configuration: ${lines.length} errors`, ...lines];
}
