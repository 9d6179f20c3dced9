import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fail } from '../../../../../src/base/fault.ts';
import type { FaultKind } from '../../../../../src/base/fault.ts';
import { Task } from '../../../../../src/gen/shim/task_pb.ts';
import { TtrpcServer, ttrpcRoute } from '../../../../../src/ttrpc/server.ts';
import { Shim } from '../../../../../src/oci/runtime/shim/shim.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { SANDBOX_ID } from '../spec/fixtures.ts';

let directory = '';
let server: Server;
let shim: Shim;
let answer: readonly [FaultKind, string] = ['outside', ''];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'shim-'));
  const path = join(directory, 's');
  const clock = new HandClock();
  const routes = [
    ttrpcRoute(Task.method.create, () => fail(...answer)),
    ttrpcRoute(Task.method.kill, () => fail(...answer)),
  ];
  server = createServer((socket) => void new TtrpcServer(socket, { clock, routes }));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  shim = await Shim.connect(
    SANDBOX_ID,
    { path, api: 2 },
    { clock, namespace: 'n', onClose: () => undefined },
  );
});
afterEach(async () => {
  shim.close();
  server.close();
  await rm(directory, { recursive: true });
});

it.each<[FaultKind, FaultKind]>([
  ['notFound', 'outside'],
  ['conflict', 'outside'],
  ['invalidRequest', 'outside'],
  ['denied', 'outside'],
  ['notReady', 'outside'],
  ['unsupported', 'outside'],
  ['timedOut', 'timedOut'],
])("a shim's %s is reported as %s, with the attempt and the container", async (kind, reported) => {
  answer = [kind, 'executable file not found in $PATH'];
  await expect(shim.call(Task.method.create, { id: 'c1' })).rejects.toMatchObject({
    fault: {
      kind: reported,
      message: expect.stringMatching(/Create: executable file not found in \$PATH$/),
      quotesOutput: true,
    },
  });
  if (reported === 'outside')
    await expect(shim.call(Task.method.create, { id: 'c1' })).rejects.toMatchObject({
      fault: { subject: 'c1', message: expect.stringContaining('call a shim for c1: ') },
    });
});

it.each<[FaultKind, string, boolean]>([
  ['notFound', 'whatever it says', true],
  ['outside', 'process already finished', true],
  ['outside', 'rpc error: process already finished: not found', true],
  ['outside', 'container c1 does not exist', true],
  ['outside', 'container with id c1 does not exist', true],
  ['outside', 'task c1 not found: not found', true],
  ['outside', 'exec: "kill": executable file not found in $PATH', false],
  ['outside', 'open /x: the file does not exist', false],
  ['outside', 'container c1 does not exist in this state: busy', false],
  ['wrongState', 'process already finished', false],
])('%s %s: gone is %s', async (kind, said, isGone) => {
  answer = [kind, said];
  const call = shim.callUnlessGone(Task.method.kill, { id: 'c1' }).then(
    (found) => found === undefined,
    () => false,
  );
  expect(await call).toBe(isGone);
});

it('a shim that reports itself unavailable is recognised by Shims.orKill', async () => {
  answer = ['notReady', 'the agent is dead'];
  await expect(shim.callUnlessGone(Task.method.kill, { id: 'c1' })).rejects.toMatchObject({
    fault: { kind: 'notReady' },
  });
});
