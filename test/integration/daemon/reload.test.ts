// F32: configurations that can't be used, while the daemon runs: nothing of them counts, and Status says why.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flawSummary } from '../../../src/oci/runtime/handlers/known-flaws.ts';
import type { World } from '../../e2e/support/world.ts';
import { closeWorld, hostOnlyWorld } from './pod.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';
import { injects } from '../../support/faults/injects.ts';

const badConfiguration = injects('F32', 'a configuration that cannot be used is reloaded');

const REFUSED = 'reload configuration: failed';
const TAKEN = 'configuration reloaded';

unless(describe, notRoot())('a configuration that is reloaded', () => {
  let world: World;
  let file: string;
  let good: string;
  let dropIn: string;

  beforeAll(async () => {
    world = await hostOnlyWorld('hup');
    file = join(world.instance.directory, 'troupe.toml');
    good = readFileSync(file, 'utf8');
    mkdirSync(`${file}.d`);
    dropIn = join(`${file}.d`, '10-more.toml');
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  const logged = async (line: string): Promise<number> => (await world.instance.log()).split(line).length - 1;

  async function reported(): Promise<{
    readonly refusal: string | undefined;
    readonly names: readonly string[];
    readonly config: string;
  }> {
    const { status, runtimeHandlers, info } = await world.client.runtime.status({ verbose: true });
    const refusal = status?.conditions.find(({ type }) => type === 'ConfigurationReloaded')?.message;
    expect(status?.conditions.find(({ type }) => type === 'RuntimeReady')?.status).toBe(true);
    return { refusal, names: runtimeHandlers.map(({ name }) => name), config: info['config'] ?? '' };
  }

  /** SIGHUP, until the outcome is in the log. */
  async function hangUp(outcome: string): Promise<void> {
    const before = await logged(outcome);
    process.kill(world.instance.pid(), 'SIGHUP');
    await expect.poll(() => logged(outcome)).toBeGreaterThan(before);
  }

  it.each([
    ['malformed TOML', () => writeFileSync(file, `${good}\n[log\n`), /troupe\.toml, line \d+: /u],
    [
      'an unknown key',
      () => writeFileSync(file, `${good}\n[runtime.handlers.other]\npath = "/bin/true"\nflags = 1\n`),
      /line \d+: runtime\.handlers\.other\.flags: no such key/u,
    ],
    [
      'a bad value beside a good one',
      () => {
        writeFileSync(file, good.replace('level = "debug"', 'level = "error"'));
        writeFileSync(dropIn, '[streaming]\nport = "none"\n');
      },
      /10-more\.toml, line 2: streaming\.port: must be a number/u,
    ],
    [
      'a handler that is no table',
      () => writeFileSync(dropIn, '[runtime]\nhandlers = []\n'),
      /runtime\.handlers/u,
    ],
    ['no file', () => rmSync(file), /troupe\.toml: not found/u],
    [
      'a link to nowhere among the drop-ins',
      () => symlinkSync('/nowhere/10.toml', dropIn),
      /10-more\.toml: not found/u,
    ],
    [
      "a file that can't be read",
      () => {
        rmSync(file);
        symlinkSync(file, file);
      },
      /troupe\.toml: can't be read \(ELOOP\)/u,
    ],
    [
      'a directory in its place',
      () => {
        rmSync(file);
        mkdirSync(file);
      },
      /troupe\.toml: not a regular file/u,
    ],
    [
      'a FIFO in its place',
      () => {
        rmSync(file);
        execFileSync('mkfifo', [file]);
      },
      /troupe\.toml: not a regular file/u,
    ],
  ])(
    'F32 %s: the old configuration stays whole, Status has the reason until a good one is loaded',
    async (_what, spoil, reason) => {
      const before = await reported();
      expect(before.refusal).toBeUndefined();
      spoil();
      try {
        await hangUp(REFUSED);
        expect(await reported()).toEqual({ ...before, refusal: expect.stringMatching(reason) as string });
        badConfiguration.happened();
      } finally {
        rmSync(dropIn, { force: true });
        rmSync(file, { recursive: true, force: true });
        writeFileSync(file, good);
      }
      await hangUp(TAKEN);
      expect(await reported()).toEqual(before);
    },
  );

  it('F32 a storm of SIGHUP with a broken file causes a few reloads and log lines, and calls are answered', async () => {
    const before = await logged(REFUSED);
    writeFileSync(dropIn, 'what = "none"\n');
    for (let signal = 0; signal < 200; signal += 1) {
      process.kill(world.instance.pid(), 'SIGHUP');
      if (signal % 20 === 0)
        expect(await world.client.runtime.version({})).toMatchObject({ runtimeName: 'troupe' });
      await delay(1);
    }
    await expect.poll(async () => (await reported()).refusal).toContain('what: no such key');
    rmSync(dropIn);
    await hangUp(TAKEN);
    // one, unless the machine left a pause between two signals that is as long as that between two reloads
    expect(await logged(REFUSED)).toBeGreaterThan(before);
    expect(await logged(REFUSED)).toBeLessThan(before + 40);
    expect((await reported()).refusal).toBeUndefined();
  });

  it('reports the flaws of the runtime once for each start, and in troupe status', async () => {
    writeFileSync(file, good);
    rmSync(dropIn, { force: true });
    await hangUp(TAKEN);
    await hangUp(TAKEN);
    const { stdout } = await run([join(checkout, 'bin/troupe'), 'status', '--state', world.instance.state]);
    const version = execFileSync('runc', ['--version'], { encoding: 'utf8' });
    const summary = flawSummary(version);
    expect(stdout.includes('known flaw')).toBe(summary !== '');
    expect(await logged('known flaw')).toBe(summary === '' ? 0 : 1);
    expect(stdout).toContain(summary);
  });
});
