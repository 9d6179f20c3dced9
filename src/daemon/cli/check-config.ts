/** `troupe config --check [FILE]`: every error of the configuration's files, without a daemon. */
import type { CommandLine } from '../config/command-line.ts';
import { problemText } from '../config/config-problem.ts';
import { surveyOf } from './config-of.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';

/** Exits with 78 if a start or a reload would report an error. */
export async function checkConfig(line: CommandLine, screen: Screen, defaultFile: string): Promise<number> {
  const [file] = line.words;
  const asked = file === undefined ? line : { ...line, options: { ...line.options, config: file } };
  const { own, dropIns, files } = await surveyOf(asked, defaultFile);
  const problems = [...own, ...dropIns];
  if (line.flags.has('json')) writeJson(screen, { files, problems });
  else for (const text of problems.map(problemText)) screen.line(text);
  if (problems.length > 0) {
    screen.note(`troupe config: ${problems.length} ${problems.length === 1 ? 'error' : 'errors'}`);
    return EXIT.config;
  }
  if (!line.flags.has('json'))
    screen.line(`no error in ${files.length === 0 ? 'the defaults' : files.join(', ')}`);
  return EXIT.ok;
}
