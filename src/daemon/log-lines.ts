/** The form of log lines: JSON, or text for a terminal, with priorities for the journal. */
import { pino } from 'pino';
import type { LoggerOptions } from 'pino';
import { escaped } from '../base/shown-text.ts';
import type { LogPlace } from './config/config.ts';
import { safeLines } from './safe-lines.ts';
import type { Lines } from './safe-lines.ts';

/** Where the log goes, and in which form. */
export interface LogForm {
  readonly isText: boolean;
  /** Each line begins with its priority, `<3>`, which the journal takes off (sd-daemon(3)). */
  readonly hasPriorities: boolean;
}

/** The form for `log.format`. */
export function logForm(format: string, { isTerminal, journalStream, stream }: LogPlace): LogForm {
  return {
    isText: format === 'text' || (format === 'auto' && isTerminal),
    hasPriorities: journalStream !== '' && journalStream === stream,
  };
}

/** Level names and RFC 3339 times, as log collectors expect them. */
export const logOptions: LoggerOptions = {
  base: null,
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (level) => ({ level }) },
};

/** syslog(3). */
const PRIORITIES: readonly (readonly [string, number])[] = [
  ['fatal', 2],
  ['error', 3],
  ['warn', 4],
  ['info', 6],
  ['debug', 7],
  ['trace', 7],
];
const PRIORITY_OF: ReadonlyMap<unknown, number> = new Map(PRIORITIES);
const LEVEL_COLUMNS = 5;

/** The destination for pino: safe lines in the form, which may change from one line to the next. */
export function logLines(destination: Lines, form: () => LogForm): Lines {
  return safeLines({
    write: (line) => {
      const { isText, hasPriorities } = form();
      if (!isText && !hasPriorities) return destination.write(line);
      const entry = JSON.parse(line) as Readonly<Record<string, unknown>>;
      const prefix = hasPriorities ? `<${PRIORITY_OF.get(entry['level']) ?? 6}>` : '';
      // parsing brings back the characters that safeLines has escaped
      return destination.write(`${prefix}${isText ? `${escaped(textOf(entry))}\n` : line}`);
    },
  });
}

/** `10:02:03.456 warn  message: key=value`; the date would be the same on all lines of a screen. */
function textOf({ time, level, msg, ...fields }: Readonly<Record<string, unknown>>): string {
  const shown = Object.entries(fields).map(([key, value]) => `${key}=${valueText(value)}`);
  const clock = String(time).slice('2026-11-23T'.length, -1);
  return [clock, String(level).padEnd(LEVEL_COLUMNS), String(msg), ...shown].join(' ');
}

/** Plain words as they are, a fault by its message, anything else as JSON. */
function valueText(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@+-]+$/u.test(value)) return value;
  const message =
    typeof value === 'object' && value !== null && 'message' in value ? value.message : undefined;
  return JSON.stringify(typeof message === 'string' ? message : value);
}
