/** Command lines of `exec` and `run`: behind the first word stands another program's command line. */
import { fail } from '../../base/fault.ts';

type ProgramCommand = 'exec' | 'run';

/** As `CommandLine`. */
interface ProgramLine {
  readonly command: ProgramCommand | 'help';
  readonly options: Readonly<Record<string, string>>;
  readonly flags: ReadonlySet<string>;
  /** The first word, and the program's command line. */
  readonly words: readonly string[];
  readonly lists?: Readonly<Record<string, readonly string[]>>;
}

interface ProgramGrammar {
  readonly options: readonly string[];
  /** Options that may be given several times. */
  readonly lists: readonly string[];
  readonly flags: readonly string[];
  readonly letters: Readonly<Record<string, string>>;
  /** What the first word is. */
  readonly word: string;
  /** A program must follow. */
  readonly needsProgram: boolean;
}

const PLACE = ['config', 'root', 'state', 'socket', 'introspection'];
const LETTERS = { i: 'stdin', t: 'tty' };

const GRAMMARS: Readonly<Record<ProgramCommand, ProgramGrammar>> = {
  exec: {
    options: PLACE,
    lists: [],
    flags: ['stdin', 'tty'],
    letters: LETTERS,
    word: 'pod, container or id',
    needsProgram: true,
  },
  run: {
    options: [...PLACE, 'network', 'name'],
    lists: ['env', 'volume'],
    flags: ['stdin', 'tty', 'rm', 'keep', 'detach'],
    letters: { ...LETTERS, e: 'env', v: 'volume', d: 'detach' },
    word: 'image',
    needsProgram: false,
  },
};

/** Whether the command takes another program's command line. */
export function isProgramCommand(name: string): name is ProgramCommand {
  return Object.hasOwn(GRAMMARS, name);
}

/** Parses the arguments after the command. Throws `invalidRequest` for unknown or missing ones. */
export function parseProgramLine(command: ProgramCommand, rest: readonly string[]): ProgramLine {
  const { options: known, lists: repeated, flags: switches, letters, word, needsProgram } = GRAMMARS[command];
  const options: Record<string, string> = {};
  const lists: Record<string, string[]> = {};
  const flags = new Set<string>();
  const refuse = (reason: string): never =>
    fail('invalidRequest', `troupe ${command}: ${reason}; see troupe help`);
  let at = 0;
  for (; at < rest.length; at += 1) {
    const text = rest[at] ?? '';
    if (text === '--help' || text === '-h')
      return { command: 'help', options: {}, flags: new Set(), words: [command] };
    if (!text.startsWith('-')) break;
    for (const [name, inline] of split(text, letters, switches)) {
      if (switches.includes(name) && inline === undefined) flags.add(name);
      else if (known.includes(name) || repeated.includes(name)) {
        const value = inline ?? rest[++at] ?? refuse(`--${name} needs a value`);
        if (repeated.includes(name)) (lists[name] ??= []).push(value);
        else options[name] = value;
      } else refuse(`no such option ${text}`);
    }
  }
  const [first, ...program] = rest.slice(at);
  if (program[0] === '--') program.shift();
  if (first === undefined) return refuse(`expected one ${word}`);
  if (needsProgram && program.length === 0) return refuse('expected a program: troupe exec WHAT -- CMD');
  return { command, options, flags, words: [first, ...program], lists };
}

/** Options of one word: `-it` are two. An unknown one has the empty name. */
function split(
  text: string,
  letters: ProgramGrammar['letters'],
  switches: readonly string[],
): readonly (readonly [string, string | undefined])[] {
  if (text.startsWith('--')) {
    const equals = text.indexOf('=');
    return [equals < 0 ? [text.slice(2), undefined] : [text.slice(2, equals), text.slice(equals + 1)]];
  }
  const names = [...text.slice(1)].map((letter) => letters[letter] ?? '');
  const isJoined = names.length > 1 && names.every((name) => switches.includes(name));
  return isJoined || names.length === 1 ? names.map((name) => [name, undefined]) : [['', undefined]];
}
