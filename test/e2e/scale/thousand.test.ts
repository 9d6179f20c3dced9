// F77: a node with a thousand sandboxes. Most stand in the journal only and share the node's network and IPC, so that
// only the daemon's own work is measured; a hundred are made and removed at once.
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import {
  NamespaceMode,
  PodSandboxConfigSchema,
  PodSandboxState,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { seedSandboxes } from '../../bench/seeded.ts';
import { ownMib } from '../../support/own-memory.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';
import { describePods } from '../support/crictl.ts';
import { sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

const SEEDED = 900;
const AT_ONCE = 100;
/** KiB of memory for one more sandbox at rest: its actor and record take some 8. */
const SANDBOX_KIB = 40;

const many = injects('F77', 'a thousand pods, a hundred made at once, a kill of the daemon');

describePods('a node with a thousand sandboxes', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'many', network: 'host-only', logLevel: 'warn' });
  });
  afterAll(async () => await world.close());

  /** Shares all of the node's namespaces that it can. */
  const run = async (name: string): Promise<string> => {
    const config = create(
      PodSandboxConfigSchema,
      sandboxConfig({ name, logDirectory: join(world.logs, name), hostNetwork: true }),
    );
    if (config.linux?.securityContext?.namespaceOptions !== undefined)
      config.linux.securityContext.namespaceOptions.ipc = NamespaceMode.NODE;
    return (await world.client.runtime.runPodSandbox({ config })).podSandboxId;
  };
  const list = async (): Promise<readonly string[]> =>
    (
      await world.client.runtime.listPodSandbox({
        filter: { state: { state: PodSandboxState.SANDBOX_READY } },
      })
    ).items.map(({ id }) => id);
  const names = (count: number): string[] => Array.from({ length: count }, (_none, n) => `fresh-${n}`);
  const ownKib = async (): Promise<number> => (await ownMib(world.instance.pid())) * 1024;

  test('F77 a thousand pods are listed and have a status; a hundred more are made at once, survive SIGKILL and are removed at once; memory grows with their number', async () => {
    const {
      instance,
      client: { runtime },
    } = world;
    const before = await ownKib();
    const first = await run('first');
    await seedSandboxes(world, SEEDED);
    await instance.start();
    expect(await list()).toHaveLength(SEEDED + 1);
    const fresh = await Promise.all(names(AT_ONCE).map(run));
    expect(new Set(fresh).size).toBe(AT_ONCE);

    await instance.kill();
    await instance.start();
    many.happened();
    const all = await list();
    expect(all).toHaveLength(SEEDED + 1 + AT_ONCE);
    expect(all).toEqual(expect.arrayContaining([first, ...fresh]));
    // one status poll each, as many at once as a kubelet has workers
    const reported: PodSandboxState[] = [];
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const answers = await Promise.all(
        all
          .slice(at, at + AT_ONCE)
          .map((podSandboxId) => runtime.podSandboxStatus({ podSandboxId, verbose: true })),
      );
      reported.push(...answers.map(({ status }) => status?.state ?? PodSandboxState.SANDBOX_NOTREADY));
    }
    expect(new Set(reported)).toEqual(new Set([PodSandboxState.SANDBOX_READY]));
    const pages = await Promise.all(Array.from({ length: AT_ONCE }, list));
    expect(new Set(pages.map((page) => page.length))).toEqual(new Set([all.length]));
    // the bursts' answers are garbage until V8 collects them and the daemon gives their pages back, every 10 s
    await until(async () => (await ownKib()) - before <= all.length * SANDBOX_KIB);

    const ends = await Promise.allSettled(
      all.map((podSandboxId) => runtime.removePodSandbox({ podSandboxId })),
    );
    // what does not fit in at once says so, and is done by the kubelet's next try
    for (const [at, end] of ends.entries())
      if (end.status === 'rejected') await runtime.removePodSandbox({ podSandboxId: all[at] ?? '' });
    expect((await runtime.listPodSandbox({})).items).toEqual([]);
    expect(await world.leftovers()).toEqual([]);
  });
});
