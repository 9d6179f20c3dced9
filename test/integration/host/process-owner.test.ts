// Processes that bear our words without being ours: of another user, of a container, of one that sees the host's
// processes.
import { spawn } from 'node:child_process';
import type { SpawnOptions } from 'node:child_process';
import { existsSync, mkdirSync, openSync, closeSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { ContainerId } from '../../../src/base/ids.ts';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { inspectMachine } from '../../../src/daemon/cli/machine.ts';
import { detectCgroups } from '../../../src/host/cgroups/cgroup-layout.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { isOfHost } from '../../../src/host/process/process-owner.ts';
import { scanFor } from '../../../src/oci/runtime/monitor/monitor-process.ts';
import { endStarts } from '../../../src/oci/images/store/drivers/fuse-starts.ts';
import { storePaths } from '../../../src/oci/images/store/records/layer-layout.ts';
import { describeAsRoot, scratchDirectory } from './support.ts';
import { unless, lacking } from '../../support/skips/unless.ts';

const PERL = '/usr/bin/perl';
const id = 'd'.repeat(64) as ContainerId;

describeAsRoot('a process that bears our words', () => {
  const directory = scratchDirectory('owner');
  const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
  const rootArg = `--root=${join(layout.runtimesDir, 'runc')}`;
  const words = ['--exit-dir', '/e', rootArg, id];

  const running = async (argv: readonly string[], options: SpawnOptions = {}): Promise<number> => {
    const [program = '', ...args] = argv;
    const child = spawn(program, args, { stdio: 'ignore', ...options });
    const pid = child.pid ?? expect.fail(`${program} was not started`);
    const ended = new Promise((resolve) => void child.once('exit', resolve));
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    // what starts it has the words as well
    await expect
      .poll(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1'), { interval: 5 })
      .toMatch(new RegExp(`^${PERL}\\0-e`, 'u'));
    return pid;
  };
  const sleeping = [PERL, '-e', 'sleep 3600', '--', ...words];
  const found = async (): Promise<readonly number[]> => {
    const config = {
      ...defaultConfig,
      root: layout.root,
      state: layout.state,
      network: { ...defaultConfig.network, config_dir: join(directory, 'none') },
    };
    const machine = await inspectMachine({
      config,
      clock: realClock(),
      layout,
      cgroups: await detectCgroups(),
      cgroupParents: [],
    });
    const scanned = (await scanFor({ id, rootArg }, realClock())).found.map(({ pid }) => pid);
    expect(machine.processes.map(({ pid }) => pid)).toEqual(scanned);
    return scanned;
  };

  unless(it, lacking(PERL))('S97 is found when the host’s root runs it', async () => {
    const pid = await running(sleeping);
    expect(isOfHost(pid)).toBe(true);
    expect(await found()).toEqual([pid]);
  });

  unless(it, lacking(PERL)).each([
    ['another user', sleeping, { uid: 65_534, gid: 65_534 }],
    ['who has mounts of his own, as each container', ['unshare', '--mount', ...sleeping], {}],
  ] as const)('S97 is nobody’s of ours when it is run by %s', async (_who, argv, options) => {
    const pid = await running(argv, options);
    expect(isOfHost(pid)).toBe(false);
    expect(await found()).toEqual([]);
  });

  unless(it, lacking(PERL))(
    'S97 is not taken for a program that mounts: the root of another container stays mounted',
    async () => {
      const paths = storePaths(layout.root);
      const log = join(paths.containers, id, 'helpers/rootfs.log');
      mkdirSync(dirname(log), { recursive: true });
      const fd = openSync(log, 'w');
      onTestFinished(() => closeSync(fd));
      const pid = await running(['unshare', '--mount', ...sleeping], { stdio: ['ignore', fd, 'ignore'] });
      expect(await endStarts(paths, realClock())).toEqual({ ended: [], left: [] });
      expect(existsSync(`/proc/${pid}/ns`)).toBe(true);
      const own = await running(sleeping, { stdio: ['ignore', fd, 'ignore'] });
      expect((await endStarts(paths, realClock())).ended.map(({ identity }) => identity.pid)).toEqual([own]);
    },
  );
});
