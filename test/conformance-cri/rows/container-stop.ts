// StopContainer: signals, grace, joins, and that nothing of a container is left.
import { Signal } from '../../../src/gen/runtime/v1/api_pb.ts';
import { holds, matches, refused, same } from '../expect.ts';
import { isAlive, processesLike } from '../host.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { linesOf, type Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

/** Ends with 40 + something for each signal that it is sent. */
const trapping = (signal: string | number, code: number): string =>
  `trap 'exit ${code}' ${signal}; echo up; while :; do sleep 1000 & wait $!; done`;
const IGNORING = 'trap "" TERM; echo up; while :; do sleep 1; done';
const sharedPid = {
  linux: { securityContext: { namespaceOptions: { pid: 0, network: 2 } } },
} satisfies ContainerConfig;

async function stopCode(t: Trial, containerId: string, timeout: bigint): Promise<number> {
  await t.runtime.stopContainer({ containerId, timeout });
  const { exitCode, state } = await t.status(containerId);
  same(state, 2, 'state');
  return exitCode;
}

/** Milliseconds of a stop: a bound far from the durations that are checked, so that a slow machine changes nothing. */
async function msOf(work: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work;
  return performance.now() - startedAt;
}

/** CRI's name, the shell's name or number. */
const SIGNALS: readonly (readonly [keyof typeof Signal, string | number])[] = [
  ['SIGTERM', 'TERM'],
  ['SIGINT', 'INT'],
  ['SIGHUP', 'HUP'],
  ['SIGQUIT', 'QUIT'],
  ['SIGUSR1', 'USR1'],
  ['SIGUSR2', 'USR2'],
  ['SIGWINCH', 'WINCH'],
  ['SIGRTMIN', 34],
  ['SIGRTMINPLUS3', 37],
  ['SIGRTMAX', 64],
];

export const containerStop: Group = {
  title: 'StopContainer',
  perHandler: true,
  rows: [
    ...SIGNALS.map(([name, trap]) =>
      row('stop_signal', `${name} is sent, and shown by ContainerStatus`, async (t) => {
        const { id } = await t.up(trapping(trap, 41), { stopSignal: Signal[name] });
        same((await t.status(id)).stopSignal, Signal[name]);
        same(await stopCode(t, id, 30n), 41);
      }),
    ),
    row('stop_signal', 'unset: TERM is sent, and shown by ContainerStatus', async (t) => {
      const { id } = await t.up(trapping('TERM', 42));
      same((await t.status(id)).stopSignal, Signal.SIGTERM);
      same(await stopCode(t, id, 30n), 42);
    }),
    row('stop_signal', "unset: the image's STOPSIGNAL is sent, and shown by ContainerStatus", async (t) => {
      const { id } = await t.up(trapping('USR1', 43), {
        image: { image: await t.stage.imageId('conf/full:1') },
      });
      same((await t.status(id)).stopSignal, Signal.SIGUSR1);
      same(await stopCode(t, id, 30n), 43);
    }),
    row('stop_signal', "the config's comes before the image's", async (t) => {
      const { id } = await t.up(trapping('INT', 44), {
        image: { image: await t.stage.imageId('conf/full:1') },
        stopSignal: Signal.SIGINT,
      });
      same(await stopCode(t, id, 30n), 44);
    }),
    row('stop_signal', 'SIGCLD, another name of SIGCHLD, is echoed as it came', async (t) => {
      same((await t.status(await t.create({ stopSignal: Signal.SIGCLD }))).stopSignal, Signal.SIGCLD);
    }),
    row('timeout', '0: KILL at once, 137', async (t) => {
      const { id } = await t.up(trapping('TERM', 45));
      same(await stopCode(t, id, 0n), 137);
    }),
    row(
      'timeout',
      'a process that ignores TERM is killed after the grace, and not by the deadline (K)',
      async (t) => {
        const { id } = await t.up(IGNORING);
        let code = 0;
        const ms = await msOf(
          stopCode(t, id, 1n).then((seen) => {
            code = seen;
          }),
        );
        same(code, 137);
        holds(ms >= 900 && ms < 30_000, `${ms} ms`);
      },
    ),
    row('timeout', 'the grace is given: a process that needs half of it ends by itself', async (t) => {
      const { id } = await t.up(
        "trap 'sleep 0.5; exit 46' TERM; echo up; while :; do sleep 1000 & wait $!; done",
      );
      same(await stopCode(t, id, 30n), 46);
    }),
    row(
      'timeout',
      'negative is InvalidArgument',
      async (t) =>
        await refused(
          t.runtime.stopContainer({ containerId: await t.create(), timeout: -1n }),
          'INVALID_ARGUMENT',
        ),
    ),
    row('timeout', 'the greatest int64 is no overflow: the container still ends by its signal', async (t) => {
      const { id } = await t.up(trapping('TERM', 47));
      same(await stopCode(t, id, 2n ** 62n), 47);
    }),
    row('joins', 'a second call with a shorter timeout shortens the first', async (t) => {
      const { id } = await t.up(IGNORING);
      const first = t.runtime.stopContainer({ containerId: id, timeout: 100n });
      await eventually('the first call is at work', async () =>
        (await t.runtime.listContainers({ filter: { id } })).containers.length === 1 ? true : undefined,
      );
      const ms = await msOf(t.runtime.stopContainer({ containerId: id, timeout: 0n }));
      await first;
      holds(ms < 50_000, `${ms} ms`);
      same((await t.status(id)).exitCode, 137);
    }),
    row('joins', 'five equal calls at once are all success, one signal is sent', async (t) => {
      const { id, log } = await t.up(
        "trap 'echo got' TERM; trap 'exit 48' USR1; echo up; while :; do sleep 1000 & wait $!; done",
      );
      await Promise.all(
        Array.from(
          { length: 5 },
          async () => await t.runtime.stopContainer({ containerId: id, timeout: 1n }),
        ),
      );
      same(linesOf(log).filter(({ text }) => text === 'got').length, 1);
    }),
    row('joins', 'a client that cancels and comes again: the stop has gone on', async (t) => {
      const { id } = await t.up(trapping('TERM', 49));
      await t.runtime.stopContainer({ containerId: id, timeout: 30n }, { deadlineMs: 15 }).catch(() => {});
      same(await stopCode(t, id, 30n), 49);
    }),
    row(
      'joins',
      'after a passed deadline the error says where the stop stands, and the stop goes on',
      async (t) => {
        const { id } = await t.up(IGNORING);
        await refused(
          t.runtime.stopContainer({ containerId: id, timeout: 2n }, { deadlineMs: 300 }),
          'DEADLINE_EXCEEDED',
        );
        same((await t.ended(id)).exitCode, 137);
      },
    ),
    row('states', 'of a CREATED container, which then is EXITED', async (t) => {
      const id = await t.create();
      await t.runtime.stopContainer({ containerId: id, timeout: 10n });
      same((await t.status(id)).state, 2);
    }),
    row('states', 'of a CREATED container with another stop signal ends at once (K)', async (t) => {
      const id = await t.create({ stopSignal: Signal.SIGINT });
      const ms = await msOf(t.runtime.stopContainer({ containerId: id, timeout: 60n }));
      holds(ms < 30_000, `${ms} ms`);
    }),
    row('states', 'of an EXITED container is success and changes nothing', async (t) => {
      const { id, status: before } = await t.run({ command: ['sh', '-c', 'exit 9'] });
      await t.runtime.stopContainer({ containerId: id, timeout: 10n });
      const { exitCode, finishedAt } = await t.status(id);
      same({ exitCode, finishedAt }, { exitCode: 9, finishedAt: before.finishedAt });
    }),
    row('states', 'the exit code is there when it answers', async (t) => {
      const { id } = await t.up(trapping('TERM', 50));
      same(await stopCode(t, id, 30n), 50);
    }),
    row('processes', 'children of a session of their own are killed, too', async (t) => {
      const { id } = await t.up(
        '(setsid sh -c \'trap "" TERM; sleep 1000001\' &) ; echo up; while :; do sleep 1; done',
      );
      const inner = await childPids(t, id, '1000001');
      await t.runtime.stopContainer({ containerId: id, timeout: 0n });
      same(inner.filter(isAlive), []);
    }),
    row(
      'processes',
      'with a shared PID namespace, double-forked children are killed with their container (K)',
      async (t) => {
        const pod = await t.stage.shared('sharedpid');
        const { id } = await t.up(
          '(setsid sh -c \'trap "" TERM; sleep 1000002\' & ) ; echo up; while :; do sleep 1; done',
          sharedPid,
          pod,
        );
        const inner = await childPids(t, id, '1000002');
        holds(inner.length > 0, 'the child was not found');
        await t.runtime.stopContainer({ containerId: id, timeout: 0n });
        await eventually('the child is gone', () => (inner.some(isAlive) ? undefined : true));
      },
    ),
    row(
      'processes',
      'with a shared PID namespace, the children of a container that ended by itself are killed',
      async (t) => {
        const pod = await t.stage.shared('sharedpid');
        const { id } = await t.up(
          "trap 'exit 0' USR1; (setsid sleep 1000003 &) ; echo up; while :; do sleep 1000 & wait $!; done",
          { ...sharedPid, stopSignal: Signal.SIGUSR1 },
          pod,
        );
        const inner = await childPids(t, id, '1000003');
        holds(inner.length > 0, 'the child was not found');
        await t.runtime.stopContainer({ containerId: id, timeout: 20n });
        await eventually('the child is gone', () => (inner.some(isAlive) ? undefined : true));
      },
    ),
    row('processes', 'other containers of the pod go on', async (t) => {
      const pod = await t.stage.shared('sharedpid');
      const [one, two] = await Promise.all([t.start(sharedPid, pod), t.start(sharedPid, pod)]);
      await t.runtime.stopContainer({ containerId: one, timeout: 0n });
      same((await t.status(two)).state, 1);
      matches(await t.exec(two, 'echo here'), /here/u);
    }),
    row('processes', 'a stopped (SIGSTOP) process ends all the same', async (t) => {
      const { id } = await t.up(trapping('TERM', 51));
      process.kill(await t.pid(id), 'SIGSTOP');
      const code = await stopCode(t, id, 1n);
      same([137, 51].includes(code), true);
    }),
    row('log', 'what a container says while it ends is in its log', async (t) => {
      const { id, log } = await t.up(
        "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 1000 & wait $!; done",
      );
      await t.runtime.stopContainer({ containerId: id, timeout: 30n });
      same(linesOf(log).at(-1)?.text, 'bye');
    }),
  ],
};

/** The host's pids of processes with this word in their command line, of the container's cgroup. */
async function childPids(t: Trial, id: string, word: string): Promise<number[]> {
  const pid = await t.pid(id);
  return await eventually('the child', () => {
    const found = processesLike(pid, word);
    return found.length === 0 ? undefined : found;
  });
}
