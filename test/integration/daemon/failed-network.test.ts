// F52: a network of which ADD fails, and then the DEL that should undo it, under a running daemon.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PodSandboxState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { describePods } from '../../e2e/support/crictl.ts';
import { sandboxConfig } from '../../e2e/support/pods.ts';
import { makeWorld, type World } from '../../e2e/support/world.ts';
import { injects } from '../../support/faults/injects.ts';
import { closeWorld, removePod } from './pod.ts';

const bothFail = injects('F52', 'ADD and DEL of a pod fail, in two instances of the daemon');

/** The last plugin of the chain: it says what it was called for, and fails while a file is there. */
const pluginText = (directory: string): string => `#!/bin/sh
cat > ${directory}/stdin
echo "$CNI_COMMAND" >> ${directory}/calls
[ "$CNI_COMMAND" = VERSION ] && echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' && exit 0
[ -e ${directory}/broken ] && echo '{"cniVersion":"1.0.0","code":11,"msg":"not today"}' && exit 1
[ "$CNI_COMMAND" = ADD ] && sed 's/.*"prevResult"://; s/}$//' ${directory}/stdin
exit 0
`;

describePods('a pod whose network can neither be made nor undone', () => {
  let world: World;
  const at = (...names: string[]): string => join(world.instance.directory, ...names);

  beforeAll(async () => {
    world = await makeWorld({
      name: 'fnet',
      networkSettings: (directory) => {
        mkdirSync(join(directory, 'plugins'));
        writeFileSync(join(directory, 'plugins/late'), pluginText(directory), { mode: 0o755 });
        return [`plugin_dirs = ["${directory}/plugins", "/opt/cni/bin", "/usr/lib/cni"]`];
      },
    });
    await world.instance.terminate();
    const file = at('cni/10-test.conflist');
    const network = JSON.parse(readFileSync(file, 'utf8')) as { plugins: object[] };
    network.plugins.push({ type: 'late' });
    writeFileSync(file, JSON.stringify(network));
    await world.instance.start();
  });

  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  it('F52 is never listed, its name is free, and its DEL is repeated, by the next instance too, until it succeeds', async () => {
    const { runtime } = world.client;
    const config = sandboxConfig({ name: 'twice', logDirectory: join(world.logs, 'twice') });
    const pending = (): string[] =>
      readdirSync(join(world.instance.root, 'cni/cache')).filter((name) =>
        /^[0-9a-f]{64}\.json$/u.test(name),
      );
    const dels = (): number =>
      readFileSync(at('calls'), 'utf8')
        .split('\n')
        .filter((command) => command === 'DEL').length;
    writeFileSync(at('broken'), '');
    for (const name of ['first', 'second']) {
      const before = existsSync(at('calls')) ? dels() : 0;
      await expect(runtime.runPodSandbox({ config }), name).rejects.toThrow('not today');
      await expect.poll(dels).toBeGreaterThan(before + 1);
      bothFail.happened();
      expect((await runtime.listPodSandbox({})).items).toEqual([]);
      await world.instance.kill();
      await world.instance.start();
    }
    expect(pending()).toHaveLength(2);
    rmSync(at('broken'));
    const { podSandboxId } = await runtime.runPodSandbox({ config });
    await expect.poll(pending).toEqual([`${podSandboxId}.json`]);
    expect((await runtime.listPodSandbox({})).items.map(({ id, state }) => [id, state])).toEqual([
      [podSandboxId, PodSandboxState.SANDBOX_READY],
    ]);
    await removePod(world, podSandboxId);
    expect(pending()).toEqual([]);
  });
});
