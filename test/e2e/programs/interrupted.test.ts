// `troupe run` that is interrupted while its pod is being made: the network plugin hangs.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { pluginDirs, writeHangingPlugin } from '../page/hanging-plugin.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { finish, start } from './support.ts';

let world: World;

beforeAll(async () => {
  world = await makeWorld({
    name: 'intr',
    networkSettings: (directory) => {
      writeHangingPlugin(directory);
      return [pluginDirs(directory)];
    },
  });
});

afterAll(async () => world?.close());

/** Names of all pods, those that clients don't see included. */
const pods = async (): Promise<string> => (await finish(world, 'ps', ['-o', 'name'])).stdout.toString();

it('ends with the signal’s code, and removes the pod that no client sees yet', async () => {
  const started = start(world, 'run', ['--name', 'checkout', world.imageName, 'true']);
  await expect
    .poll(async () => (await finish(world, 'why', ['checkout'])).stdout.toString())
    .toMatch(/CNI ADD/u);
  started.child.kill('SIGINT');
  expect(await started.ended).toMatchObject({ code: 130 });
  expect(await pods()).toBe('');
  expect(await world.leftovers()).toEqual([]);
});
