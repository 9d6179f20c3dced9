// The whole life of a pod with two containers, as a person with crictl sees it.
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { containerJson, Crictl, describePods, untilHolds } from '../support/crictl.ts';
import { untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';

describePods('a pod with two containers', () => {
  let world: World;
  let crictl: Crictl;
  beforeAll(async () => {
    world = await makeWorld({ name: 'life' });
    crictl = new Crictl(world);
  });
  afterAll(async () => await world.close());

  test('Version, Status and RuntimeConfig answer before there is anything', async () => {
    expect(await crictl.ok('version')).toMatch(
      /RuntimeName: +troupe\nRuntimeVersion: +\d+\.\d+\.\d+\nRuntimeApiVersion: +v1/,
    );
    const { status } = await crictl.json<{ status: { conditions: { type: string; status: boolean }[] } }>(
      'info',
    );
    expect(status.conditions).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: 'RuntimeReady', status: true }),
        expect.objectContaining({ type: 'NetworkReady', status: true }),
      ]),
    );
    expect(await crictl.ok('runtime-config')).toContain('CGROUPFS');
  });

  test('pull, run, create, start, logs, exec, exit codes, stop and remove work', async () => {
    const { imageName } = world;
    await crictl.ok('pull', imageName);
    expect(await crictl.ok('images')).toContain(imageName.replace(/:1$/, ''));
    const pod = await crictl.runPod('two', { labels: { app: 'demo' } });
    const { status } = await crictl.json<{ status: { state: string; network: { ip: string } } }>(
      'inspectp',
      pod.id,
    );
    expect(status).toMatchObject({
      state: 'SANDBOX_READY',
      network: { ip: expect.stringMatching(/^10\./) as string },
    });

    const server = await crictl.runContainer(
      pod,
      containerJson('server', imageName, untilTermed(7), {
        envs: [{ key: 'WHO', value: Buffer.from('crictl').toString('base64') }],
        annotations: { note: 'kept' },
      }),
    );
    const job = await crictl.runContainer(
      pod,
      containerJson('job', imageName, ['sh', '-c', 'echo to stdout; echo to stderr >&2; exit 3']),
    );
    await untilHolds(join(pod.logs, 'server.log'), 'up');
    await untilHolds(join(pod.logs, 'job.log'), 'to stderr');
    const ended = await crictl.container(job).then(async function poll(seen): Promise<typeof seen> {
      return seen.status.state === 'CONTAINER_EXITED' ? seen : await crictl.container(job).then(poll);
    });
    expect(ended.status).toMatchObject({ exitCode: 3, reason: 'Error', logPath: join(pod.logs, 'job.log') });
    expect(Date.parse(ended.status.finishedAt)).toBeGreaterThanOrEqual(Date.parse(ended.status.startedAt));
    expect(await crictl.ok('logs', job)).toBe('to stdout');
    expect(await readFile(join(pod.logs, 'job.log'), 'utf8')).toMatch(
      /^\S+ stdout F to stdout\n\S+ stderr F to stderr\n$/m,
    );

    await seesWhatRuns(crictl, pod.id, { server, job });

    await crictl.ok('stop', '--timeout', '10', server);
    expect((await crictl.container(server)).status).toMatchObject({ state: 'CONTAINER_EXITED', exitCode: 7 });
    // crictl itself removes logs by default, as the kubelet does in its own time; the daemon never does.
    await crictl.ok('rm', '--keep-logs', server, job);
    expect(await crictl.ok('ps', '-aq')).toBe('');
    await crictl.ok('stopp', pod.id);
    expect((await crictl.json<{ status: { state: string } }>('inspectp', pod.id)).status.state).toBe(
      'SANDBOX_NOTREADY',
    );
    await crictl.ok('rmp', pod.id);
    expect(await crictl.ok('pods', '-q')).toBe('');
    // The log directory is the client's.
    expect(await readFile(join(pod.logs, 'job.log'), 'utf8')).toContain('to stdout');
  });

  test('removing a running pod stops and removes its containers', async () => {
    const pod = await crictl.runPod('whole');
    await crictl.runContainer(pod, containerJson('server', world.imageName, untilTermed(0)));
    await crictl.ok('rmp', '--force', pod.id);
    expect(await crictl.ok('ps', '-aq')).toBe('');
  });

  test('a log that was moved away and reopened is written to a new file, and no line is lost', async () => {
    const pod = await crictl.runPod('log');
    const id = await crictl.runContainer(
      pod,
      containerJson('c', world.imageName, [
        'sh',
        '-c',
        'echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two; sleep 3600',
      ]),
    );
    const log = join(pod.logs, 'c.log');
    await untilHolds(log, 'one');
    await rename(log, `${log}.1`);
    await world.client.runtime.reopenContainerLog({ containerId: id });
    await crictl.ok('exec', '--sync', id, 'touch', '/tmp/go');
    await untilHolds(log, 'two');
    expect(await readFile(`${log}.1`, 'utf8')).toMatch(/stdout F one\n$/);
    expect(await readFile(log, 'utf8')).toMatch(/^\S+ stdout F two\n$/);
    await crictl.ok('rmp', '--force', pod.id);
  });

  test('an image is removed by its name', async () => {
    await crictl.ok('rmi', world.imageName);
    expect(await crictl.ok('images', '-q')).toBe('');
  });

  test('nothing is left on the machine', async () => {
    expect(await world.leftovers()).toEqual([]);
  });
});

/** Lists and execs while the server runs and the job has ended. */
async function seesWhatRuns(
  crictl: Crictl,
  podId: string,
  { server, job }: Readonly<Record<'server' | 'job', string>>,
): Promise<void> {
  expect((await crictl.container(server)).status.state).toBe('CONTAINER_RUNNING');
  expect((await crictl.ok('ps', '-q', '--no-trunc')).split('\n')).toEqual([server]);
  expect((await crictl.ok('ps', '-aq', '--no-trunc')).split('\n').toSorted()).toEqual(
    [server, job].toSorted(),
  );
  expect(await crictl.ok('pods', '-q', '--no-trunc', '--label', 'app=demo')).toBe(podId);
  expect(await crictl.ok('exec', '--sync', server, 'sh', '-c', 'hostname; cat /proc/1/comm')).toBe('two\nsh');
  expect(await crictl.fails('exec', '--sync', server, 'sh', '-c', 'echo why >&2; exit 9')).toMatch(
    /exit code 9|9: why/,
  );
  expect(await crictl.fails('exec', '--sync', job, 'true')).toMatch(/exited/);
}
