/** What is recorded of a request. */
import { expect, it } from 'vitest';
import { frame } from '../../../src/journal/format.ts';
import { canary, findInBytes } from '../../support/canaries.ts';
import { EasyWorld } from './easy-ports.ts';
import { containerSpec, exit, sandboxSpec } from './fixtures.ts';

it('S91 no record of a container\'s life has its command, arguments or environment, and one that was undone neither', async () => {
  const [command, argument, value] = [canary('command'), canary('argument'), canary('value')];
  const world = await EasyWorld.serving();
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const spec = (name: string) => containerSpec({ key: { sandboxId, name, attempt: 0 }, command: [command], args: [argument], env: [{ name: 'A', value }] });
  const id = await troupe.createContainer(spec('whole'), world.call());
  await troupe.startContainer(id, world.call());
  const stopped = troupe.stopContainer(id, 1000, world.call());
  world.exits(id, { ...exit, finishedAtNs: 10n ** 15n });
  await stopped;
  world.fail('runtime.create');
  await expect(troupe.createContainer(spec('undone'), world.call())).rejects.toThrow(/undone/u);
  await troupe.removeContainer(id, world.call());
  expect(world.recorded.filter(({ type }) => type === 'container.intent')).toHaveLength(2);
  expect(world.recorded.map(({ type }) => type)).toContain('container.removed');
  expect(findInBytes(Buffer.concat(world.recorded.map(frame)), [command, argument, value])).toEqual([]);
});
