// The known crash points are known: the (operation, effect) pairs of the real daemon, driven by crictl, are all in the
// simulation's golden list. The daemon runs in this process, with a recorder between its actors and its drivers.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Ports } from '../../../src/actors/ports/ports.ts';
import { actorLimits } from '../../../src/base/limits.ts';
import { silentLog } from '../../../src/base/log.ts';
import { loadConfig } from '../../../src/daemon/config.ts';
import { type Daemon, startDaemon } from '../../../src/daemon/wire.ts';
import { readGolden } from '../../sim/golden.ts';
import { recordEffects } from '../../sim/record-effects.ts';
import { containerJson, Crictl, describePods, until, untilHolds } from '../support/crictl.ts';
import { untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

/** crictl's command and the operation that it is. */
const operations = new Map([
  ['pull', 'PullImage'], ['runp', 'RunPodSandbox'], ['create', 'CreateContainer'], ['start', 'StartContainer'],
  ['stop', 'StopContainer'], ['rm', 'RemoveContainer'], ['stopp', 'StopPodSandbox'], ['rmp', 'RemovePodSandbox'], ['rmi', 'RemoveImage'],
]);

/**
 * Timers as long as the janitor's never fire: its rounds would fall into any operation, while the simulation sees them
 * apart from all operations. Nothing here waits that long.
 */
function withoutJanitor(ports: Ports): Ports {
  const { clock } = ports;
  return {
    ...ports,
    clock: {
      nowNs: () => clock.nowNs(),
      monoMs: () => clock.monoMs(),
      setTimeout: (fn, ms) => clock.setTimeout(fn, ms === actorLimits.janitorMs ? NEVER_MS : ms),
      clearTimeout: (handle) => clock.clearTimeout(handle),
    },
  };
}
const NEVER_MS = 3_600_000;

/** crictl asks for ImageFsInfo whenever it connects; it only reads. */
const PROBE = 'storage.usage';

describePods('crash points of the real daemon', () => {
  const pairs = new Set<string>();
  let operation = 'start';
  let world: World;
  let crictl: Crictl;
  let daemon: Daemon | undefined;

  const startHere = async (): Promise<void> => {
    const { argv } = world.instance;
    const option = (name: string): string => argv[argv.indexOf(`--${name}`) + 1] ?? '';
    const config = await loadConfig(option('config'), true, { root: option('root'), state: option('state'), socket: option('socket') });
    operation = 'start';
    daemon = await startDaemon(config, silentLog, (ports) =>
      recordEffects(withoutJanitor(ports), (effect) => {
        if (effect !== PROBE) pairs.add(`${operation} ${effect}`);
      }),
    );
    operation = 'idle';
  };
  const stopHere = async (): Promise<void> => {
    await daemon?.stop();
    daemon = undefined;
  };
  /** One crictl call under its operation's name. */
  const call = async (command: string, ...args: readonly string[]): Promise<string> => {
    operation = operations.get(command) ?? 'idle';
    const answer = await crictl.ok(command, ...args);
    operation = 'idle';
    return answer;
  };

  beforeAll(async () => {
    world = await makeWorld({ name: 'eff' });
    crictl = new Crictl(world);
    await world.instance.terminate();
  });
  afterAll(async () => {
    await stopHere();
    await world.close();
  });

  const runPod = async (name: string, pid: number) => {
    operation = 'RunPodSandbox';
    const pod = await crictl.runPod(name, { linux: { security_context: { namespace_options: { network: 0, pid, ipc: 0 } } } });
    operation = 'idle';
    return pod;
  };
  const create = async (pod: { readonly id: string; readonly file: string }, name: string, command: readonly string[]): Promise<string> =>
    await call('create', pod.id, await crictl.file(containerJson(name, world.imageName, command)), pod.file);

  test('a pod of its own PID namespace and one that shares it, stopped in each way, over a restart: nothing that the simulation has not swept', async () => {
    await startHere();
    await call('pull', world.imageName);
    const pod = await runPod('own', 1);
    const server = await create(pod, 'server', untilTermed(0));
    await call('start', server);
    await untilHolds(join(pod.logs, 'server.log'), 'up');
    await call('stop', '--timeout', '10', server);
    await call('rm', server);
    const job = await create(pod, 'job', ['sh', '-c', 'while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 3']);
    await call('start', job);
    const pid = (await crictl.container(job)).info.pid ?? 0;
    // Told from outside, so that its end comes while no operation runs.
    execFileSync('touch', [`/proc/${pid}/root/tmp/go`]);
    await until(async () => (await crictl.container(job)).status.state === 'CONTAINER_EXITED');
    const shared = await runPod('shared', 0);
    const lasting = await create(shared, 'lasting', untilTermed(0));
    await call('start', lasting);
    const neverStarted = await create(shared, 'created', ['true']);
    await stopHere();

    await startHere();
    expect(await crictl.ok('ps', '-q', '--no-trunc')).toBe(lasting);
    await call('rm', neverStarted);
    await call('stopp', shared.id);
    await call('rmp', shared.id);
    await call('stopp', pod.id);
    await call('rmp', pod.id);
    await call('rmi', world.imageName);
    await stopHere();

    expect(pairs.size).toBeGreaterThan(operations.size);
    expect([...pairs].filter((pair) => !readGolden().includes(pair)).toSorted()).toEqual([]);
  });
});
