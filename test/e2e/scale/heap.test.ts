// F14: a daemon with a small heap, 500 containers and a client that wants ever more: it refuses in time, and goes on.
import { join } from 'node:path';
import { status as codes } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seedContainers } from '../../bench/seeded.ts';
import { checkout } from '../../support/tools/cache.ts';
import { describePods } from '../support/crictl.ts';
import { sandboxConfig } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { injects } from '../../support/faults/injects.ts';

const fullHeap = injects('F14', 'a heap near its limit refuses calls');

const HEAP_MIB = 128;
const CONTAINERS = 500;
/** Fewer bytes than all requests at work may have: it is the heap that refuses. */
const AT_ONCE = 10;
/** Pods that would have filled the heap several times over. */
const MOST = 600;
/** As large as a map of annotations may be. */
const PADDING = 'x'.repeat(1_000_000);

/** The daemon's own command line without bin/troupe, which has no option for the heap. */
const smallHeap = (): readonly [string, ...string[]] => {
  const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
  const flags = `--disable-sigusr1 --disable-proto=throw --max-semi-space-size=2 --max-old-space-size=${HEAP_MIB}`;
  return [
    'sh',
    '-c',
    `shift; exec "$0" ${flags} ${join(checkout, 'src/daemon/main.ts')} "$@"`,
    join(checkout, `node_modules/node-linux-${arch}/bin/node`),
  ];
};

describePods('a daemon with a small heap', () => {
  let world: World;
  beforeAll(async () => {
    world = await makeWorld({ name: 'heap', network: 'host-only', logLevel: 'warn', before: smallHeap });
    await seedContainers(world, await world.pull(), CONTAINERS);
    await world.instance.start();
  });
  afterAll(async () => await world.close());

  test('F14: near the heap limit calls that add are ResourceExhausted, calls that read or end are served, and later calls succeed', async () => {
    const {
      instance,
      logs,
      client: { runtime },
    } = world;
    const pid = instance.pid();
    const config = (name: string, padding: string) =>
      sandboxConfig({ name, logDirectory: join(logs, name), hostNetwork: true, annotations: { padding } });
    const made: string[] = [];
    const refusals: { readonly code: number; readonly details: string }[] = [];
    for (let at = 0; at < MOST && refusals.length === 0; at += AT_ONCE) {
      const calls = Array.from({ length: AT_ONCE }, (_none, n) =>
        runtime.runPodSandbox({ config: config(`large-${at + n}`, PADDING) }),
      );
      for (const one of await Promise.allSettled(calls)) {
        if (one.status === 'fulfilled') made.push(one.value.podSandboxId);
        else refusals.push(one.reason as { code: number; details: string });
      }
    }
    expect(made.length).toBeGreaterThan(0);
    expect(new Set(refusals.map(({ code }) => code))).toEqual(new Set([codes.RESOURCE_EXHAUSTED]));
    fullHeap.happened(refusals.length);
    expect(refusals[0]?.details).toMatch(
      /RunPodSandbox: \d+ of the \d+ MiB that troupe has for its records are in use/u,
    );
    console.log(`${made.length} pods of a MB each were taken`);
    expect(instance.pid()).toBe(pid);
    expect((await runtime.listContainers({})).containers).toHaveLength(CONTAINERS + 1);
    await Promise.all(
      made.map(async (podSandboxId) => {
        await runtime.stopPodSandbox({ podSandboxId });
        await runtime.removePodSandbox({ podSandboxId });
      }),
    );
    // garbage counts until it is collected: a client that tries again is served
    await expect
      .poll(() =>
        runtime.runPodSandbox({ config: config('small', '') }).then(
          () => 'made',
          (error: { details: string }) => error.details,
        ),
      )
      .toBe('made');
    expect(instance.pid()).toBe(pid);
  });
});
