/** `troupe completion`: a script by which a shell completes the command line. */
import { bashCompletion } from '../commands/completion-bash.ts';
import { fishCompletion } from '../commands/completion-fish.ts';
import { zshCompletion } from '../commands/completion-zsh.ts';
import type { CommandLine } from '../config/command-line.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';

const SCRIPTS: ReadonlyMap<string, () => string> = new Map([
  ['bash', bashCompletion],
  ['zsh', zshCompletion],
  ['fish', fishCompletion],
]);

export function completion({ words: [shell = ''] }: Pick<CommandLine, 'words'>, screen: Screen): number {
  const script = SCRIPTS.get(shell);
  if (script === undefined)
    throw new CommandError(
      EXIT.usage,
      `troupe completion ${shell}: expected ${[...SCRIPTS.keys()].join(', ')}`,
    );
  screen.block(script().trimEnd());
  return EXIT.ok;
}
