// The completions: right for their shells, and what bash really offers.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { completion } from '../../../../src/daemon/cli/completion.ts';
import { COMMAND_NAMES, descriptionOf } from '../../../../src/daemon/commands/commands.ts';
import { optionsWithValue } from '../../../../src/daemon/commands/completed.ts';
import { GLOBAL_OPTIONS } from '../../../../src/daemon/commands/global-options.ts';
import { run } from '../../../support/run.ts';
import { lacking, unless } from '../../../support/skips/unless.ts';
import { pipe } from '../cli/stage.ts';

let directory = '';
const scriptOf = (shell: string): string => {
  const { screen, lines } = pipe();
  completion({ words: [shell] }, screen);
  return `${lines().join('\n')}\n`;
};
const pathOf = (shell: string): string => join(directory, shell);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-completion-'));
  for (const shell of ['bash', 'zsh', 'fish']) writeFileSync(pathOf(shell), scriptOf(shell));
  // a daemon with two pods, one of which has a name that a shell would run
  writeFileSync(
    join(directory, 'troupe'),
    `#!/bin/sh
printf '%s\\n' "$*" > '${directory}/asked'
printf '%s\\n' shop/web shop/web/app 'shop/$(touch ${directory}/run)' data/db docker.io/x:1
`,
    { mode: 0o755 },
  );
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('options', () => {
  it('take a value in every command, or in none: the completion of bash knows them by name alone', () => {
    const withValue = new Set(optionsWithValue());
    for (const name of COMMAND_NAMES)
      for (const [option, { value }] of Object.entries(descriptionOf(name).options ?? {}))
        expect([name, option, withValue.has(`--${option}`)]).toEqual([name, option, value !== undefined]);
  });
});

describe.each(['bash', 'zsh', 'fish'])('the completion of %s', (shell) => {
  it('names every command and option', () => {
    const script = scriptOf(shell);
    for (const name of COMMAND_NAMES) {
      expect(script).toContain(name);
      for (const option of [
        ...Object.keys(descriptionOf(name).options ?? {}),
        ...Object.keys(GLOBAL_OPTIONS),
      ])
        expect(script).toMatch(new RegExp(`(?:--|-l )${option}\\b`, 'u'));
    }
  });

  unless(it, lacking(shell === 'bash' ? '/bin/bash' : `/usr/bin/${shell}`))('is read by it', async () => {
    expect(await run([shell, '-n', pathOf(shell)])).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('bash', () => {
  /** What it offers for the last word. */
  async function offered(...words: readonly string[]): Promise<readonly string[]> {
    const ask = [
      'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))',
      // outside of a completion bash knows no options of it
      'compopt() { :; }; _troupe; printf "%s\\n" "${COMPREPLY[@]}"',
    ];
    const { stdout, stderr, code } = await run(
      ['bash', '-c', ask.join('\n'), 'bash', pathOf('bash'), 'troupe', ...words],
      { env: { PATH: `${directory}:/usr/bin:/bin` }, cwd: directory },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout.split('\n').filter((line) => line !== '');
  }

  it.each([
    [['st'], ['start', 'status']],
    [['--stat'], ['--state']],
    [
      ['ps', '--st'],
      ['--stuck', '--state'],
    ],
    [
      ['ps', '--sort', ''],
      ['age', 'name', 'state', 'wait'],
    ],
    [['ps', '--sort', 'n'], ['name']],
    [['ps', '--sort', '=', 'n'], ['name']],
    [['--config', 'x', 'ps', '-o', 'w'], ['wide']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['completion', 'bash', ''], []],
    [['help', 'wh'], ['why']],
    [
      ['why', 'shop/'],
      ['shop/web', 'shop/web/app'],
    ],
    [['why', 'shop/web', ''], []],
    [
      ['ps', '-n', ''],
      ['data', 'shop'],
    ],
    [['config', '--check', 'fi'], ['fish']],
    [['serve', '--log-level', 'de'], ['debug']],
    [['watch', '--after', ''], []],
    [['nonsense', ''], []],
  ])('%j', async (words, expected) => expect(await offered(...words)).toEqual(expected));

  it('asks the daemon that the line names, and offers no name that a shell would run', async () => {
    const names = await offered('--state', '/run/a', 'why', '--introspection', '/b.sock', '');
    expect(names).toEqual(['shop/web', 'shop/web/app', 'data/db']);
    const { stdout } = await run(['cat', join(directory, 'asked')]);
    expect(stdout).toBe('--state /run/a --introspection /b.sock ps -o name\n');
    expect(await run(['ls', directory])).toMatchObject({ stdout: 'asked\nbash\nfish\ntroupe\nzsh\n' });
  });
});
