/**
 * The OCI process object of an exec: the container's own (user, capabilities, environment, directory) with other
 * arguments.
 */
import { fail } from '../../../base/fault.ts';
import { driverLimits } from '../bounds.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';

/** Throws `invalidRequest` for an argv that execve cannot take. A NUL byte would silently cut an argument short. */
export function checkArgv(argv: readonly string[], id: string): void {
  const refuse = (reason: string): never =>
    fail('invalidRequest', `exec in container ${id}: cmd: ${reason}`, { subject: id });
  if (argv.length === 0 || argv[0] === '') refuse('must not be empty');
  if (argv.length > driverLimits.execArguments) refuse(`more than ${driverLimits.execArguments} arguments`);
  if (argv.some((word) => word.includes('\0'))) refuse('must not hold a NUL byte');
  const bytes = argv.reduce((sum, word) => sum + Buffer.byteLength(word), 0);
  if (bytes > driverLimits.execArgumentBytes)
    refuse(`more than ${driverLimits.execArgumentBytes} bytes of arguments`);
}

/** Whether the process gets a terminal, and its initial size. */
export interface ExecTerminal {
  readonly wanted?: boolean;
  readonly size?: { readonly rows: number; readonly columns: number } | undefined;
}

/**
 * The text of the exec's process object, from the text of a bundle's config.json. Throws `outside` if that has no
 * process.
 */
export function execProcess(
  configText: string,
  argv: readonly string[],
  id: string,
  terminal: ExecTerminal = {},
): string {
  const process = memberOf(parseExact(configText), 'process');
  if (typeof process !== 'object' || process === null || Array.isArray(process)) {
    return fail('outside', `exec in container ${id}: config.json has no process`, { subject: id });
  }
  const { consoleSize: _size, ...rest } = process as Record<string, unknown>;
  const { size } = terminal;
  const consoleSize = size === undefined ? {} : { consoleSize: { height: size.rows, width: size.columns } };
  const env = terminal.wanted === true ? { env: withTerm(rest['env']) } : {};
  return JSON.stringify({ ...rest, ...env, ...consoleSize, terminal: terminal.wanted === true, args: argv });
}

/**
 * Adds TERM=xterm, as containerd and Docker do, unless the image or the request sets TERM. A container without a
 * terminal has none, so `top` or `clear` would refuse to run in the exec's terminal.
 */
function withTerm(env: unknown): readonly unknown[] {
  const all: readonly unknown[] = Array.isArray(env) ? env : [];
  return all.some((one) => typeof one === 'string' && one.startsWith('TERM=')) ? all : [...all, 'TERM=xterm'];
}

/** Reads a bundle's config.json. Throws `notFound` without a file, `outside` for one beyond the bound. */
export async function readBundleConfig(path: string, id: string): Promise<string> {
  const { stateFileUsualBytes: usualBytes, stateFileBytes: bytesMax } = driverLimits;
  const text = await readSmallFile(path, { usualBytes, bytesMax });
  if (text === undefined)
    return fail('notFound', `exec in container ${id}: bundle not found`, { subject: id });
  if (text === '') fail('outside', `read ${path}: empty, or larger than ${bytesMax} bytes`, { subject: id });
  return text;
}

function memberOf(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.getOwnPropertyDescriptor(value, key)?.value;
}

type ExactReviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

// both exist in V8 since 11.4; TypeScript's library has neither yet
const exactJson = JSON as typeof JSON & {
  parse(text: string, reviver: ExactReviver): unknown;
  rawJSON(text: string): object;
};

/**
 * A number that JSON.parse may round, where a value can stand: 2^53 has 16 digits. A text that has it by
 * chance, such as a digest behind a colon, is parsed the slow way.
 */
const MAY_BE_INEXACT = /[:[,]\s*-?(?:\d{16}|[\d.]+[eE])/u;

/** Numbers above 2^53, such as RLIM_INFINITY, keep their digits: Go refuses the rounded ones for uint64. */
function parseExact(text: string): unknown {
  // each exec waits for it: with a reviver it takes eight times as long
  if (!MAY_BE_INEXACT.test(text)) return JSON.parse(text);
  const keep: ExactReviver = (_key, value, { source }) => {
    const isInexact = typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined;
    return isInexact ? exactJson.rawJSON(source) : value;
  };
  return exactJson.parse(text, keep);
}
