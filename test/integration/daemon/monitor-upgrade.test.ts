// conmon is upgraded under running containers, by a package (the file is replaced) and by the configuration (another
// path): their monitors go on, new containers get the new one, and each exit code is the true one.
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ContainerId } from '../../../src/base/ids.ts';
import { type ContainerStatus, ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { describePods, untilHolds } from '../../e2e/support/crictl.ts';
import { troupeCheck } from '../../e2e/churn/churn.ts';
import type { World } from '../../e2e/support/world.ts';
import { until } from '../../support/eventually.ts';
import { closeWorld, hostOnlyWorld, makePod, processesIn, removePod } from './pod.ts';

const CONMON = '/usr/bin/conmon';
/** Ends with this code on TERM. */
const TERMED = 5;
const COMMAND = ['sh', '-c', `trap "exit ${TERMED}" TERM; echo up; while :; do sleep 3600 & wait $!; done`];

describePods('an upgrade of conmon', () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-conmon-'));
  const [packaged, other] = [join(directory, 'conmon'), join(directory, 'other-conmon')];
  let world: World;
  beforeAll(async () => {
    copyFileSync(CONMON, packaged);
    world = await hostOnlyWorld('mon', { config: `[runtime]\nmonitor = "${packaged}"\n` });
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
    rmSync(directory, { recursive: true, force: true });
  });

  const statusOf = async (containerId: string): Promise<ContainerStatus> => {
    const { status } = await world.client.runtime.containerStatus({ containerId });
    return status ?? expect.fail('no status');
  };
  const start = async (name: string): Promise<{ readonly pod: string; readonly id: string }> => {
    const { sandboxId, containerId } = await makePod(world, name, { command: COMMAND });
    await world.client.runtime.startContainer({ containerId });
    await untilHolds((await statusOf(containerId)).logPath, 'up');
    return { pod: sandboxId, id: containerId };
  };
  const monitorOf = (id: string): number =>
    Number(readFileSync(createLayout(world.instance).monitorPidFile(id as ContainerId), 'utf8'));
  /** The file that its monitor was started from. */
  const programOf = (id: string): string => readlinkSync(`/proc/${monitorOf(id)}/exe`);
  const stop = async (id: string): Promise<void> => {
    await world.client.runtime.stopContainer({ containerId: id, timeout: 60n });
    expect(await statusOf(id)).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: TERMED });
  };

  it('I8 I10 I16 running containers keep their monitors and exit codes, new ones get the new program', async () => {
    const { runtime } = world.client;
    const [first, second, third] = [await start('first'), await start('second'), await start('third')];
    const monitors = [second, third].map(({ id }) => monitorOf(id));
    // another file of the same name, as a package manager writes it; the kernel ignores what follows an ELF file
    copyFileSync(packaged, `${packaged}.new`);
    appendFileSync(`${packaged}.new`, 'newer');
    renameSync(`${packaged}.new`, packaged);
    expect(programOf(first.id)).toBe(`${packaged} (deleted)`);
    const fourth = await start('fourth');
    expect(programOf(fourth.id)).toBe(packaged);
    await stop(first.id);

    // one ends while no daemon runs
    await world.instance.kill();
    const init = processesIn(second.id).find((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('trap'),
    );
    process.kill(init ?? expect.fail('no process'), 'SIGTERM');
    await until(() => processesIn(second.id).length === 0);
    copyFileSync(packaged, other);
    const file = join(world.instance.directory, 'troupe.toml');
    writeFileSync(file, readFileSync(file, 'utf8').replace(packaged, other));
    await world.instance.start();
    // the monitor writes the exit file after the process has ended, perhaps after the start as well
    await until(async () => (await statusOf(second.id)).state === ContainerState.CONTAINER_EXITED);
    expect(await statusOf(second.id)).toMatchObject({ exitCode: TERMED });
    expect([third, fourth].map(({ id }) => programOf(id))).toEqual([`${packaged} (deleted)`, packaged]);
    expect(monitorOf(third.id)).toBe(monitors[1]);
    const fifth = await start('fifth');
    expect(programOf(fifth.id)).toBe(other);

    const { logPath } = await statusOf(third.id);
    renameSync(logPath, `${logPath}.1`);
    await runtime.reopenContainerLog({ containerId: third.id });
    const { exitCode } = await runtime.execSync({
      containerId: third.id,
      cmd: ['sh', '-c', 'echo again > /proc/1/fd/1; exit 9'],
      timeout: 60n,
    });
    expect(exitCode).toBe(9);
    await untilHolds(logPath, 'again');
    for (const { id } of [third, fourth, fifth]) await stop(id);
    expect(await troupeCheck(world)).toBe('');
    for (const { pod } of [first, second, third, fourth, fifth]) await removePod(world, pod);
  });
});
