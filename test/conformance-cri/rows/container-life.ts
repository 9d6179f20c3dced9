// A container from CreateContainer to RemoveContainer: states, repeats, joins, exit codes and reasons.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { holds, refused, same } from '../expect.ts';
import { isAlive } from '../host.ts';
import { type Group, row } from '../row.ts';
import type { ContainerConfig } from '../stage.ts';
import { resources, sh, type Trial } from '../trial.ts';
import { eventually } from '../../support/eventually.ts';

const create = async (
  t: Trial,
  config: ContainerConfig,
  deadlineMs?: number,
  signal?: AbortSignal,
): Promise<string> => {
  const { id: podSandboxId, config: sandboxConfig } = await t.plain();
  const options = {
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(signal === undefined ? {} : { signal }),
  };
  return t.keepContainer(
    (await t.runtime.createContainer({ podSandboxId, config, sandboxConfig }, options)).containerId,
  );
};

async function idsOf(t: Trial, config: ContainerConfig): Promise<string[]> {
  return (await t.runtime.listContainers({ filter: { labelSelector: { ...config.labels } } })).containers.map(
    ({ id }) => id,
  );
}

const state = async (t: Trial, id: string): Promise<ContainerState> => (await t.status(id)).state;

/** `[exit code, reason]` of a shell's end. */
async function endOf(t: Trial, script: string, change: ContainerConfig = {}): Promise<[number, string]> {
  const { status } = await t.run({ ...change, ...sh(script) });
  return [status.exitCode, status.reason];
}

const HOG = 'x=a; while :; do x=$x$x$x$x; done';
const MIB = 1024n * 1024n;

export const containerLife: Group = {
  title: 'Container: life, repeats, joins',
  perHandler: true,
  rows: [
    row('CreateContainer', 'gives a CREATED container whose process has not begun', async (t) => {
      const dir = await t.directory();
      const id = await t.create({
        command: ['touch', '/mnt/began'],
        mounts: [{ containerPath: '/mnt', hostPath: dir }],
      });
      same(await state(t, id), ContainerState.CONTAINER_CREATED);
      holds(!existsSync(join(dir, 'began')), 'it has begun');
      await t.runtime.startContainer({ containerId: id });
      await t.ended(id);
      holds(existsSync(join(dir, 'began')), 'it never began');
    }),
    row('CreateContainer', 'two equal calls at once give one container (K)', async (t) => {
      const config = await t.container();
      const [one, two] = await Promise.all([create(t, config), create(t, config)]);
      same(one, two);
      same((await idsOf(t, config)).length, 1);
    }),
    row(
      'CreateContainer',
      'a client that gives up at once and asks again gets one container (K)',
      async (t) => {
        const config = await t.container();
        await refused(create(t, config, 5), ['DEADLINE_EXCEEDED', 'CANCELLED']);
        const id = await create(t, config);
        same(await idsOf(t, config), [id]);
      },
    ),
    row(
      'CreateContainer',
      'a client that cancels and asks again, with a new termination log, gets one container',
      async (t) => {
        const config = await t.container({
          mounts: [{ containerPath: '/dev/termination-log', hostPath: join(await t.directory(), 'one') }],
        });
        const gone = new AbortController();
        const first = create(t, config, undefined, gone.signal);
        setImmediate(() => gone.abort());
        await refused(first, 'CANCELLED');
        const id = await create(t, {
          ...config,
          mounts: [{ containerPath: '/dev/termination-log', hostPath: join(await t.directory(), 'two') }],
        });
        same(await idsOf(t, config), [id]);
      },
    ),
    row('CreateContainer', 'the name of a running container is AlreadyExists', async (t) => {
      const config = await t.container();
      await t.runtime.startContainer({ containerId: await create(t, config) });
      await refused(create(t, config), 'ALREADY_EXISTS');
    }),
    row(
      'CreateContainer',
      'the name of an ended container is AlreadyExists; the next attempt is another one',
      async (t) => {
        const config = await t.container({ command: ['true'] });
        const id = await create(t, config);
        await t.runtime.startContainer({ containerId: id });
        await t.ended(id);
        await refused(create(t, config), 'ALREADY_EXISTS');
        holds(
          (await create(t, { ...config, metadata: { ...config.metadata, attempt: 1 } })) !== id,
          'the same id',
        );
      },
    ),
    row('CreateContainer', 'ten at once in one pod', async (t) => {
      const ids = await Promise.all(Array.from({ length: 10 }, async () => await t.start()));
      for (const id of ids) same(await state(t, id), ContainerState.CONTAINER_RUNNING);
    }),
    row('RemoveContainer', 'frees the name', async (t) => {
      const config = await t.container();
      const containerId = await create(t, config);
      await t.runtime.removeContainer({ containerId });
      holds((await create(t, config)) !== containerId, 'the same id');
    }),
    row('StartContainer', 'gives RUNNING; started_at is after created_at, finished_at is 0', async (t) => {
      const {
        state: now,
        createdAt,
        startedAt,
        finishedAt,
        exitCode,
        reason,
      } = await t.status(await t.start());
      same(
        { now, finishedAt, exitCode, reason },
        { now: ContainerState.CONTAINER_RUNNING, finishedAt: 0n, exitCode: 0, reason: '' },
      );
      holds(createdAt > 0n && startedAt >= createdAt, `${createdAt} ${startedAt}`);
    }),
    row('ContainerStatus', 'CREATED: started_at and finished_at are 0', async (t) => {
      const { startedAt, finishedAt } = await t.status(await t.create());
      same([startedAt, finishedAt], [0n, 0n]);
    }),
    row('ContainerStatus', 'EXITED: finished_at is after started_at', async (t) => {
      const {
        status: { startedAt, finishedAt },
      } = await t.run({ command: ['true'] });
      holds(finishedAt >= startedAt && startedAt > 0n, `${startedAt} ${finishedAt}`);
    }),
    row('StartContainer', 'of a running one is FailedPrecondition, and it goes on', async (t) => {
      const containerId = await t.start();
      await refused(t.runtime.startContainer({ containerId }), 'FAILED_PRECONDITION');
      same(await state(t, containerId), ContainerState.CONTAINER_RUNNING);
    }),
    row('StartContainer', 'of an ended one is FailedPrecondition', async (t) => {
      const { id: containerId } = await t.run({ command: ['true'] });
      await refused(t.runtime.startContainer({ containerId }), 'FAILED_PRECONDITION');
    }),
    row('StartContainer', 'five at once: it runs once (F03)', async (t) => {
      const dir = await t.directory();
      const containerId = await t.create({
        ...sh('echo x >> /mnt/runs; sleep 1000000'),
        mounts: [{ containerPath: '/mnt', hostPath: dir }],
      });
      const all = await Promise.allSettled(
        Array.from({ length: 5 }, async () => await t.runtime.startContainer({ containerId })),
      );
      holds(
        all.some(({ status }) => status === 'fulfilled'),
        'none was a success',
      );
      same(
        await eventually('the line', async () =>
          existsSync(join(dir, 'runs')) ? await t.exec(containerId, 'cat /mnt/runs') : undefined,
        ),
        'x',
      );
    }),
    row(
      'StartContainer',
      'a program that the kernel refuses never counts as a success: StartError, or an end with a code that is not 0',
      async (t) => {
        const dir = await t.directory();
        writeFileSync(join(dir, 'bad'), '#!/no/such/interpreter\n', { mode: 0o755 });
        const containerId = await t.create({
          command: ['/mnt/bad'],
          mounts: [{ containerPath: '/mnt', hostPath: dir }],
        });
        // runc reports it only to the container's log: it has released its init when that fails
        const outcome = await t.runtime.startContainer({ containerId }).then(
          () => 'Error',
          () => 'StartError',
        );
        const { reason, exitCode, finishedAt } = await t.ended(containerId);
        same(reason, outcome);
        holds(exitCode !== 0 && finishedAt > 0n, `${exitCode} ${finishedAt}`);
      },
    ),
    row('CreateContainer', 'a missing command is named in the error, at create or at start', async (t) => {
      const config = await t.container({ command: ['/no/such/program'] });
      const { id: podSandboxId } = await t.plain();
      const both = async (): Promise<void> => {
        const { containerId } = await t.runtime.createContainer({ podSandboxId, config });
        await t.runtime.startContainer({ containerId: t.keepContainer(containerId) });
      };
      await refused(
        both(),
        ['FAILED_PRECONDITION', 'INVALID_ARGUMENT', 'NOT_FOUND', 'UNKNOWN'],
        /no\/such\/program/u,
      );
    }),
    row('exit_code', '0: Completed', async (t) => same(await endOf(t, 'exit 0'), [0, 'Completed'])),
    row('exit_code', '1: Error', async (t) => same(await endOf(t, 'exit 1'), [1, 'Error'])),
    row('exit_code', '255: Error', async (t) => same(await endOf(t, 'exit 255'), [255, 'Error'])),
    row('exit_code', "137 by the program's own word is no OOM", async (t) =>
      same(await endOf(t, 'exit 137'), [137, 'Error']),
    ),
    ...(
      [
        ['TERM', 15],
        ['HUP', 1],
        ['USR1', 10],
        ['ABRT', 6],
        ['SEGV', 11],
      ] as const
    ).map(([signal, number]) =>
      row('exit_code', `a first process that SIG${signal} ends: ${128 + number}`, async (t) => {
        // in the pod's PID namespace it is not process 1, which the kernel shields from its own signals
        const pod = await t.stage.shared('sharedpid');
        const { status } = await t.run(
          {
            ...sh(`kill -${signal} $$; sleep 5`),
            linux: { securityContext: { namespaceOptions: { pid: 0, network: 2 } } },
          },
          pod,
        );
        same([status.exitCode, status.reason], [128 + number, 'Error']);
      }),
    ),
    row('reason', 'OOMKilled, with 137, when the kernel kills for memory', async (t) =>
      same(await endOf(t, HOG, resources({ memoryLimitInBytes: 20n * MIB })), [137, 'OOMKilled']),
    ),
    row(
      'reason',
      'OOMKilled does not stick: a child was killed, the first process ends with 0 (K)',
      async (t) => {
        same(await endOf(t, `sh -c '${HOG}'; exit 0`, resources({ memoryLimitInBytes: 20n * MIB })), [
          0,
          'Completed',
        ]);
      },
    ),
    row(
      'reason',
      'a container stopped by KILL long after a child was killed for memory is not OOMKilled',
      async (t) => {
        const { id } = await t.up(
          `sh -c '${HOG}'; echo up; while :; do sleep 1; done`,
          resources({ memoryLimitInBytes: 20n * MIB }),
        );
        await t.runtime.stopContainer({ containerId: id, timeout: 0n });
        const { exitCode, reason } = await t.status(id);
        same([exitCode, reason], [137, 'Error']);
      },
    ),
    row(
      'reason',
      'a container without a limit of its own beside one that was OOM-killed is Error on KILL',
      async (t) => {
        const { id } = await t.up('echo up; while :; do sleep 1; done');
        await t.runtime.stopContainer({ containerId: id, timeout: 0n });
        const { exitCode, reason } = await t.status(id);
        same([exitCode, reason], [137, 'Error']);
      },
    ),
    row('RemoveContainer', 'of a running one kills it', async (t) => {
      const containerId = await t.start();
      const pid = await t.pid(containerId);
      await t.runtime.removeContainer({ containerId });
      same(isAlive(pid), false);
      await refused(t.runtime.containerStatus({ containerId }), 'NOT_FOUND');
    }),
    row('RemoveContainer', 'of a CREATED one', async (t) => {
      const containerId = await t.create();
      await t.runtime.removeContainer({ containerId });
      same((await t.runtime.listContainers({ filter: { id: containerId } })).containers, []);
    }),
    row('RemoveContainer', 'three times in a row is success', async (t) => {
      const containerId = await t.start();
      for (let times = 0; times < 3; times += 1) await t.runtime.removeContainer({ containerId });
    }),
    row('RemoveContainer', 'five at once are all success (K)', async (t) => {
      const containerId = await t.start();
      await Promise.all(
        Array.from({ length: 5 }, async () => await t.runtime.removeContainer({ containerId })),
      );
    }),
    row('RemoveContainer', 'at once with StopContainer: both are success', async (t) => {
      const containerId = await t.start();
      await Promise.all([
        t.runtime.stopContainer({ containerId, timeout: 1n }),
        t.runtime.removeContainer({ containerId }),
      ]);
    }),
    row('RemoveContainer', 'at once with StartContainer: the remove is success, nothing runs', async (t) => {
      const containerId = await t.create();
      const [, removed] = await Promise.allSettled([
        t.runtime.startContainer({ containerId }),
        t.runtime.removeContainer({ containerId }),
      ]);
      same(removed.status, 'fulfilled');
      await refused(t.runtime.containerStatus({ containerId }), 'NOT_FOUND');
    }),
    row('RemoveContainer', 'leaves the log, which the kubelet owns', async (t) => {
      const { logs } = await t.plain();
      const config = await t.container({ command: ['echo', 'kept'] });
      const containerId = await create(t, config);
      await t.runtime.startContainer({ containerId });
      await t.ended(containerId);
      await t.runtime.removeContainer({ containerId });
      holds(existsSync(join(logs, config.logPath)), 'it is gone');
    }),
    row('RemoveContainer', 'a client that cancels: the container goes all the same', async (t) => {
      const containerId = await t.start();
      const gone = new AbortController();
      const call = t.runtime.removeContainer({ containerId }, { signal: gone.signal });
      setImmediate(() => gone.abort());
      await call.catch(() => {});
      await t.runtime.removeContainer({ containerId });
      await refused(t.runtime.containerStatus({ containerId }), 'NOT_FOUND');
    }),
    row('ContainerStatus', 'a process that ends by itself is EXITED soon', async (t) => {
      const id = await t.start(sh('exit 4'));
      same(
        (
          await eventually('EXITED', async () =>
            (await state(t, id)) === ContainerState.CONTAINER_EXITED ? await t.status(id) : undefined,
          )
        ).exitCode,
        4,
      );
    }),
  ],
};
