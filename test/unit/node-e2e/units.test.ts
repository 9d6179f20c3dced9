import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { run } from '../../support/run.ts';
import { stopUnits, writeUnitTools } from '../../e2e/node-e2e/units.ts';
import { EXHAUSTIVE } from '../../support/exhaustive.ts';

let directory: string;
let bin: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'troupe-units-'));
  bin = await writeUnitTools(directory);
});
afterEach(async () => {
  await stopUnits(directory);
  await rm(directory, { recursive: true, force: true });
});

const tool = async (
  name: string,
  ...args: string[]
): Promise<{ readonly code: number; readonly stdout: string }> => await run([join(bin, name), ...args]);
const unit = async (name: string): Promise<{ readonly pid: number; readonly argv: readonly string[] }> =>
  JSON.parse(await readFile(join(directory, 'units', name), 'utf8')) as {
    readonly pid: number;
    readonly argv: readonly string[];
  };

/** It waits to be ended. */
async function startUnit(): Promise<void> {
  const program = join(directory, 'program.mjs');
  await writeFile(program, 'setInterval(() => undefined, 1000);');
  const { code } = await tool(
    'systemd-run',
    '-p',
    'Delegate=true',
    '-p',
    `StandardError=append:${join(directory, 'log')}`,
    '--unit=one.service',
    '--slice=x.slice',
    '--remain-after-exit',
    process.execPath,
    program,
    'a%%b$$c',
  );
  expect(code).toBe(0);
}

describe('the stand-ins for systemd', () => {
  it('run a unit, show it while it runs, restart and stop it', { tags: [EXHAUSTIVE] }, async () => {
    await startUnit();
    const first = await unit('one.service');
    expect(first.argv.at(-1)).toBe('a%b$c');
    expect((await tool('systemctl', 'list-units', '*one*', '--state=running')).stdout).toContain(
      'one.service loaded active running',
    );
    expect((await tool('sudo', join(bin, 'systemctl'), 'restart', 'one')).code).toBe(0);
    expect((await unit('one.service')).pid).not.toBe(first.pid);
    expect((await tool('systemctl', 'stop', 'one.service')).code).toBe(0);
    expect((await tool('systemctl', 'list-units', '*one*', '--state=running')).stdout).toBe('');
    expect((await tool('systemctl', 'list-units', '*one*')).stdout).toContain(
      'one.service loaded active exited',
    );
  });

  it('report what they cannot do', async () => {
    expect((await tool('systemctl', 'restart', 'none')).code).toBe(1);
    expect((await tool('systemd-run', '--scope', 'true')).code).toBe(1);
    expect((await tool('systemctl', 'reset-failed', 'none')).code).toBe(0);
  });
});
