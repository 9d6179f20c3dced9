// default_handler = "auto" with the runtimes of this machine, and with a crun that has all that runc has.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { handlersOf } from '../../../src/daemon/wiring/handlers.ts';
import { hybridControllers } from '../../../src/oci/runtime/handlers/hide-unified.ts';
import { hidingElf } from '../../../src/oci/runtime/handlers/hiding-elf.ts';
import { startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { run } from '../../support/run.ts';
import { lacking, unless } from '../../support/skips/unless.ts';
import { checkout } from '../../support/tools/cache.ts';
import { crunNewestPath } from '../../support/tools/runtimes.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';

const RUNC = '/usr/sbin/runc';
const CRUN = '/usr/bin/crun';
const AUTO = '[runtime]\ndefault_handler = "auto"\n';
const UNIFIED = '/sys/fs/cgroup/unified';
const isHybrid = (await hybridControllers()) !== '';

interface Handler {
  readonly name: string;
  readonly target: string;
  readonly choice?: string;
}

/** As `crictl info` has them. */
async function handlersIn(world: World): Promise<readonly Handler[]> {
  const { info } = await world.client.runtime.status({ verbose: true });
  return JSON.parse(info['handlers'] ?? '') as Handler[];
}

async function choiceIn(world: World): Promise<string> {
  const [standard, ...others] = await handlersIn(world);
  expect(others.filter(({ choice }) => choice !== undefined)).toEqual([]);
  return standard?.choice ?? '';
}

/** The handler whose runtime has the container. */
const homeOf = ({ instance }: World, containerId: string): string | undefined =>
  ['runc', 'crun'].find((name) => existsSync(join(instance.state, 'runtimes', name, containerId)));

const CHOSEN = 'default runtime handler chosen';
const chosenIn = async ({ instance }: World): Promise<readonly unknown[]> =>
  (await instance.log())
    .split('\n')
    .filter((line) => line.includes(CHOSEN))
    .map((line) => (JSON.parse(line) as { readonly choice?: unknown }).choice);

const statusOf = async ({ instance }: World): Promise<string> =>
  (await run([join(checkout, 'bin/troupe'), 'status', '--state', instance.state])).stdout;

unless(describe, lacking(RUNC, CRUN))('auto with the crun of this machine', () => {
  let world: World;

  beforeAll(async () => {
    world = await hostOnlyWorld('auto', { config: AUTO });
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  it('adds crun as a handler, and says in status, info and one line of the log what it chose and why', async () => {
    const handlers = await handlersIn(world);
    expect(handlers.map(({ name }) => name).toSorted()).toEqual(['', 'crun', 'runc']);
    const choice = await choiceIn(world);
    expect(choice).toMatch(/^auto chose (?:runc; not crun|crun; not runc): ./u);
    expect(handlers[0]?.target).toBe(choice.split(/[ ;]/u)[2]);
    expect(await chosenIn(world)).toEqual([choice]);
    expect((await statusOf(world)).split('\n')).toContainEqual(`            ${choice}`);
  });

  it('gives the handler that it adds the settings of runc, except for its options', async () => {
    const runc = {
      root: '/run/r',
      seccomp_profile: '/p.json',
      allowed_annotations: ['a'],
      options: ['--debug'],
    };
    const found = async (default_handler: string, more = {}): Promise<unknown> => {
      const runtime = { ...defaultConfig.runtime, default_handler, handlers: { runc, ...more } };
      return (await handlersOf({ ...defaultConfig, runtime })).find(({ name }) => name === 'crun');
    };
    expect(await found('runc')).toBeUndefined();
    const added = await found('auto');
    expect(added).toMatchObject({
      path: CRUN,
      seccompProfile: '/p.json',
      allowedAnnotations: ['a'],
      options: [],
    });
    expect(added).not.toHaveProperty('root');
    expect(await found('auto', { crun: { path: '/bin/true' } })).toMatchObject({
      path: '/bin/true',
      allowedAnnotations: [],
    });
  });

  unless(it, isHybrid ? '' : 'needs cgroup v2 with a controller beside v1')(
    'takes runc where crun refuses the cgroups, and pods may still name crun',
    async () => {
      expect(await choiceIn(world)).toContain(
        'auto chose runc; not crun: it refuses mixed cgroups, and would run without the controllers of v2',
      );
      for (const [name, runtimeHandler] of [
        ['runc', ''],
        ['crun', 'crun'],
      ] as const) {
        const { sandboxId, containerId } = await makePod(world, name, { runtimeHandler });
        expect(homeOf(world, containerId)).toBe(name);
        await removePod(world, sandboxId);
      }
    },
  );
});

const newest = crunNewestPath();
const why = lacking(RUNC) || (existsSync(newest) ? '' : `${newest} is made by npm run runtimes`);

unless(describe, isHybrid && process.arch !== 'x64' ? 'a stand-in for x64' : why)(
  'auto with a crun that works',
  () => {
    let world: World;
    let dropIn: string;
    let holder: ChildProcess | undefined;

    beforeAll(async () => {
      if (isHybrid) holder = await holdWithoutUnified();
      world = await hostOnlyWorld('autoc', {
        handlers: { crun: newest },
        config: AUTO,
        ...(holder === undefined
          ? {}
          : { before: () => ['nsenter', '--mount', `--target=${holder?.pid ?? 0}`] as const }),
      });
      const directory = join(world.instance.directory, 'troupe.toml.d');
      mkdirSync(directory);
      dropIn = join(directory, '10-handlers.toml');
    });

    afterAll(async () => {
      try {
        expect(await closeWorld(world)).toEqual([]);
      } finally {
        holder?.kill('SIGKILL');
      }
    });

    const execs = async (containerId: string): Promise<number> =>
      (await world.client.runtime.execSync({ containerId, cmd: ['true'], timeout: 60n })).exitCode;

    const takesCrun =
      /^auto chose crun; not runc: crun 1\.\d+(?:\.\d+)* has no known flaw and every feature of runc's$/u;

    /** Writes the drop-in and signals the daemon; returns when it has logged that it has read it. */
    async function reload(text: string): Promise<void> {
      const reloads = async (): Promise<number> =>
        (await world.instance.log()).split('configuration reloaded').length;
      const before = await reloads();
      writeFileSync(dropIn, text);
      process.kill(world.instance.pid(), 'SIGHUP');
      await expect.poll(reloads).toBeGreaterThan(before);
    }

    it('takes crun, also by the recorded probes of the daemon before', async () => {
      expect(await choiceIn(world)).toMatch(takesCrun);
      const { sandboxId, containerId } = await makePod(world, 'first');
      expect(homeOf(world, containerId)).toBe('crun');
      await world.instance.kill();
      await world.instance.start();
      expect(await choiceIn(world)).toMatch(takesCrun);
      expect(await chosenIn(world)).toHaveLength(2);
      await removePod(world, sandboxId);
    });

    it('pods keep their handler when a later start chooses another one, and when a reload does', async () => {
      const old = await makePod(world, 'old', { command: untilTermed(3) });
      await startUntilUp(world.client, old.containerId);
      await world.instance.kill();
      writeFileSync(dropIn, '[runtime.handlers.crun]\noptions = ["--debug"]\n');
      await world.instance.start();
      expect(await choiceIn(world)).toBe(
        'auto chose runc; not crun: its settings differ from those of runc: options',
      );
      expect(await execs(old.containerId)).toBe(0);
      const between = await makePod(world, 'between', { command: untilTermed(4) });
      await startUntilUp(world.client, between.containerId);
      await reload('');
      expect(await choiceIn(world)).toMatch(takesCrun);
      const late = await makePod(world, 'late');
      expect([old, between, late].map(({ containerId }) => homeOf(world, containerId))).toEqual([
        'crun',
        'runc',
        'crun',
      ]);
      for (const [{ containerId }, exitCode] of [
        [old, 3],
        [between, 4],
      ] as const) {
        expect(await execs(containerId)).toBe(0);
        await world.client.runtime.stopContainer({ containerId, timeout: 60n });
        const { status } = await world.client.runtime.containerStatus({ containerId });
        expect(status?.exitCode).toBe(exitCode);
      }
      for (const { sandboxId } of [old, between, late]) await removePod(world, sandboxId);
    });

    it('a named default is no choice', async () => {
      await reload('[runtime]\ndefault_handler = "runc"\n');
      const [standard] = await handlersIn(world);
      expect([standard?.target, standard?.choice]).toEqual(['runc', undefined]);
      expect(await statusOf(world)).not.toContain('auto chose');
      await reload('');
      expect(await choiceIn(world)).toMatch(takesCrun);
    });
  },
);

/**
 * A process in a mount namespace with cgroups v1 alone, which crun does not refuse. Each start of the daemon enters it:
 * the pins of its pods are mounted there, and a namespace of its own would not have those of the daemon before.
 */
async function holdWithoutUnified(): Promise<ChildProcess> {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-unified-'));
  try {
    const path = join(directory, 'cat');
    const hiding = { program: '/bin/cat', unified: UNIFIED, parent: '/sys/fs/cgroup' };
    writeFileSync(path, hidingElf(hiding), { mode: 0o700 });
    // ends with this process, whatever happens: its input is closed then
    const child = spawn(path, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.write('hidden\n');
    await once(child.stdout, 'data');
    return child;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
