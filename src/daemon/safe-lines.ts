/** Lines of the log as they may be shown. */
import { escapedLines, withoutCredentials } from '../base/shown-text.ts';

/** What pino writes to. */
export interface Lines {
  write(line: string): unknown;
}

/** Whatever a line quotes: nothing in it steers the terminal of its reader (S93), and no URL shows its password (S92). */
export function safeLines(destination: Lines): Lines {
  return { write: (line) => destination.write(escapedLines(withoutCredentials(line))) };
}
