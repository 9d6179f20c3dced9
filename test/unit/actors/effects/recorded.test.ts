/** What is recorded of a request. */
import { expect, it } from 'vitest';
import type { ExitFact } from '../../../../src/ports/journal.ts';
import type { ContainerId } from '../../../../src/base/ids.ts';
import { frame } from '../../../../src/journal/format.ts';
import { canary, findInBytes } from '../../../support/canaries.ts';
import { recordedExit } from '../../../../src/actors/effects/recorded.ts';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { EasyWorld } from '../easy-ports.ts';
import { turns } from '../../../support/turns.ts';
import { containerSpec, exit, sandboxSpec } from '../fixtures.ts';

it('S91 no record of a container has its command, arguments or environment, not even of an undone one', async () => {
  const [command, argument, value] = [canary('command'), canary('argument'), canary('value')];
  const world = await EasyWorld.serving();
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const spec = (name: string) =>
    containerSpec({
      key: { sandboxId, name, attempt: 0 },
      command: [command],
      args: [argument],
      env: [{ name: 'A', value }],
    });
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

it('S91 no record of a failed start has a word of its command; before a restart clients get the whole message', async () => {
  const command = canary('command');
  const world = await EasyWorld.serving();
  const { troupe } = world;
  const sandboxId = await troupe.runSandbox(sandboxSpec(), world.call());
  const id = await troupe.createContainer(
    containerSpec({ key: { sandboxId, name: 'absent', attempt: 0 }, command: [command], args: [] }),
    world.call(),
  );
  world.fail(
    'runtime.start',
    `start container: runc start: exec: "${command}": executable file not found in $PATH`,
  );
  const started = expect(troupe.startContainer(id, world.call())).rejects.toThrow(command);
  await turns();
  world.exits(id, exit);
  await started;
  expect(troupe.directory.container(id)?.exit).toMatchObject({
    reason: 'StartError',
    message: expect.stringContaining(command) as string,
  });
  const recorded = world.recorded.filter(({ type }) => type === 'container.exited');
  expect(recorded).toMatchObject([
    { exit: { exitCode: 128, reason: 'StartError', message: 'the start failed: not found in $PATH' } },
  ]);
  expect(findInBytes(Buffer.concat(world.recorded.map(frame)), [command])).toEqual([]);
});

it("S91 an earlier version's record of a failed start loses its quotes once; other ends are recorded unchanged", () => {
  const failed: ExitFact = {
    ...exit,
    exitCode: 128,
    reason: 'StartError',
    message: 'runc start: exec: "canary": is no program',
    observedBy: 'start',
  };
  const id = 'a'.repeat(64) as ContainerId;
  const once = ledgerFold.withoutSecrets({
    type: 'container.exited',
    id,
    exit: failed,
    startedAtNs: undefined,
  });
  expect(once).toMatchObject({
    exit: { exitCode: 128, message: 'the start failed: its reason is not kept over a restart of the daemon' },
  });
  expect(ledgerFold.withoutSecrets(once)).toBe(once);
  const denied = recordedExit({ ...failed, message: 'exec /canary: Permission denied' });
  expect([denied.message, recordedExit(denied)]).toEqual(['the start failed: permission denied', denied]);
  expect(recordedExit({ ...exit, message: 'the exit file is empty' })).toMatchObject({
    message: 'the exit file is empty',
  });
});
