// A runtime with runc's command line that keeps its state where we don't search and in a form that we don't know, as
// runsc and youki do: here runc behind a script that gives it another root.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { startUntilUp, untilTermed } from '../../e2e/support/pods.ts';
import type { World } from '../../e2e/support/world.ts';
import { closeWorld, hostOnlyWorld, makePod, removePod } from './pod.ts';
import type { PodRequest } from './pod.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const RUNC = '/usr/sbin/runc';
const isHere = existsSync(RUNC);
if (!isHere) console.log(`skipped: ${RUNC} is not installed`);

const script = (root: string): string => `#!/bin/sh
n=$#
while [ $n -gt 0 ]; do
  word=$1
  shift
  case $word in --root=*) word=--root=${root} ;; esac
  set -- "$@" "$word"
  n=$((n - 1))
done
exec ${RUNC} "$@"
`;

unless(describe, lacking(RUNC))("a handler whose state is not runc's", () => {
  let world: World;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-foreign-'));
    mkdirSync(join(directory, 'state'));
    writeFileSync(join(directory, 'foreign'), script(join(directory, 'state')), { mode: 0o755 });
    world = await hostOnlyWorld('alien', { handlers: { foreign: join(directory, 'foreign') } });
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  const pod = (name: string, request: PodRequest = {}) =>
    makePod(world, name, { runtimeHandler: 'foreign', ...request });
  const statusOf = async (containerId: string) =>
    (await world.client.runtime.containerStatus({ containerId })).status;

  it('runs a pod with a pause process from its creation to its end', async () => {
    const { runtime } = world.client;
    const { sandboxId, containerId } = await pod('life', { sharesPids: true, command: untilTermed(7) });
    await startUntilUp(world.client, containerId);
    const { stdout } = await runtime.execSync({ containerId, cmd: ['cat', '/proc/1/comm'], timeout: 60n });
    expect(Buffer.from(stdout).toString()).toBe('pause\n');
    await runtime.stopContainer({ containerId, timeout: 60n });
    expect(await statusOf(containerId)).toMatchObject({ exitCode: 7 });
    await removePod(world, sandboxId);
    expect(readdirSync(join(directory, 'state'))).toEqual([]);
    expect(readdirSync(join(world.instance.state, 'runtimes/foreign'))).toEqual([]);
  });

  it('the next daemon knows its created and running containers from the runtime’s own reports', async () => {
    const { runtime } = world.client;
    const running = await pod('runs', { sharesPids: true, command: untilTermed(5) });
    const waiting = await pod('waits', { command: untilTermed(4) });
    await startUntilUp(world.client, running.containerId);
    await world.instance.kill();
    await world.instance.start();
    expect(await statusOf(running.containerId)).toMatchObject({ state: ContainerState.CONTAINER_RUNNING });
    expect(await statusOf(waiting.containerId)).toMatchObject({ state: ContainerState.CONTAINER_CREATED });
    await startUntilUp(world.client, waiting.containerId);
    for (const [{ containerId, sandboxId }, code] of [
      [running, 5],
      [waiting, 4],
    ] as const) {
      await runtime.stopContainer({ containerId, timeout: 60n });
      expect(await statusOf(containerId)).toMatchObject({ exitCode: code });
      await removePod(world, sandboxId);
    }
    expect(readdirSync(join(directory, 'state'))).toEqual([]);
  });
});
