/** Makes log lines safe to show. */
import { escapedLines, withoutCredentials } from '../base/shown-text.ts';

/** The destination of pino. */
export interface Lines {
  write(line: string): unknown;
}

/** Escapes control characters (S93) and removes the passwords of URLs (S92), whatever a line quotes. */
export function safeLines(destination: Lines): Lines {
  return { write: (line) => destination.write(escapedLines(withoutCredentials(line))) };
}
