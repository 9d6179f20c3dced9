/** The command line, by the description of the commands. */
import { fail } from '../../base/fault.ts';
import { commandNamed, COMMAND_NAMES, descriptionOf } from '../commands/commands.ts';
import type { CommandName } from '../commands/commands.ts';
import type { CommandDescription, OptionDescription } from '../commands/description.ts';
import { commandAt, GLOBAL_OPTIONS } from '../commands/global-options.ts';
import { nearestWord } from './nearest-key.ts';
import { isProgramCommand, parseProgramLine } from './program-line.ts';

export interface CommandLine {
  readonly command: CommandName;
  /** `--name value`, `--name=value` and `-n value`, by the long names without the dashes. */
  readonly options: Readonly<Record<string, string>>;
  /** Options without a value that were given. */
  readonly flags: ReadonlySet<string>;
  /** The other words. Of `help` the command it is asked for, or none. */
  readonly words: readonly string[];
  /** Options that may be given several times. */
  readonly lists?: Readonly<Record<string, readonly string[]>>;
}

const NOTHING = { options: {}, flags: new Set<string>(), words: [] };

/**
 * Parses the arguments after the program's name. Options may stand before the command, too. Throws `invalidRequest` for
 * unknown or missing ones, with the known one that is most alike.
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const at = commandAt(argv);
  const typed = at < 0 ? undefined : argv[at];
  const rest = argv.filter((_, index) => index !== at);
  const asksFor = (...names: readonly string[]): boolean => rest.some((word) => names.includes(word));
  if (typed === undefined) {
    if (asksFor('--version')) return { command: 'version', ...NOTHING };
    if (argv.length > 0 && !asksFor('--help', '-h'))
      fail('invalidRequest', 'troupe: expected a command; see troupe help');
    return { command: 'help', ...NOTHING };
  }
  const command = commandOf(typed);
  // behind its first word stands the command line of another program, whose --help is not ours
  if (isProgramCommand(command)) return parseProgramLine(command, rest);
  // help is printed whatever the other arguments are
  if (asksFor('--help', '-h')) return { command: 'help', ...NOTHING, words: [command] };
  const parsed = new Arguments(command).parse(rest);
  return command === 'help' || command === 'man' ? { ...parsed, words: parsed.words.map(commandOf) } : parsed;
}

function commandOf(typed: string): CommandName {
  return (
    commandNamed(typed) ??
    fail(
      'invalidRequest',
      `troupe ${typed}: no such command${orNearest(nearestWord(typed, COMMAND_NAMES))}; see troupe help`,
    )
  );
}

const orNearest = (nearest: string | undefined): string =>
  nearest === undefined ? '' : ` (did you mean ${nearest}?)`;

/** The arguments of one command, as they are read. */
class Arguments {
  readonly #command: CommandName;
  readonly #description: CommandDescription;
  readonly #known: ReadonlyMap<string, OptionDescription>;
  readonly #options: Record<string, string> = {};
  readonly #flags = new Set<string>();
  readonly #words: string[] = [];

  constructor(command: CommandName) {
    this.#command = command;
    this.#description = descriptionOf(command);
    const { options = {}, globals } = this.#description;
    this.#known = new Map([
      ...Object.entries(options),
      ...globals.map((name): [string, OptionDescription] => [name, GLOBAL_OPTIONS[name]]),
    ]);
  }

  parse(rest: readonly string[]): CommandLine {
    for (let at = 0; at < rest.length; at += 1) {
      const text = rest[at] ?? '';
      if (text.startsWith('-')) at += this.#option(text, rest[at + 1]);
      else this.#words.push(text);
    }
    this.#checkWords();
    return { command: this.#command, options: this.#options, flags: this.#flags, words: this.#words };
  }

  /** Reads one option; 1 if the next argument is its value. */
  #option(text: string, next: string | undefined): number {
    const [name, inline] = this.#split(text);
    const option = this.#known.get(name);
    if (option === undefined || (option.value === undefined && inline !== undefined))
      return this.#refuse(`no such option ${text}${orNearest(this.#nearestOption(text))}`);
    if (option.value === undefined) {
      this.#flags.add(name);
      return 0;
    }
    const value = inline ?? next ?? this.#refuse(`--${name} needs a value`);
    const { choices } = option;
    if (choices !== undefined && !choices.includes(value) && !this.#isDaemon)
      this.#refuse(`--${name} ${value}: expected ${choices.join(', ')}`);
    this.#options[name] = value;
    return inline === undefined ? 1 : 0;
  }

  /** The daemon reports a wrong value with all the other errors of its configuration. */
  get #isDaemon(): boolean {
    return this.#command === 'serve' || this.#command === 'start';
  }

  /** The long name of an option, and the value that is joined to it. */
  #split(text: string): readonly [string, string | undefined] {
    if (text.startsWith('--')) {
      const equals = text.indexOf('=');
      return equals < 0 ? [text.slice(2), undefined] : [text.slice(2, equals), text.slice(equals + 1)];
    }
    const name = [...this.#known].find(([, { letter }]) => letter !== undefined && letter === text[1])?.[0];
    return [name ?? '', text.length > 2 ? text.slice(2) : undefined];
  }

  #nearestOption(text: string): string | undefined {
    const typed = text.replace(/^-+/u, '').replace(/=.*$/su, '');
    const nearest = typed.length < 2 ? undefined : nearestWord(typed, [...this.#known.keys()]);
    return nearest === undefined ? undefined : `--${nearest}`;
  }

  #checkWords(): void {
    const { words = [] } = this.#description;
    const taken = words.filter(({ onlyWith }) => onlyWith === undefined || this.#flags.has(onlyWith));
    const least = taken.filter(({ isOptional }) => isOptional !== true).length;
    const given = this.#words.length;
    if (taken.length === 0 && given > 0) this.#refuse(`unexpected argument ${this.#words[0] ?? ''}`);
    if (given < least || given > taken.length)
      this.#refuse(`expected ${taken.map(({ means }) => `one ${means}`).join(' and ')}`);
    for (const [at, { means, choices }] of taken.entries()) {
      const word = this.#words[at];
      if (word !== undefined && choices !== undefined && !choices.includes(word))
        this.#refuse(`${word}: expected one ${means}: ${choices.join(', ')}`);
    }
  }

  #refuse(reason: string): never {
    return fail('invalidRequest', `troupe ${this.#command}: ${reason}; see troupe help ${this.#command}`);
  }
}
