// What a daemon that is killed or asked to end leaves alone, and what it knows when it is back.
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { containerJson, Crictl, describePods, untilHolds } from '../support/crictl.ts';
import { untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';

const terminated = injects('F12', 'SIGTERM of the daemon with a running container');
const killedInGrace = injects('F04', 'SIGKILL of the daemon within the grace of a stop');

/** Ends with this code as soon as the file is there. */
const untilReleased = (exitCode: number): string[] => [
  'sh',
  '-c',
  `echo up; while [ ! -e /shared/${exitCode} ]; do sleep 0.02; done; exit ${exitCode}`,
];

/** Field 22 of /proc/pid/stat: with the pid it names one process. */
const startOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19] ?? '';

describePods('a daemon that ends', () => {
  let world: World;
  let crictl: Crictl;
  beforeAll(async () => {
    world = await makeWorld({ name: 'again' });
    crictl = new Crictl(world);
    await world.pull();
  });
  afterAll(async () => await world.close());

  const mounts = (): object => ({
    mounts: [{ container_path: '/shared', host_path: world.logs, readonly: true }],
  });

  test('after SIGKILL running containers are untouched, exits meanwhile are known with their codes, logs have no gap', async () => {
    const pod = await crictl.runPod('killed');
    const lasting = await crictl.runContainer(pod, containerJson('lasting', world.imageName, untilTermed(7)));
    const ending = await crictl.runContainer(
      pod,
      containerJson('ending', world.imageName, untilReleased(42), mounts() as { mounts: object[] }),
    );
    const created = await crictl.ok(
      'create',
      pod.id,
      await crictl.file(containerJson('created', world.imageName, untilTermed(0))),
      pod.file,
    );
    await untilHolds(join(pod.logs, 'lasting.log'), 'up');
    await untilHolds(join(pod.logs, 'ending.log'), 'up');
    const before = await crictl.container(lasting);
    const pid = before.info.pid ?? 0;
    const started = startOf(pid);
    const { status: podBefore } = await crictl.json<{ status: object }>('inspectp', pod.id);

    await world.instance.kill();
    await writeFile(join(world.logs, '42'), '');
    // What runc exec would show: the process is gone while no daemon runs.
    await until(() => Promise.resolve(readExit(ending) !== undefined));
    await world.instance.start();

    const after = await crictl.container(lasting);
    expect(after.status).toEqual(before.status);
    expect(after.info.pid).toBe(pid);
    expect(startOf(pid)).toBe(started);
    expect((await crictl.container(ending)).status).toMatchObject({
      state: 'CONTAINER_EXITED',
      exitCode: 42,
    });
    expect((await crictl.container(created)).status.state).toBe('CONTAINER_CREATED');
    expect((await crictl.json<{ status: object }>('inspectp', pod.id)).status).toEqual(podBefore);
    expect(await crictl.ok('exec', '--sync', lasting, 'echo', 'still')).toBe('still');
    await crictl.ok('start', created);
    await crictl.ok('stop', '--timeout', '10', lasting);
    expect((await crictl.container(lasting)).status).toMatchObject({
      state: 'CONTAINER_EXITED',
      exitCode: 7,
    });
    await crictl.ok('rmp', '--force', pod.id);
  });

  /** What conmon wrote for a container of this instance. */
  const readExit = (id: string): string | undefined => {
    try {
      return readFileSync(join(world.instance.state, 'exits', id), 'utf8');
    } catch {
      return undefined;
    }
  };

  test('F12: SIGTERM drains the daemon: it exits with 0, containers go on, a Stop in flight is answered or refused, never lost', async () => {
    const pod = await crictl.runPod('drained');
    const id = await crictl.runContainer(pod, containerJson('c', world.imageName, untilTermed(5)));
    await untilHolds(join(pod.logs, 'c.log'), 'up');
    const pid = (await crictl.container(id)).info.pid ?? 0;
    const started = startOf(pid);
    expect(await world.instance.terminate()).toBe(0);
    terminated.happened();
    expect(startOf(pid)).toBe(started);
    await world.instance.start();
    expect((await crictl.container(id)).info.pid).toBe(pid);
    await crictl.ok('stop', '--timeout', '10', id);
    expect((await crictl.container(id)).status.exitCode).toBe(5);
    await crictl.ok('rmp', '--force', pod.id);
  });

  test('F04: after a kill within the grace of a Stop the container ends and a repeated Stop is answered', async () => {
    const pod = await crictl.runPod('stopping');
    const id = await crictl.runContainer(
      pod,
      containerJson('stubborn', world.imageName, [
        'sh',
        '-c',
        'trap "echo heard" TERM; echo up; while :; do sleep 0.05; done',
      ]),
    );
    const log = join(pod.logs, 'stubborn.log');
    await untilHolds(log, 'up');
    const stop = world.client.runtime.stopContainer({ containerId: id, timeout: 2n }).catch(() => undefined);
    await untilHolds(log, 'heard');
    await world.instance.kill();
    killedInGrace.happened();
    await stop;
    await world.instance.start();
    await crictl.ok('stop', '--timeout', '2', id);
    expect((await crictl.container(id)).status).toMatchObject({ state: 'CONTAINER_EXITED', exitCode: 137 });
    await crictl.ok('rmp', '--force', pod.id);
  });

  test('nothing is left on the machine', async () => {
    expect(await world.leftovers()).toEqual([]);
  });
});
