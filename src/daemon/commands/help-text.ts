/** `troupe help`: all commands, and the page of one. Pure. */
import { COMMAND_NAMES, descriptionOf } from './commands.ts';
import type { CommandName } from './commands.ts';
import { GROUPS } from './description.ts';
import type { CommandDescription, OptionDescription } from './description.ts';
import { GLOBAL_OPTIONS } from './global-options.ts';

/** Columns of a page: it is read beside other text, and in mails. */
const COLUMNS = 100;
/** Columns of an option. */
const OPTION_COLUMNS = 26;

/** Exit codes of all commands; the page of a command says what they mean for it. */
export const EXIT_CODES: Readonly<Record<number, string>> = {
  0: 'success',
  1: 'a finding or failure',
  2: 'wrong usage',
  3: 'no such pod, container or image',
  4: 'no daemon answers',
  5: 'serve and start: another process has taken the path of the CRI socket',
  6: 'upgrade, reload and serve --take-over: the daemon that runs has refused, and goes on',
  125: 'exec and run, whose other codes are the program’s: wrong usage, or troupe, the daemon or the call failed',
  126: "exec and run: the program can't be executed",
  127: 'exec and run: no such program',
  78: 'serve, start and config --check: a wrong configuration; serve and start: a wrong command line',
};

/** All commands and the options that stand before or after each. */
export function overview(): string {
  const groups = Object.entries(GROUPS).map(([group, title]) => {
    const names = COMMAND_NAMES.filter((name) => descriptionOf(name).group === group);
    return [`${title}:`, ...names.map(listLine)].join('\n');
  });
  return [
    'troupe: a container runtime for Kubernetes (CRI) in which every pod is a statechart',
    'Usage: troupe [OPTION]... COMMAND [ARGUMENT]...',
    ...groups,
    ['Options, before or after the command:', ...Object.entries(GLOBAL_OPTIONS).map(optionLine)].join('\n'),
    ['Exit codes:', ...exitLines(EXIT_CODES)].join('\n'),
    'troupe help COMMAND says more, with examples.\n',
  ].join('\n\n');
}

function listLine(name: CommandName): string {
  const { brief } = descriptionOf(name);
  return `${listedName(name).padEnd(NAME_COLUMNS)}${brief}`;
}

const listedName = (name: CommandName): string =>
  `  troupe ${[name, ...wordsOf(descriptionOf(name))].join(' ')}`;
const NAME_COLUMNS = Math.max(...COMMAND_NAMES.map((name) => listedName(name).length)) + 2;

/** The page of one command. */
export function commandHelp(name: CommandName): string {
  const description = descriptionOf(name);
  const { brief, text, options = {}, examples, exits, seeAlso = [] } = description;
  const section = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : [[title, ...lines].join('\n')];
  return `${[
    `troupe ${name}: ${brief}`,
    wrapped(`Usage: ${synopsis(name).join(' ')}`, '').join('\n       '),
    ...text.map((paragraph) => wrapped(paragraph, '').join('\n')),
    ...section('Options:', Object.entries(options).map(optionLine)),
    ...section('Options, before or after the command:', globalsOf(description).map(optionLine)),
    ...section(
      'Examples:',
      Object.entries(examples).flatMap(([does, line]) => [`  # ${does}`, `  ${line}`]),
    ),
    ...section('Exit codes:', exitLines(exits)),
    ...(seeAlso.length === 0 ? [] : [`See also: ${seeAlso.map((other) => `troupe ${other}`).join(', ')}`]),
  ].join('\n\n')}\n`;
}

function exitLines(codes: Readonly<Record<number, string>>): readonly string[] {
  return Object.entries(codes).map(([code, when]) => `  ${code.padEnd(4)}${when}`);
}

/** The words of a command's usage: `troupe`, its name, options and arguments. */
export function synopsis(name: CommandName): readonly string[] {
  const description = descriptionOf(name);
  const { options = {}, globals } = description;
  return [
    'troupe',
    name,
    ...Object.entries(options).map(([option, { letter, value }]) => {
      const shown = letter === undefined ? `--${option}` : `-${letter}`;
      return `[${value === undefined ? shown : `${shown} ${value}`}]`;
    }),
    ...(globals.length === 0 ? [] : ['[OPTION]...']),
    ...wordsOf(description),
  ];
}

/** The global options that a command takes. */
export function globalsOf({
  globals,
}: CommandDescription): readonly (readonly [string, OptionDescription])[] {
  return globals.map((name) => [name, GLOBAL_OPTIONS[name]]);
}

/** `-n, --namespace NAME`. */
export function optionName(name: string, { letter, value }: OptionDescription): string {
  const short = letter === undefined ? '' : `-${letter}, `;
  return `${short}--${name}${value === undefined ? '' : ` ${value}`}`;
}

function wordsOf({ words = [] }: CommandDescription): readonly string[] {
  return words.map(({ name, isOptional }) => (isOptional === true ? `[${name}]` : name));
}

function optionLine([name, option]: readonly [string, OptionDescription]): string {
  const { help, choices } = option;
  const left = `  ${optionName(name, option)}`;
  const [first = '', ...more] = wrapped(
    choices === undefined ? help : `${help} (${choices.join(', ')})`,
    ' '.repeat(OPTION_COLUMNS),
  );
  return [left.padEnd(OPTION_COLUMNS - 1) + ' ' + first.trimStart(), ...more].join('\n');
}

/** Lines of at most COLUMNS, each with this beginning. */
function wrapped(text: string, lead: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length >= COLUMNS) lines.push(lead + word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
