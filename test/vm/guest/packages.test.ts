// The life of the .deb under the real systemd: installed, used, upgraded by a take-over, removed, purged.
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { fileIn, NEXT_VERSION } from '../../e2e/packages/builds.ts';
import { bothOutputs, CrictlThere } from '../../e2e/packages/runtime.ts';
import { until } from '../../support/eventually.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { crictl } from '../../support/tools/go-tools.ts';
import { guestPackages } from '../guest-packages.ts';
import { shown, systemctl } from './node.ts';

const SOCKET = '/run/troupe/troupe.sock';
const CONFIG = '/etc/troupe/troupe.toml';

let ours: CrictlThere;
let own = { pod: '', container: '', pid: 0 };

/** Both outputs of a program that must succeed. */
async function ok(...argv: readonly [string, ...string[]]): Promise<string> {
  return bothOutputs(argv, await run(argv));
}

const debOf = async (name: string): Promise<string> =>
  join(guestPackages, name, await fileIn(join(guestPackages, name), '.deb'));

const isServing = async (): Promise<boolean> => (await run(ours.argv('pods') as [string])).code === 0;

/** Files of ours, but for what the daemon keeps. */
const ourFiles = async (): Promise<readonly string[]> =>
  (await runOrThrow(['find', '/etc', '/usr', '/var/lib/dpkg/info', '-xdev', '-name', '*troupe*']))
    .split('\n')
    .filter((path) => path !== '' && !path.startsWith('/usr/share/doc/'));

beforeAll(async () => {
  const machine = {
    ok: (...argv: readonly string[]) => ok(...(argv as [string])),
    write: (path: string, text: string) => writeFile(path, text),
  };
  ours = new CrictlThere(machine, { crictl: await crictl(), socket: SOCKET, cgroup: 'packages.slice' });
});

it('dpkg installs it: systemd knows, has enabled and started the service', async () => {
  await ok('dpkg', '--install', await debOf('first'));
  expect(await ok('dpkg', '--verify', 'troupe')).toBe('');
  expect(await systemctl('is-enabled', 'troupe')).toBe('enabled');
  await until(async () => (await shown('ActiveState')) === 'active');
  expect(await shown('FragmentPath')).toBe('/usr/lib/systemd/system/troupe.service');
  expect(await shown('NRestarts')).toBe('0');
  await until(isServing);
});

it('serves crictl with a configuration that was edited, through a restart by systemd', async () => {
  await writeFile(CONFIG, '[cgroup]\ndriver = "systemd"\n[network]\nfallback = "bridge"\n');
  await systemctl('restart', 'troupe');
  await until(isServing);
  await ok('troupe', 'import', `docker-archive:${join(guestPackages, 'image.tar')}`);
  const made = await ours.start('own', 'pod');
  own = { ...made, pid: await ours.pidOf(made.container) };
  expect(await ours.ok('exec', own.container, 'echo', 'hello')).toBe('hello');
  expect(await ok('troupe', 'check')).toContain('clean:');
});

it('F92 dpkg upgrades it: the new daemon takes over, no call fails, and systemd has it as the main process', async () => {
  const former = Number(await shown('MainPID'));
  let isOver = false;
  // rejects with the first call that fails
  const calls = (async (): Promise<number> => {
    let made = 0;
    for (; !isOver; made += 1) {
      expect(await ours.pods()).toEqual([own.pod]);
      expect(await ours.ok('exec', own.container, 'echo', 'on')).toBe('on');
    }
    return made;
  })();
  const upgraded = ok('dpkg', '--force-confdef', '--install', await debOf('next')).finally(() => {
    isOver = true;
  });
  const [said, made] = await Promise.all([upgraded, calls]);
  expect(said).not.toContain('goes on');
  expect(made).toBeGreaterThan(0);
  const main = Number(await shown('MainPID'));
  expect(main).not.toBe(former);
  expect(processStat(main)?.parentPid).toBe(1);
  expect([await shown('ActiveState'), await shown('NRestarts')]).toEqual(['active', '0']);
  expect(await ours.ok('version')).toContain(`RuntimeVersion:  ${NEXT_VERSION}`);
  expect(await ours.pidOf(own.container)).toBe(own.pid);
  expect(await readFile(CONFIG, 'utf8')).toContain('fallback = "bridge"');
  expect(await systemctl('is-enabled', 'troupe')).toBe('enabled');
});

it('a removal stops the service and names the pod that goes on; a purge is refused while it runs', async () => {
  const main = Number(await shown('MainPID'));
  const said = await ok('dpkg', '--remove', 'troupe');
  expect(said).toMatch(/these go on without it[^\n]*:\n {2}.*own/u);
  expect(said).not.toMatch(/warning/iu);
  expect(processStat(main)).toBeUndefined();
  expect(existsSync('/usr/lib/systemd/system/troupe.service')).toBe(false);
  expect(processStat(own.pid)).toBeDefined();
  const purged = await run(['dpkg', '--purge', 'troupe']);
  expect(purged.code).not.toBe(0);
  expect(purged.stderr).toContain('pods still run');
  expect(processStat(own.pid)).toBeDefined();
});

it('installed again it finds the pod; stopped and wiped it is purged, and leaves nothing', async () => {
  await ok('dpkg', '--force-confdef', '--install', await debOf('next'));
  await until(isServing);
  expect(await ours.pods()).toEqual([own.pod]);
  expect(await ours.ok('exec', own.container, 'echo', 'back')).toBe('back');
  await systemctl('stop', 'troupe');
  await ok('troupe', 'wipe', '--force');
  await until(() => processStat(own.pid) === undefined);
  expect(await ok('dpkg', '--purge', 'troupe')).not.toContain('go on without it');
  expect(await ourFiles()).toEqual([]);
  for (const path of ['/var/lib/troupe', '/var/cache/troupe', '/run/troupe'])
    expect([path, existsSync(path)]).toEqual([path, false]);
  expect(await systemctl('list-units', '--all', '--plain', '--no-legend', '--full', 'troupe*')).toBe('');
});
