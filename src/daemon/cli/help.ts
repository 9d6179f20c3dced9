/** `troupe help`, and `--help` of every command. */
import { commandNamed } from '../commands/commands.ts';
import { commandHelp, overview } from '../commands/help-text.ts';
import type { CommandLine } from '../config/command-line.ts';
import { EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';

export function help({ words: [about] }: Pick<CommandLine, 'words'>, screen: Screen): number {
  const name = about === undefined ? undefined : commandNamed(about);
  screen.block((name === undefined ? overview() : commandHelp(name)).trimEnd());
  return EXIT.ok;
}
