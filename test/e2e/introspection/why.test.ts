// A pod whose CNI plugin hangs explains itself: plugin, pid, deadline, within 100 ms (F34's like for CNI, issue "it
// shows itself").
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { criClient } from '../../../scripts/support/cri-client.ts';
import type { CriClient } from '../../../scripts/support/cri-client.ts';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { introspectionClient } from '../../../src/introspection/client.ts';
import type { IntrospectionClient } from '../../../src/introspection/client.ts';
import type { Actor } from '../../../src/gen/introspection/v1/introspection_pb.ts';
import { makeInstance } from '../../support/instance.ts';
import type { Instance } from '../../support/instance.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import { EVENT_MS } from '../../support/patience.ts';

/** Answers VERSION and DEL; ADD never ends. */
const HANGING_PLUGIN = `#!/bin/sh
cat >/dev/null
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
  ADD) exec sleep 3600 ;;
esac
`;

let instance: Instance;
let cri: CriClient;
let client: IntrospectionClient;

async function instanceWithHangingPlugin(): Promise<Instance> {
  const made = await makeInstance({ name: 'why', network: 'host-only' });
  const plugins = join(made.directory, 'plugins');
  await mkdir(plugins);
  await writeFile(join(plugins, 'hanger'), HANGING_PLUGIN);
  await chmod(join(plugins, 'hanger'), 0o755);
  await writeFile(
    join(made.directory, 'cni/10-hang.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'hang', plugins: [{ type: 'hanger' }] }),
  );
  await mkdir(join(made.directory, 'troupe.toml.d'));
  await writeFile(
    join(made.directory, 'troupe.toml.d/10-plugins.toml'),
    `[network]\nplugin_dirs = ["${plugins}"]\n`,
  );
  return made;
}

beforeAll(async () => {
  instance = await instanceWithHangingPlugin();
  await instance.start();
  cri = criClient(instance.socket);
  client = introspectionClient(join(instance.state, 'introspection.sock'), EVENT_MS);
});

afterAll(async () => {
  cri?.close();
  await instance?.remove();
});

const troupe = (...args: string[]) => run([join(checkout, 'bin/troupe'), ...args, '--state', instance.state]);

/** The pod, once the plugin has come to where it hangs. */
async function waitingPod(name: string): Promise<Actor> {
  let program = '';
  let actor: Actor | undefined;
  const doing = async (): Promise<string> => {
    // the program of the check above: what runs now runs after its execve
    const before = program;
    actor = (await client.explain({ query: name }).catch(() => undefined))?.actor;
    const wait = actor?.waits[0];
    program = (await readFile(`/proc/${wait?.pid ?? 0}/comm`, 'utf8').catch(() => '')).trim();
    return `${before} ${wait?.processState ?? ''}`;
  };
  await expect.poll(doing).toBe('sleep S');
  return actor ?? expect.fail('the pod is gone');
}

describe('a pod whose CNI plugin hangs', () => {
  it('shows the plugin, its pid and the deadline; the failure stays in its history', async () => {
    const config = sandboxConfig({ name: 'stuck', logDirectory: join(instance.directory, 'logs/stuck') });
    const started = cri.runtime.runPodSandbox({ config }).then(
      () => 'it started',
      (thrown: unknown) => String(thrown),
    );
    const actor = await waitingPod('stuck');
    const [wait] = actor.waits;
    expect(actor).toMatchObject({ kind: 'sandbox', name: 'stuck', namespace: 'default', settled: false });
    expect(actor.state).toContain('network.adding');
    expect(wait).toMatchObject({
      on: 'CNI ADD hanger',
      argv: [join(instance.directory, 'plugins/hanger')],
      processState: 'S',
    });
    expect((wait?.deadlineNs ?? 0n) - (wait?.sinceNs ?? 0n)).toBe(
      BigInt(actorLimits.networkAddMs) * 1_000_000n,
    );

    const shown = await troupe('why', 'default/stuck');
    expect(shown.code).toBe(0);
    expect(shown.stdout).toMatch(/^pod default\/stuck \(/u);
    expect(shown.stdout).toContain('waits on  CNI ADD hanger (addNetwork)');
    expect(shown.stdout).toMatch(new RegExp(`pid ${wait?.pid}, sleeps`, 'u'));
    expect(shown.stdout).toMatch(/for \d\S*s, until \d\d:\d\d:\d\d\.\d{3} \(\d+[ms] left\)/u);
    expect(shown.stdout).toContain('network.pinning → network.adding');
    const narrow = await run([join(checkout, 'bin/troupe'), 'why', 'stuck', '--state', instance.state], {
      env: { COLUMNS: '80' },
    });
    expect(Math.max(...narrow.stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(narrow.stdout.split('\n').length).toBeLessThanOrEqual(30);
    const listed = await troupe('ps');
    expect(listed.stdout).toMatch(/default\/stuck.*CNI ADD hanger/u);

    process.kill(Number(wait?.pid), 'SIGKILL');
    expect(await started).toContain('plugin hanger');
    const after = await client.explain({ query: 'stuck' });
    expect(after.actor).toMatchObject({ state: 'gone', name: 'stuck', waits: [] });
    expect(after.history.map(({ to }) => to).join(' ')).toContain('unwinding');
    const remembered = await troupe('why', 'stuck');
    expect(remembered.stdout).toMatch(/removed {3}\d/u);
    expect((await troupe('log', 'stuck')).stdout.trim().split('\n')).toHaveLength(after.history.length);
  });
});

/** Every call passes but create, which never ends. */
const HANGING_RUNTIME = `#!/bin/sh
for word in "$@"; do
  [ "$word" = create ] && exec sleep 3600
done
exec runc "$@"
`;

describe('a container whose runtime hangs', () => {
  it('shows the monitor, its pid and the deadline, and the runtime that the monitor waits on (F33)', async () => {
    const world = await makeWorld({
      name: 'whyr',
      network: 'host-only',
      runtimePath: await runtimeThatHangs(),
    });
    try {
      const image = await world.pull();
      const config = sandboxConfig({ name: 'pod', logDirectory: join(world.logs, 'pod'), hostNetwork: true });
      const { podSandboxId } = await world.client.runtime.runPodSandbox({ config });
      const request = containerConfig({ name: 'stuck', image, command: ['true'], hostNetwork: true });
      const made = world.client.runtime
        .createContainer({ podSandboxId, sandboxConfig: config, config: request })
        .then(
          () => 'made',
          (thrown: unknown) => String(thrown),
        );
      const introspection = introspectionClient(join(world.instance.state, 'introspection.sock'), EVENT_MS);
      const below = async (): Promise<readonly string[]> => {
        const answer = await introspection.explain({ query: 'stuck' }).catch(() => undefined);
        return answer?.actor?.waits[0]?.below.map(({ name, state }) => `${name} ${state}`) ?? [];
      };
      await expect.poll(below).toEqual(['sleep S']);
      const { actor } = await introspection.explain({ query: 'stuck' });
      const [wait] = actor?.waits ?? [];
      expect(actor?.state).toBe('provisioning.process');
      expect(wait).toMatchObject({ on: 'runc create', processState: 'S' });
      expect(wait?.argv[0]).toMatch(/conmon$/u);
      expect(wait?.below[0]?.parentPid).toBe(wait?.pid);
      expect((wait?.deadlineNs ?? 0n) - (wait?.sinceNs ?? 0n)).toBe(90_000_000_000n);
      const shown = await run([
        join(checkout, 'bin/troupe'),
        'why',
        'pod/stuck',
        '--state',
        world.instance.state,
      ]);
      expect(shown.stdout).toContain(`waits on  runc create (`);
      expect(shown.stdout).toContain(`pid ${wait?.pid}, sleeps`);
      expect(shown.stdout).toContain(`└─ pid ${wait?.below[0]?.pid} sleep, sleeps`);
      process.kill(Number(wait?.below[0]?.pid), 'SIGKILL');
      expect(await made).toContain('runc create');
    } finally {
      await world.close();
    }
  });
});

async function runtimeThatHangs(): Promise<string> {
  const path = join(instance.directory, 'hanging-runtime');
  await writeFile(path, HANGING_RUNTIME);
  await chmod(path, 0o755);
  return path;
}
