// What the table of commands says, and what is printed of it.
import { describe, expect, it } from 'vitest';
import { commandNamed, COMMAND_NAMES, descriptionOf } from '../../../../src/daemon/commands/commands.ts';
import { GLOBAL_OPTIONS } from '../../../../src/daemon/commands/global-options.ts';
import { commandHelp, overview } from '../../../../src/daemon/commands/help-text.ts';
import { parseCommandLine } from '../../../../src/daemon/config/command-line.ts';

const COLUMNS = 120;
const longLines = (text: string): readonly string[] =>
  text.split('\n').filter((line) => line.length > COLUMNS);

describe('the overview', () => {
  it('names every command and global option, within 120 columns', () => {
    const text = overview();
    expect(longLines(text)).toEqual([]);
    for (const name of COMMAND_NAMES)
      expect(text).toMatch(new RegExp(`^  troupe ${name}(?: .*)? {2,}\\S`, 'mu'));
    for (const name of Object.keys(GLOBAL_OPTIONS)) expect(text).toMatch(new RegExp(`^  --${name}\\b`, 'mu'));
    expect(text).not.toContain('troupe log ');
  });

  it('has each exit code that a command has', () => {
    const codes = new Set(COMMAND_NAMES.flatMap((name) => Object.keys(descriptionOf(name).exits)));
    for (const code of codes) expect(overview()).toMatch(new RegExp(`^  ${code} +\\S`, 'mu'));
  });
});

describe.each(COMMAND_NAMES)('the help of %s', (name) => {
  const description = descriptionOf(name);
  const text = commandHelp(name);

  it('fits 120 columns and names its options, each with a line', () => {
    expect(longLines(text)).toEqual([]);
    for (const option of [...Object.keys(description.options ?? {}), ...description.globals])
      expect(text).toMatch(new RegExp(`^  (?:-\\w, )?--${option}\\b.* {1,}\\S`, 'mu'));
  });

  it('has a short line for the list, and a text, of whole sentences', () => {
    expect(description.brief.length).toBeLessThanOrEqual(90);
    expect(description.text.length).toBeGreaterThan(0);
    for (const paragraph of description.text) expect(paragraph).toMatch(/^[A-Z].*\.$/su);
  });

  it('has examples that are right command lines', () => {
    const lines = Object.values(description.examples);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) {
      expect(text).toContain(`  ${line}\n`);
      const own = [...line.matchAll(/(?:^|[ (])troupe ([^|>&)]+)/gu)].map((match) => match[1] ?? '');
      expect(own.map((words) => parseCommandLine(words.trim().split(' ')).command)).toContain(name);
    }
  });

  it('has exit codes, and names of commands that exist', () => {
    expect(description.exits[0]).toBeDefined();
    for (const other of description.seeAlso ?? []) expect(commandNamed(other)).toBe(other);
  });
});
