// The known crash points are known: the (operation, effect) pairs of the real daemon, driven by crictl, are all in the
// simulation's golden list.
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readGolden } from '../../sim/golden.ts';
import { containerJson, Crictl, describePods, untilHolds } from '../support/crictl.ts';
import { untilTermed } from '../support/pods.ts';
import type { Answer, Order } from '../support/recording-daemon.ts';
import { makeWorld, type World } from '../support/world.ts';
import { until } from '../../support/eventually.ts';

/** crictl's command and the operation that it is. */
const operations = new Map([
  ['pull', 'PullImage'],
  ['runp', 'RunPodSandbox'],
  ['create', 'CreateContainer'],
  ['start', 'StartContainer'],
  ['stop', 'StopContainer'],
  ['rm', 'RemoveContainer'],
  ['stopp', 'StopPodSandbox'],
  ['rmp', 'RemovePodSandbox'],
  ['rmi', 'RemoveImage'],
]);

/** The recording daemon's process. */
class Recording {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start({ argv }: World['instance']): Promise<Recording> {
    const values = ['config', 'root', 'state', 'socket'].map(
      (name) => argv[argv.indexOf(`--${name}`) + 1] ?? '',
    );
    const child = fork(join(import.meta.dirname, '../support/recording-daemon.ts'), values, {
      env: { ...process.env, UV_THREADPOOL_SIZE: '16' },
      execArgv: [],
    });
    await answerOf(child);
    return new Recording(child);
  }

  /** Says what runs from now on, or that the daemon shall end; the pairs so far. */
  async say(order: Order): Promise<Answer> {
    const answer = answerOf(this.#child);
    this.#child.send(order);
    return await answer;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Its next message; an end without one is an error. */
async function answerOf(child: ChildProcess): Promise<Answer> {
  const given = new AbortController();
  const ended = once(child, 'exit', { signal: given.signal }).then(([code]) => {
    throw new Error(`the recording daemon ended with ${String(code)}`);
  });
  try {
    const [answer] = (await Promise.race([once(child, 'message', { signal: given.signal }), ended])) as [
      Answer,
    ];
    return answer;
  } finally {
    ended.catch(() => undefined);
    given.abort();
  }
}

describePods('crash points of the real daemon', () => {
  const pairs = new Set<string>();
  let world: World;
  let crictl: Crictl;
  let daemon: Recording | undefined;

  const startHere = async (): Promise<void> => {
    daemon = await Recording.start(world.instance);
  };
  const stopHere = async (): Promise<void> => {
    for (const pair of (await daemon?.say('stop')) ?? []) pairs.add(pair);
    daemon = undefined;
  };
  /** Work under an operation's name. */
  const during = async <T>(operation: string, work: () => Promise<T>): Promise<T> => {
    await daemon?.say({ operation });
    const result = await work();
    await daemon?.say({ operation: 'idle' });
    return result;
  };
  /** One crictl call under its operation's name. */
  const call = async (command: string, ...args: readonly string[]): Promise<string> =>
    await during(operations.get(command) ?? 'idle', async () => await crictl.ok(command, ...args));

  beforeAll(async () => {
    world = await makeWorld({ name: 'eff' });
    crictl = new Crictl(world);
    await world.instance.terminate();
  });
  afterAll(async () => {
    daemon?.kill();
    await world.close();
  });

  const runPod = async (name: string, pid: number) =>
    await during(
      'RunPodSandbox',
      async () =>
        await crictl.runPod(name, {
          linux: { security_context: { namespace_options: { network: 0, pid, ipc: 0 } } },
        }),
    );
  const create = async (
    pod: { readonly id: string; readonly file: string },
    name: string,
    command: readonly string[],
  ): Promise<string> =>
    await call('create', pod.id, await crictl.file(containerJson(name, world.imageName, command)), pod.file);

  test('pods with own and shared PID namespaces, stopped in each way, over a restart, use only effects that the simulation has swept', async () => {
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
    // Signalled from outside, so that it ends while no operation runs.
    execFileSync('touch', [`/proc/${pid}/root/tmp/go`]);
    await until(async () => (await crictl.container(job)).status.state === 'CONTAINER_EXITED');
    // the exit is shown once it is recorded; what follows it must not count as the next operation's
    await until(async () => !(await readFile('/proc/self/mountinfo', 'utf8')).includes(job));
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
