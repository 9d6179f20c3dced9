// `troupe check`, a restart and `troupe wipe` know the masquerade rule of troupe's own network (I3, I16).
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Finding } from '../../../src/daemon/cli/findings.ts';
import { realClock, watchForStalls } from '../../../src/host/clock/clock.ts';
import { runTool } from '../../../src/host/process/process-tool.ts';
import { removeMasquerade } from '../../../src/network/masquerade-tools.ts';
import { findExecutable, TOOL_DIRS } from '../../../src/network/plugin.ts';
import { stoodStill } from '../../support/skips/stood-still.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { sandboxConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

let world: World;
const bridgeOf = (directory: string): string => basename(directory).split('-')[0] ?? '';

beforeAll(async () => {
  world = await makeWorld({
    name: 'msq',
    network: 'host-only',
    networkSettings: (directory) => [
      `default_bridge = "${bridgeOf(directory)}"`,
      'default_subnet = "10.231.40.0/24"',
    ],
  });
});

afterAll(async () => world?.close());

const troupe = (...args: string[]) =>
  run([join(checkout, 'bin/troupe'), ...args, ...world.instance.argv.slice(2)]);

interface Report {
  readonly clean: boolean;
  readonly findings: readonly Finding[];
}

async function check(...flags: string[]): Promise<Report> {
  const { stdout, stderr } = await troupe('check', '--json', ...flags);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Report;
}

/** Somebody else's flush. */
async function flush(): Promise<void> {
  const clock = realClock();
  const bridge = bridgeOf(world.instance.directory);
  await removeMasquerade({ runTool: (call) => runTool({ ...call, clock }), toolDirs: TOOL_DIRS }, bridge);
}

/** Lines of the machine's rules with the bridge's name, by the tool that the daemon prefers. */
async function rules(): Promise<readonly string[]> {
  const nft = await findExecutable('nft', TOOL_DIRS);
  const argv =
    nft === undefined ? (['iptables-save', '-t', 'nat'] as const) : ([nft, 'list', 'tables'] as const);
  const bridge = bridgeOf(world.instance.directory);
  return (await runOrThrow([...argv])).split('\n').filter((line) => line.includes(bridge));
}

it('I3 the rule is made for the first pod, found by check, made again after a flush and a restart, and wiped', async (context) => {
  expect(await rules()).toEqual([]);
  const config = sandboxConfig({ name: 'web', logDirectory: join(world.logs, 'web') });
  await world.client.runtime.runPodSandbox({ config });
  expect((await rules()).length).toBeGreaterThan(0);
  expect(existsSync(join(world.instance.state, 'network.masquerade'))).toBe(true);
  expect(await check()).toMatchObject({ clean: true });

  await flush();
  expect((await check('--now')).findings.map(({ object }) => object)).toEqual(['IPv4 masquerade rule']);
  const stalls: number[] = [];
  const endWatch = watchForStalls(({ ms }) => stalls.push(ms));
  // the daemon makes it again while check waits
  const repaired = await check();
  endWatch();
  if (!repaired.clean && stalls.length > 0)
    stoodStill(context, `check waited, and the machine did for ${stalls.join(', ')} ms`);
  expect(repaired).toMatchObject({ clean: true });

  await world.instance.kill();
  await flush();
  expect(await check()).toMatchObject({ clean: true });
  await world.instance.start();
  await expect.poll(async () => (await rules()).length).toBeGreaterThan(0);

  await world.instance.kill();
  const wiped = await troupe('wipe', '--force', '--json');
  const bridge = bridgeOf(world.instance.directory);
  expect(JSON.parse(wiped.stdout)).toMatchObject({
    removed: expect.arrayContaining([`masquerade rule of bridge ${bridge}`]) as string[],
    stays: [],
  });
  expect(await rules()).toEqual([]);
  expect((await troupe('wipe')).stdout).toBe('nothing to remove\n');
  await world.instance.start();
  expect(await world.leftovers()).toEqual([]);
});
