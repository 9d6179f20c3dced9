// Manual pages: their sections, and that groff has no complaint.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { man } from '../../../../src/daemon/cli/man.ts';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';
import { COMMAND_NAMES, descriptionOf } from '../../../../src/daemon/commands/commands.ts';
import { manPage } from '../../../../src/daemon/commands/man-page.ts';
import { run } from '../../../support/run.ts';
import { lacking, unless } from '../../../support/skips/unless.ts';

const written: string[] = [];
const output = { write: (text: string) => written.push(text) };
const screen = makeScreen(output, output, { noColor: true, columns: 0 }, 'mark');

describe('the manual pages', () => {
  let directory = '';
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-man-'));
    await man({ words: [], options: { write: join(directory, 'man1') } }, screen);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('are written as files, one for each command and troupe(1), and their paths are printed', () => {
    const files = readdirSync(join(directory, 'man1'));
    expect(files.toSorted()).toEqual(
      ['troupe.1', ...COMMAND_NAMES.map((name) => `troupe-${name}.1`)].toSorted(),
    );
    expect(written.join('')).toContain(`${join(directory, 'man1', 'troupe-why.1')}\n`);
  });

  it('are refused a directory that the kernel does not create', async () => {
    const write = '/proc/troupe-nowhere/man1';
    await expect(man({ words: [], options: { write } }, screen)).rejects.toThrow(
      /^ENOENT: .*troupe-nowhere/u,
    );
  });

  it.each(COMMAND_NAMES)('that of %s has its sections, options and examples', (name) => {
    const page = readFileSync(join(directory, 'man1', `troupe-${name}.1`), 'utf8');
    const { options = {}, examples, globals } = descriptionOf(name);
    const sections = [...page.matchAll(/^\.SH (.*)$/gmu)].map((match) => match[1]);
    const hasOptions = globals.length + Object.keys(options).length > 0;
    expect(sections).toEqual([
      'NAME',
      'SYNOPSIS',
      'DESCRIPTION',
      ...(hasOptions ? ['OPTIONS'] : []),
      'EXAMPLES',
      'EXIT STATUS',
      'SEE ALSO',
    ]);
    for (const option of Object.keys(options))
      expect(page).toContain(`\\-\\-${option.replaceAll('-', '\\-')}`);
    expect(page.split('\n').filter((line) => line === '.EX')).toHaveLength(Object.keys(examples).length);
  });

  unless(it, lacking('/usr/bin/groff'))('are typeset without a warning', async () => {
    const pages = readdirSync(join(directory, 'man1')).map((file) => join(directory, 'man1', file));
    const { code, stderr, stdout } = await run(['groff', '-man', '-ww', '-Tutf8', '-P-c', ...pages]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('troupe ps -n shop --stuck --sort wait');
  });

  it('that of the program names every command', () => {
    for (const name of COMMAND_NAMES)
      expect(manPage('1.2.3')).toContain(`.BR troupe\\-${name.replaceAll('-', '\\-')} (1)\n`);
  });

  it('escape what roff would read as a request, and what is beyond ASCII', () => {
    const lines = ['', ...COMMAND_NAMES].flatMap((name) =>
      manPage(
        '1.2.3',
        COMMAND_NAMES.find((known) => known === name),
      ).split('\n'),
    );
    for (const line of lines) {
      expect(line).toMatch(/^[\u0020-\u007e]*$/u);
      if (line.startsWith('.')) expect(line).toMatch(/^\.(?:TH|SH|SS|TP|PP|RS|RE|EX|EE|BR)(?: |$)/u);
      expect(line.startsWith("'")).toBe(false);
    }
  });
});
