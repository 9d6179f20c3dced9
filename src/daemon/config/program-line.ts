/** Command lines of `exec` and `run`: behind the first word stands another program's command line. */
import { fail } from '../../base/fault.ts';
import { descriptionOf } from '../commands/commands.ts';
import type { CommandDescription, OptionDescription } from '../commands/description.ts';
import { GLOBAL_OPTIONS } from '../commands/global-options.ts';

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

/** Whether the command takes another program's command line. */
export function isProgramCommand(name: string): name is ProgramCommand {
  return name === 'exec' || name === 'run';
}

/** Parses the arguments after the command. Throws `invalidRequest` for unknown or missing ones. */
export function parseProgramLine(command: ProgramCommand, rest: readonly string[]): ProgramLine {
  const known = knownOptions(command);
  const options: Record<string, string> = {};
  const lists: Record<string, string[]> = {};
  const flags = new Set<string>();
  const refuse = (reason: string): never =>
    fail('invalidRequest', `troupe ${command}: ${reason}; see troupe help ${command}`);
  let at = 0;
  for (; at < rest.length; at += 1) {
    const text = rest[at] ?? '';
    if (text === '--help' || text === '-h')
      return { command: 'help', options: {}, flags: new Set(), words: [command] };
    if (!text.startsWith('-')) break;
    if (text === '--') {
      at += 1;
      break;
    }
    for (const [name, inline] of split(text, known)) {
      const option = known.get(name);
      if (option === undefined || (option.value === undefined && inline !== undefined))
        refuse(`no such option ${text}`);
      else if (option.value === undefined) flags.add(name);
      else {
        const value = inline ?? rest[++at] ?? refuse(`--${name} needs a value`);
        if (option.isRepeatable === true) (lists[name] ??= []).push(value);
        else options[name] = value;
      }
    }
  }
  const [first, ...program] = rest.slice(at);
  if (program[0] === '--') program.shift();
  const { words: [what, run] = [] }: CommandDescription = descriptionOf(command);
  if (first === undefined) return refuse(`expected one ${what?.means ?? ''}`);
  if (run?.isOptional !== true && program.length === 0)
    return refuse('expected a program: troupe exec WHAT -- CMD');
  return { command, options, flags, words: [first, ...program], lists };
}

function knownOptions(command: ProgramCommand): ReadonlyMap<string, OptionDescription> {
  const { options = {}, globals }: CommandDescription = descriptionOf(command);
  return new Map([
    ...Object.entries(options),
    ...globals.map((name): [string, OptionDescription] => [name, GLOBAL_OPTIONS[name]]),
  ]);
}

/** Options of one word: `-it` are two. An unknown one has the empty name. */
function split(
  text: string,
  known: ReadonlyMap<string, OptionDescription>,
): readonly (readonly [string, string | undefined])[] {
  if (text.startsWith('--')) {
    const equals = text.indexOf('=');
    return [equals < 0 ? [text.slice(2), undefined] : [text.slice(2, equals), text.slice(equals + 1)]];
  }
  const names = [...text.slice(1)].map(
    (typed) => [...known].find(([, { letter }]) => letter === typed)?.[0] ?? '',
  );
  const isJoined = names.length > 1 && names.every((name) => known.get(name)?.value === undefined);
  return isJoined || names.length === 1 ? names.map((name) => [name, undefined]) : [['', undefined]];
}
