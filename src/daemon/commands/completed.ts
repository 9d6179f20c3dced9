/** What the completions of the three shells have in common. Pure. */
import { COMMAND_NAMES, descriptionOf } from './commands.ts';
import type { CommandName } from './commands.ts';
import type { OptionDescription } from './description.ts';
import { GLOBAL_OPTIONS } from './global-options.ts';
import { globalsOf } from './help-text.ts';

export type NamedOption = readonly [name: string, option: OptionDescription];

const HELP_OPTION: NamedOption = ['help', { letter: 'h', help: 'what the command does' }];

/** Options that a shell offers before the command. */
export const FIRST_OPTIONS: readonly NamedOption[] = [
  ...Object.entries(GLOBAL_OPTIONS),
  HELP_OPTION,
  ['version', { help: 'the version of this program' }],
];

/** Options that a shell offers after the command. */
export function optionsOf(command: CommandName): readonly NamedOption[] {
  const description = descriptionOf(command);
  return [...Object.entries(description.options ?? {}), ...globalsOf(description), HELP_OPTION];
}

/** Options, with their dashes, that another word follows, of any command. */
export function optionsWithValue(): readonly string[] {
  const all = [...FIRST_OPTIONS, ...COMMAND_NAMES.flatMap((name) => optionsOf(name))];
  const found = all.flatMap(([name, { letter, value }]) =>
    value === undefined ? [] : [`--${name}`, ...(letter === undefined ? [] : [`-${letter}`])],
  );
  return [...new Set(found)];
}

/** Global options that say which daemon is meant: the question for names is asked of the same. */
export function placeOptions(): readonly string[] {
  return Object.entries<OptionDescription>(GLOBAL_OPTIONS).flatMap(([name, { value }]) =>
    value === undefined ? [] : [`--${name}`],
  );
}

/**
 * Names that a shell may insert into a command line: others could be read by it as commands. A colon, as in an image
 * reference, ends a word in bash.
 */
export const SAFE_NAME = '[A-Za-z0-9._/-]+';

/** A word in quotes of a POSIX shell. */
export function shellQuoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
