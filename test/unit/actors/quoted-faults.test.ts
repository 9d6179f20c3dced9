/** Faults that repeat what a runtime wrote, on their way from its driver to the caller. */
import { expect, it } from 'vitest';
import { forCall } from '../../../src/actors/directory/ask.ts';
import { fault, quotesOutput, toFault } from '../../../src/base/fault.ts';
import { canary } from '../../support/canaries.ts';
import { turns } from '../../support/turns.ts';
import { EasyWorld } from './easy-ports.ts';
import { containerSpec, exit, sandboxSpec } from './fixtures.ts';

/** The faults of calls, as text and whether they are marked. */
const answered = (calls: readonly Promise<unknown>[]): Promise<(readonly [string, boolean])[]> =>
  Promise.all(
    calls.map(async (call) => {
      const why = await call.then(() => undefined, toFault);
      return [why?.message ?? '', quotesOutput(why)] as const;
    }),
  );

it('S91 what quotes the runtime stays marked in the answers to every call that reports it', async () => {
  const command = canary('command');
  const world = await EasyWorld.serving();
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const said = `runc create: exec: "${command}": failed`;
  world.fail('runtime.create', said, 'outside', { quotesOutput: true });
  world.fail('runtime.destroy', said, 'outside', { quotesOutput: true });
  const spec = containerSpec({ key: { sandboxId, name: 'app', attempt: 0 }, command: [command] });
  const quoting = [expect.stringContaining(command) as string, true] as const;
  expect(await answered([troupe.createContainer(spec, world.call())])).toEqual([quoting]);
  const [container] = troupe.directory.containers();
  if (container === undefined) throw new Error('no container');
  expect(container.cleanupPending).toBe(true);
  expect(await answered([troupe.removeContainer(container.id, world.call())])).toEqual([quoting]);
  expect(await answered([troupe.removeSandbox(sandboxId, world.call())])).toEqual([quoting]);
});

it('S91 what quotes the runtime stays marked in the answer to a start', async () => {
  const command = canary('command');
  const world = await EasyWorld.serving();
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const id = await troupe.createContainer(
    containerSpec({ key: { sandboxId, name: 'app', attempt: 0 } }),
    world.call(),
  );
  world.fail('runtime.start', `runc start: exec: "${command}": failed`, 'outside', { quotesOutput: true });
  const started = answered([troupe.startContainer(id, world.call())]);
  await turns();
  world.exits(id, exit);
  expect(await started).toEqual([[expect.stringContaining(command), true]]);
});

it('S91 a call that another one has replaced passes the mark on', () => {
  const why = fault('cancelled', 'runc create: exec: "word"', { quotesOutput: true });
  expect(forCall(why, 'CreateContainer c1', 'c1')).toMatchObject({ kind: 'superseded', quotesOutput: true });
  expect(forCall(fault('cancelled', 'aborted'), 'CreateContainer c1', 'c1')).not.toHaveProperty(
    'quotesOutput',
  );
});
