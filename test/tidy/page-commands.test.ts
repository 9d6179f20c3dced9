// Command lines of troupe in the documents are ones that the program takes: commands, options and numbers of words.
import { expect, it } from 'vitest';
import { parseCommandLine } from '../../src/daemon/config/command-line.ts';
import { filesBelow, textOf } from './support/sources.ts';

/** Written by runs: what they quote is what was run. */
const MEASURED: ReadonlySet<string> = new Set([
  'docs/conformance.md',
  'docs/figures.md',
  'docs/messages.md',
  'docs/rows.md',
]);
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...filesBelow('docs').filter((file) => file.endsWith('.md')),
].filter((file) => !MEASURED.has(file));

/** Lines of blocks of commands. In a transcript those behind the prompt; the others are what was printed. */
function typedLines(text: string): readonly string[] {
  const blocks = [...text.matchAll(/^ *```\n(.*?)^ *```$/gmsu)].map((match) => match[1] ?? '');
  return blocks.flatMap((block) => {
    const lines = block.split('\n').map((line) => line.trim());
    const prompted = lines.filter((line) => line.startsWith('$ '));
    return prompted.length > 0 ? prompted.map((line) => line.slice(2)) : lines;
  });
}

/** Of the lines of a shell, the arguments of each troupe, without comments, redirections and what a pipe adds. */
function argumentsIn(line: string): readonly (readonly string[])[] {
  return line
    .replace(/ +#.*$/u, '')
    .split(/ *(?:&&|\|\||;|\||\() */u)
    .map((command) => /^(?:sudo )?(?:\S*\/)?troupe (?<rest>[a-z-].*)$/u.exec(command)?.groups?.['rest'] ?? '')
    .filter((rest) => rest !== '')
    .map((rest) => rest.replace(/ *\d?>.*$|\)$/u, '').split(/ +/u));
}

const found = pages.flatMap((file) =>
  typedLines(textOf(file)).flatMap((line) => argumentsIn(line).map((words) => ({ file, words }))),
);

it.each(found.map(({ file, words }) => [file, words.join(' ')] as const))('%s: troupe %s', (_, line) => {
  expect(() => parseCommandLine(line.split(' '))).not.toThrow();
});

it('there are many', () => {
  expect(found.length).toBeGreaterThan(30);
});
