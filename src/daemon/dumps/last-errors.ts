/** The last warnings and errors of the log, for dumps. */
import { Ring } from '../../base/bounded.ts';
import { beforeQuote } from '../../base/without-quotes.ts';
import { dumpLimits } from '../bounds.ts';

const IS_WORSE = /^\{"level":"(?:warn|error|fatal)"/u;
/** Our own words and ids; any other text may quote a program (S91). */
const KEPT_WHOLE: ReadonlySet<string> = new Set([
  'level',
  'time',
  'actor',
  'condition',
  'requestId',
  'cause',
  'origin',
  'kind',
  'code',
  'signal',
]);

interface LineWriter {
  write(line: string): unknown;
}

export class LastErrors {
  readonly #lines = new Ring<string>(dumpLimits.errorLines);

  /** The destination of pino, from which lines are remembered on their way. */
  through(destination: LineWriter): LineWriter {
    return {
      write: (line) => {
        if (IS_WORSE.test(line)) this.#lines.push(line.slice(0, dumpLimits.errorLineChars));
        return destination.write(line);
      },
    };
  }

  /** Oldest first; each text ends before its first quotation mark or path. */
  shown(): readonly unknown[] {
    return this.#lines.items().map(shownLine);
  }
}

function shownLine(line: string): unknown {
  try {
    return JSON.parse(line, (key, value: unknown) =>
      typeof value === 'string' && !KEPT_WHOLE.has(key) ? beforeQuote(value) : value,
    ) as unknown;
  } catch {
    // it was cut: level and time begin each line
    const [, level = '', time = ''] = /^\{"level":"(\w+)","time":"([\dTZ:.-]+)"/u.exec(line) ?? [];
    return { level, time, msg: `…a line of more than ${dumpLimits.errorLineChars} characters` };
  }
}
