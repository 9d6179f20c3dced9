/**
 * Every command, described once: the parser, `troupe help`, the manual pages and the completions of shells come from
 * these tables. `cli/run.ts` says what runs.
 */
import { DAEMON_COMMANDS } from './daemon-commands.ts';
import type { CommandDescription } from './description.ts';
import { HAPPENING_COMMANDS } from './happening-commands.ts';
import { HELP_COMMANDS } from './help-commands.ts';
import { IMAGE_COMMANDS } from './image-commands.ts';
import { PROGRAM_COMMANDS } from './program-commands.ts';
import { RECORD_COMMANDS } from './record-commands.ts';
import { UPKEEP_COMMANDS } from './upkeep-commands.ts';

const COMMANDS = {
  ...DAEMON_COMMANDS,
  ...HAPPENING_COMMANDS,
  ...PROGRAM_COMMANDS,
  ...IMAGE_COMMANDS,
  ...UPKEEP_COMMANDS,
  ...RECORD_COMMANDS,
  ...HELP_COMMANDS,
};

export type CommandName = keyof typeof COMMANDS;

/** Earlier names, which are understood and not listed. */
const FORMER: Readonly<Record<string, CommandName>> = { log: 'history' };

/** All commands in the order of the help. */
export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];

export function descriptionOf(command: CommandName): CommandDescription {
  return COMMANDS[command];
}

/** The command of this name, or of this earlier name; undefined for none. */
export function commandNamed(name: string): CommandName | undefined {
  return (
    COMMAND_NAMES.find((known) => known === name) ?? (Object.hasOwn(FORMER, name) ? FORMER[name] : undefined)
  );
}
