/** `troupe man`: manual pages, to read or to install. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectories } from '../../host/files/make-directories.ts';
import { commandNamed, COMMAND_NAMES } from '../commands/commands.ts';
import { manFile, manPage } from '../commands/man-page.ts';
import type { CommandLine } from '../config/command-line.ts';
import { VERSION } from '../wiring/version.ts';
import { EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';

export async function man(
  { words: [about], options: { write: directory } }: Pick<CommandLine, 'words' | 'options'>,
  screen: Screen,
): Promise<number> {
  if (directory === undefined) {
    screen.block(manPage(VERSION, about === undefined ? undefined : commandNamed(about)).trimEnd());
    return EXIT.ok;
  }
  await makeDirectories(directory, 0o755);
  for (const name of [undefined, ...COMMAND_NAMES]) {
    const path = join(directory, manFile(name));
    await writeFile(path, manPage(VERSION, name));
    screen.line(path);
  }
  return EXIT.ok;
}
