// ExecSync, and the URLs of Exec, Attach and PortForward.
import { holds, matches, refused, same } from '../expect.ts';
import { cgroupOf, isAlive, isV1, isWithin, namespaceOf, processesLike, statusOf } from '../host.ts';
import { type Group, row } from '../row.ts';
import { resources, security, type Trial } from '../trial.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { eventually } from '../../support/eventually.ts';

const exec = async (t: Trial, containerId: string, script: string, timeout = 20n, deadlineMs = 30_000) =>
  await t.runtime.execSync({ containerId, cmd: ['sh', '-c', script], timeout }, { deadlineMs });
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

const gone = async (pid: number, word: string): Promise<true> =>
  await eventually(`no process with ${word}`, () =>
    processesLike(pid, word).length === 0 ? true : undefined,
  );
const MIB = 1024 * 1024;
const streams = { stdin: false, stdout: true, stderr: true, tty: false };

export const execSync: Group = {
  title: 'ExecSync, Exec, Attach, PortForward',
  perHandler: true,
  rows: [
    row('ExecSync', 'stdout, stderr and exit code, each its own', async (t) => {
      const { stdout, stderr, exitCode } = await exec(t, await t.start(), 'echo out; echo err >&2; exit 3');
      same([text(stdout), text(stderr), exitCode], ['out\n', 'err\n', 3]);
    }),
    row('ExecSync', 'binary output comes byte for byte', async (t) => {
      const { stdout } = await exec(t, await t.start(), 'printf "\\000\\377\\n\\r\\200"');
      same([...stdout], [0, 255, 10, 13, 128]);
    }),
    row('ExecSync', 'stdin is at its end', async (t) =>
      same(text((await exec(t, await t.start(), 'cat; echo over')).stdout), 'over\n'),
    ),
    row('ExecSync', 'a command that a signal ends: 128 and its number', async (t) =>
      same((await exec(t, await t.start(), 'kill -9 $$')).exitCode, 137),
    ),
    row(
      'ExecSync',
      'a program that is not there: an error or 126, 127, and the container goes on',
      async (t) => {
        const containerId = await t.start();
        const code = await t.runtime.execSync({ containerId, cmd: ['/no/such/program'], timeout: 5n }).then(
          ({ exitCode }) => exitCode,
          () => 127,
        );
        holds(code === 127 || code === 126, String(code));
        same((await t.status(containerId)).state, 1);
      },
    ),
    row('ExecSync', 'an empty command is InvalidArgument', async (t) => {
      const containerId = await t.start();
      await refused(t.runtime.execSync({ containerId, cmd: [] }), 'INVALID_ARGUMENT');
      await refused(t.runtime.execSync({ containerId, cmd: [''] }), 'INVALID_ARGUMENT');
    }),
    row(
      'ExecSync',
      'a negative timeout is InvalidArgument',
      async (t) => await refused(exec(t, await t.start(), 'true', -1n), 'INVALID_ARGUMENT'),
    ),
    row(
      'ExecSync',
      'in a CREATED container is FailedPrecondition',
      async (t) => await refused(exec(t, await t.create(), 'true'), 'FAILED_PRECONDITION'),
    ),
    row(
      'ExecSync',
      'in an EXITED container is FailedPrecondition',
      async (t) =>
        await refused(exec(t, (await t.run({ command: ['true'] })).id, 'true'), 'FAILED_PRECONDITION'),
    ),
    row('ExecSync', 'timeout 0 means no timeout', async (t) =>
      same(text((await exec(t, await t.start(), 'sleep 1; echo done', 0n)).stdout), 'done\n'),
    ),
    row('timeout', 'DeadlineExceeded, and the process is gone', async (t) => {
      const id = await t.start();
      await refused(exec(t, id, 'sleep 1000011', 1n), 'DEADLINE_EXCEEDED');
      await gone(await t.pid(id), '1000011');
    }),
    row('timeout', 'a process that ignores TERM is gone, too (K)', async (t) => {
      const id = await t.start();
      await refused(exec(t, id, 'trap "" TERM; sleep 1000012 & wait; : 1000012', 1n), 'DEADLINE_EXCEEDED');
      await gone(await t.pid(id), '1000012');
    }),
    row('timeout', 'children in a session of their own are gone, too (K)', async (t) => {
      const id = await t.start();
      await refused(exec(t, id, 'setsid sh -c "sleep 1000013; :" & sleep 1000013', 1n), 'DEADLINE_EXCEEDED');
      await gone(await t.pid(id), '1000013');
    }),
    row('timeout', "the container's own processes go on", async (t) => {
      const { id } = await t.up('sleep 1000014 & echo up; wait');
      await refused(exec(t, id, 'sleep 1000015', 1n), 'DEADLINE_EXCEEDED');
      holds(processesLike(await t.pid(id), '1000014').length > 0, 'killed with it');
    }),
    row(
      'background',
      'a child that keeps stdout does not hold the answer past the timeout (K)',
      async (t) => {
        const id = await t.start();
        const startedAt = performance.now();
        await exec(t, id, 'sleep 1000016 & echo here', 2n, EVENT_MS).catch(() => undefined);
        holds(performance.now() - startedAt < EVENT_MS / 2, 'it did');
        same((await t.status(id)).state, 1);
      },
    ),
    row('cancel', 'when the client goes, the process goes (K)', async (t) => {
      const id = await t.start();
      const pid = await t.pid(id);
      const client = new AbortController();
      const call = t.runtime.execSync(
        { containerId: id, cmd: ['sh', '-c', 'sleep 1000017; :'], timeout: 0n },
        { signal: client.signal },
      );
      await eventually('the process', () => (processesLike(pid, '1000017').length > 0 ? true : undefined));
      client.abort();
      await refused(call, 'CANCELLED');
      await gone(pid, '1000017');
    }),
    row('cancel', "when the client's deadline passes, the process goes", async (t) => {
      const id = await t.start();
      await refused(exec(t, id, 'sleep 1000018; :', 0n, 1_000), 'DEADLINE_EXCEEDED');
      await gone(await t.pid(id), '1000018');
    }),
    row('stop', 'stopping the container ends a running ExecSync', async (t) => {
      const id = await t.start();
      const pid = await t.pid(id);
      const call = exec(t, id, 'sleep 1000019; :', 0n, 60_000).then(
        () => {},
        () => {},
      );
      await eventually('the process', () => (processesLike(pid, '1000019').length > 0 ? true : undefined));
      await t.runtime.stopContainer({ containerId: id, timeout: 0n });
      await call;
    }),
    row('output', '1 MiB of stdout comes whole', async (t) =>
      same((await exec(t, await t.start(), 'head -c 1048576 /dev/zero')).stdout.length, MIB),
    ),
    row('output', '20 MiB are capped below 16 MiB, without an error (K)', async (t) => {
      const { stdout, exitCode } = await exec(
        t,
        await t.start(),
        'head -c 20971520 /dev/zero; exit 5',
        60n,
        60_000,
      );
      same(exitCode, 5);
      holds(stdout.length <= 16 * MIB && stdout.length > 15 * MIB, String(stdout.length));
    }),
    row('output', 'stderr is not lost when stdout is capped (K)', async (t) => {
      const { stderr } = await exec(
        t,
        await t.start(),
        'head -c 17825792 /dev/zero; echo done >&2',
        60n,
        60_000,
      );
      matches(text(stderr), /done/u);
    }),
    row('inside', "the container's user, groups, working directory and environment", async (t) => {
      const id = await t.start({
        workingDir: '/tmp',
        envs: [{ key: 'A', value: Buffer.from('b') }],
        ...security({ runAsUser: { value: 33n }, supplementalGroups: [77n] }),
      });
      same(await t.exec(id, 'id -u; id -G; pwd; echo $A'), '33\n33 77\n/tmp\nb');
    }),
    row('inside', "the container's namespaces and cgroup", async (t) => {
      const id = await t.start();
      const pid = await t.pid(id);
      const call = exec(t, id, 'sleep 1000020; :', 5n).catch(() => undefined);
      const inner = await eventually('the process', () => processesLike(pid, '1000020')[0]);
      same(
        ['mnt', 'pid', 'ipc', 'net', 'uts'].filter(
          (kind) => namespaceOf(inner, kind) !== namespaceOf(pid, kind),
        ),
        [],
      );
      holds(isWithin(inner, pid, isV1 ? 'pids' : ''), `it is in ${cgroupOf(inner, isV1 ? 'pids' : '')}`);
      process.kill(inner, 'SIGKILL');
      await call;
    }),
    row('inside', 'no more capabilities than the container', async (t) => {
      const id = await t.start(security({ capabilities: { dropCapabilities: ['ALL'] } }));
      matches(await t.exec(id, 'cat /proc/self/status'), /^CapEff:\s*0+$/mu);
      same(statusOf(await t.pid(id), 'CapBnd'), '0000000000000000');
    }),
    row('many', 'twenty at once, each with its own answer', async (t) => {
      const id = await t.start();
      const all = await Promise.all(
        Array.from({ length: 20 }, async (_none, at) =>
          text((await exec(t, id, `echo ${at}`)).stdout).trim(),
        ),
      );
      same(
        all,
        all.map((_text, at) => String(at)),
      );
    }),
    row('many', 'leave no process behind', async (t) => {
      const id = await t.start();
      await Promise.all(Array.from({ length: 5 }, async () => await exec(t, id, 'true')));
      // sleep, this shell, ls and wc
      holds(
        Number(await t.exec(id, 'ls -d /proc/[0-9]* | wc -l')) <= 4,
        'there are more than sleep, sh, ls and wc',
      );
    }),
    row('Exec', 'gives a URL', async (t) =>
      matches(
        (await t.runtime.exec({ containerId: await t.start(), cmd: ['true'], ...streams })).url,
        /^https?:\/\/\S+\/\S+$/u,
      ),
    ),
    row('Exec', 'two calls give two URLs', async (t) => {
      const containerId = await t.start();
      const urls = await Promise.all(
        [0, 1].map(async () => (await t.runtime.exec({ containerId, cmd: ['true'], ...streams })).url),
      );
      same(new Set(urls).size, 2);
    }),
    row('Exec', 'in a CREATED or EXITED container is FailedPrecondition (K)', async (t) => {
      await refused(
        t.runtime.exec({ containerId: await t.create(), cmd: ['true'], ...streams }),
        'FAILED_PRECONDITION',
      );
      await refused(
        t.runtime.exec({ containerId: (await t.run({ command: ['true'] })).id, cmd: ['true'], ...streams }),
        'FAILED_PRECONDITION',
      );
    }),
    row(
      'Exec',
      'no command is InvalidArgument',
      async (t) =>
        await refused(
          t.runtime.exec({ containerId: await t.start(), cmd: [], ...streams }),
          'INVALID_ARGUMENT',
        ),
    ),
    row(
      'Exec',
      'no stream is InvalidArgument',
      async (t) =>
        await refused(t.runtime.exec({ containerId: await t.start(), cmd: ['true'] }), 'INVALID_ARGUMENT'),
    ),
    row('Exec', 'stderr beside a terminal is InvalidArgument', async (t) => {
      await refused(
        t.runtime.exec({ containerId: await t.start(), cmd: ['true'], ...streams, tty: true }),
        'INVALID_ARGUMENT',
      );
    }),
    row('Attach', 'gives a URL', async (t) =>
      matches((await t.runtime.attach({ containerId: await t.start(), ...streams })).url, /^https?:\/\//u),
    ),
    row('Attach', 'to an EXITED container is FailedPrecondition (K)', async (t) => {
      await refused(
        t.runtime.attach({ containerId: (await t.run({ command: ['true'] })).id, ...streams }),
        'FAILED_PRECONDITION',
      );
    }),
    row('Attach', 'a terminal to a container without one is InvalidArgument', async (t) => {
      await refused(
        t.runtime.attach({
          containerId: await t.start(),
          stdin: false,
          stdout: true,
          stderr: false,
          tty: true,
        }),
        'INVALID_ARGUMENT',
      );
    }),
    row('PortForward', 'gives a URL', async (t) =>
      matches(
        (await t.runtime.portForward({ podSandboxId: (await t.plain()).id, port: [80] })).url,
        /^https?:\/\//u,
      ),
    ),
    row('PortForward', 'an invalid port is InvalidArgument', async (t) => {
      const { id: podSandboxId } = await t.plain();
      for (const port of [0, -1, 65_536])
        await refused(t.runtime.portForward({ podSandboxId, port: [port] }), 'INVALID_ARGUMENT');
    }),
    row('URLs', 'a token that nobody was given is 404', async (t) => {
      const { url } = await t.runtime.exec({ containerId: await t.start(), cmd: ['true'], ...streams });
      same((await fetch(url.replace(/[^/]+$/u, 'AAAAAAAAAAAAAAAAAAAAAAAA'))).status, 404);
    }),
    row('memory', "ExecSync counts in the container's memory limit", async (t) => {
      const id = await t.start(resources({ memoryLimitInBytes: BigInt(24 * MIB) }));
      const { exitCode } = await exec(t, id, 'x=a; while :; do x=$x$x$x$x; done', 30n);
      same(exitCode, 137);
      await eventually('the status of the container', async () =>
        (await t.status(id)).state >= 1 ? true : undefined,
      );
    }),
    row('stop', 'no process of ExecSync outlives its container', async (t) => {
      const { id } = await t.up('echo up; while :; do sleep 1; done');
      const pid = await t.pid(id);
      await exec(t, id, 'setsid sleep 1000021 >/dev/null 2>&1 & :');
      const inner = processesLike(pid, '1000021');
      holds(inner.length > 0, 'it did not start');
      await t.runtime.stopContainer({ containerId: id, timeout: 0n });
      same(inner.filter(isAlive), []);
    }),
  ],
};
