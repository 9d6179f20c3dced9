// `troupe check` and `troupe wipe` on a real machine: a healthy instance is clean, planted leaks are found one by one
// and taken away without harm to what runs, and a wipe leaves nothing (I2, I3, I15, I16).
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContainerState } from '../../../src/gen/runtime/v1/api_pb.ts';
import type { Finding } from '../../../src/daemon/cli/findings.ts';
import { numbersIn } from '../../../src/journal/file-names.ts';
import { chainName } from '../../../src/network/firewall.ts';
import { injects } from '../../support/faults/injects.ts';
import { run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';

const damagedJournal = injects('F18', 'a flipped bit in the journal of a killed daemon whose container runs');

const LOST = 'e'.repeat(64);

let world: World;
let pod: string;
let container: string;
const stray: ChildProcess[] = [];

beforeAll(async () => {
  world = await makeWorld({ name: 'chk' });
  const image = await world.pull();
  const config = sandboxConfig({ name: 'web', logDirectory: join(world.logs, 'web') });
  pod = (await world.client.runtime.runPodSandbox({ config })).podSandboxId;
  const request = containerConfig({ name: 'app', image, command: untilTermed(3) });
  container = (
    await world.client.runtime.createContainer({ podSandboxId: pod, sandboxConfig: config, config: request })
  ).containerId;
  await world.client.runtime.startContainer({ containerId: container });
});

afterAll(async () => {
  for (const child of stray) child.kill('SIGKILL');
  await world?.close();
});

interface Report {
  readonly clean: boolean;
  readonly daemon: string;
  readonly findings: readonly (Finding & { readonly repairable: boolean })[];
  readonly unread: readonly { readonly path: string }[];
  readonly repaired: readonly { readonly object: string; readonly problem: string }[];
}

const troupe = (...args: string[]) =>
  run([join(checkout, 'bin/troupe'), ...args, ...world.instance.argv.slice(2)]);

async function check(...flags: string[]): Promise<Report & { readonly code: number }> {
  const { stdout, stderr, code } = await troupe('check', '--json', ...flags);
  if (stdout === '') throw new Error(stderr);
  return { ...(JSON.parse(stdout) as Report), code };
}

/** One thing of every kind that a crash could leave, of a sandbox that no record knows. */
async function plantLeaks(): Promise<readonly string[]> {
  const { state, root, words } = world.instance;
  const [tag = ''] = words;
  const shm = join(state, 'sandboxes', LOST, 'shm');
  const places = [
    join(state, 'containers', LOST),
    join(state, 'runtimes/runc', LOST),
    join(root, 'containers', LOST),
    join(state, 'ns', LOST),
    shm,
  ];
  for (const place of places) await mkdir(place, { recursive: true });
  const chain = await plantNetwork(tag);
  await writeFile(join(state, 'exits', LOST), '0');
  await mkdir(join(root, 'cni/leases/troupe0'), { recursive: true });
  await writeFile(join(root, 'cni/leases/troupe0/10.62.0.9'), `${LOST}\neth0`);
  expect((await run(['mount', '-t', 'tmpfs', tag, shm])).code).toBe(0);
  const parents = (await readdir('/sys/fs/cgroup'))
    .map((hierarchy) => join('/sys/fs/cgroup', hierarchy, tag))
    .filter(existsSync);
  const cgroups = existsSync(join('/sys/fs/cgroup', tag)) ? [join('/sys/fs/cgroup', tag)] : parents;
  const child = spawn('sleep', ['3600'], { stdio: 'ignore' });
  stray.push(child);
  for (const parent of cgroups) await mkdir(join(parent, `troupe-${LOST}`));
  const pids = cgroups.find((parent) => basename(join(parent, '..')) === 'pids') ?? cgroups[0] ?? '';
  await writeFile(join(pids, `troupe-${LOST}`, 'cgroup.procs'), String(child.pid));
  return [
    ...chain,
    `I2 process ${child.pid}`,
    `I2 cgroup /${tag}/troupe-${LOST}`,
    `I2 mount ${shm}`,
    ...['containers', 'exits', 'ns', 'runtimes/runc', 'sandboxes'].map(
      (name) => `I2 ${join(state, name, LOST)}`,
    ),
    `I2 ${join(root, 'containers', LOST)}`,
    `I3 lease ${join(root, 'cni/leases/troupe0/10.62.0.9')}`,
  ];
}

/**
 * A duty to run DEL, a lease in the directory that the network's plugin was given, a chain with the rule that leads to
 * it.
 */
async function plantNetwork(network: string): Promise<readonly string[]> {
  const cache = join(world.instance.root, 'cni/cache');
  await copyFile(join(cache, `${pod}.json`), join(cache, `${LOST}.json`));
  const lease = join(world.instance.directory, 'leases', network, '10.0.0.250');
  await writeFile(lease, `${LOST}\r\neth0`);
  const chain = chainName(network, LOST);
  const comment = ['-m', 'comment', '--comment', `name: "${network}" id: "${LOST}"`];
  for (const args of [
    ['-N', chain],
    ['-A', 'POSTROUTING', '-s', '10.0.0.250', ...comment, '-j', chain],
  ]) {
    expect(await run(['iptables', '-w', '-t', 'nat', ...args])).toMatchObject({ code: 0 });
  }
  return [`I3 attachment ${LOST}`, `I3 lease ${lease}`, `I3 IPv4 rules of ${network}`];
}

const reported = (report: Report): string[] =>
  report.findings.map(({ invariant, object }) => `${invariant} ${object}`).toSorted();

async function appRuns(): Promise<void> {
  const { status } = await world.client.runtime.containerStatus({ containerId: container });
  expect(status?.state).toBe(ContainerState.CONTAINER_RUNNING);
}

describe('with the daemon running', () => {
  it('a healthy instance is clean', async () => {
    expect(await check()).toMatchObject({ clean: true, daemon: 'running', findings: [], code: 0 });
  });

  it('finds every planted leak and nothing else; --repair deletes them, and the pod runs on', async () => {
    const planted = await plantLeaks();
    const found = await check('--now');
    expect(reported(found)).toEqual([...planted].toSorted());
    expect(found).toMatchObject({ clean: false, code: 1 });
    expect(found.findings.every(({ id }) => id === LOST)).toBe(true);
    // the lease in a directory that another runtime may share goes with the pending DEL; check does not delete it
    expect(found.findings.filter(({ repairable }) => !repairable).map(({ object }) => object)).toEqual([
      expect.stringMatching(/10\.0\.0\.250$/u),
    ]);
    const text = await troupe('check', '--now');
    expect(text.stdout).toContain(
      `${planted.length} findings, ${planted.length - 1} that --repair can remove`,
    );
    const repaired = await check('--now', '--repair');
    expect(repaired).toMatchObject({ clean: true, code: 0 });
    expect(repaired.repaired.filter(({ problem }) => problem !== '')).toEqual([]);
    expect(repaired.repaired).toHaveLength(planted.length - 1);
    expect(stray.at(-1)?.exitCode ?? stray.at(-1)?.signalCode).toBe('SIGKILL');
    await appRuns();
  });

  it('reports a partial layer that no pull works on (I15)', async () => {
    const partial = join(world.instance.root, 'partial/half');
    await mkdir(partial);
    expect(reported(await check('--now', '--repair'))).toEqual([`I15 ${partial}`]);
    await rm(partial, { recursive: true });
  });

  it('ignores things without this instance’s mark', async () => {
    const foreign = join(world.instance.state, 'sandboxes', 'notes.txt');
    await writeFile(foreign, 'of the administrator');
    const found = await check('--now', '--repair');
    expect(reported(found)).toEqual([`I2 ${foreign}`]);
    expect(found.findings[0]?.repairable).toBe(false);
    expect(existsSync(foreign)).toBe(true);
    await rm(foreign);
  });

  it('reports a missing part, such as an unmounted root file system, once it outlasts the time to converge (I1)', async () => {
    const rootfs = join(world.instance.root, 'containers', container, 'rootfs');
    expect((await run(['umount', '--lazy', rootfs])).code).toBe(0);
    const found = await check();
    expect(reported(found)).toEqual(['I1 container app']);
    expect(found.findings[0]?.message).toBe('its root file system is mounted 0 times');
    expect(found.findings[0]?.repairable).toBe(false);
    await world.client.runtime.stopContainer({ containerId: container, timeout: 5n });
    expect(await check()).toMatchObject({ clean: true });
  });
});

describe('with the daemon killed', () => {
  it('recorded things, and those that the next start deletes, are no leaks; leaks are found and deleted', async () => {
    await world.instance.kill();
    const partial = join(world.instance.root, 'partial/half');
    await mkdir(partial);
    expect(await check()).toMatchObject({ clean: true, daemon: 'stopped', code: 0 });
    const planted = await plantLeaks();
    expect(reported(await check())).toEqual([...planted].toSorted());
    expect(await check('--repair')).toMatchObject({ clean: true, code: 0 });
    await world.instance.start();
    expect(await check()).toMatchObject({ clean: true, daemon: 'running' });
    expect(existsSync(partial)).toBe(false);
  });
});

describe('after a journal was damaged', () => {
  it('--repair deletes nothing while something runs whose records may be lost (F18)', async () => {
    const image = await world.pull();
    const config = sandboxConfig({ name: 'lost', logDirectory: join(world.logs, 'lost') });
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config });
    const request = containerConfig({ name: 'alive', image, command: untilTermed(3) });
    const { containerId } = await world.client.runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: request,
    });
    await world.client.runtime.startContainer({ containerId });
    await world.instance.kill();
    await damageJournal();
    await world.instance.start();
    const kept = /the journal was damaged.*\/journal\/journal\.\d+\.damaged/u;
    expect((await world.client.runtime.status({})).status?.conditions).toContainEqual(
      expect.objectContaining({
        type: 'JournalWhole',
        status: false,
        message: expect.stringMatching(kept) as string,
      }),
    );
    damagedJournal.happened();
    expect((await troupe('status')).stdout).toMatch(kept);
    const found = await check('--now');
    expect(found.findings.filter(({ id }) => id === containerId).map(({ invariant }) => invariant)).toContain(
      'I2',
    );
    const processes = found.findings
      .filter(({ id, object }) => id === containerId && object.startsWith('process '))
      .map(({ object }) => Number(object.slice('process '.length)));
    expect(processes.length).toBeGreaterThanOrEqual(2);
    const repaired = await troupe('check', '--now', '--repair', '--json');
    expect(repaired.stderr).toMatch(
      /nothing is removed: a damaged journal may have lost the records of running processes: \d+ \(/u,
    );
    expect((JSON.parse(repaired.stdout) as Report).repaired).toEqual([]);
    expect(existsSync(join(world.instance.state, 'ns', podSandboxId, 'net'))).toBe(true);
    for (const pid of processes) expect(existsSync(`/proc/${pid}/cmdline`)).toBe(true);
  });
});

/** Flips a byte of the first record: it and all behind it are not believed any more. */
async function damageJournal(): Promise<void> {
  const directory = join(world.instance.root, 'journal');
  const [newest = 0] = numbersIn(await readdir(directory));
  const path = join(directory, `journal.${newest}`);
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(30) ^ 1, 30);
  await writeFile(path, bytes);
}

describe('wipe', () => {
  it('is refused while the daemon or pods run; with --force nothing of the instance is left', async () => {
    const image = await world.pull();
    const config = sandboxConfig({ name: 'last', logDirectory: join(world.logs, 'last') });
    const { podSandboxId } = await world.client.runtime.runPodSandbox({ config });
    const request = containerConfig({ name: 'end', image, command: untilTermed(3) });
    const { containerId } = await world.client.runtime.createContainer({
      podSandboxId,
      sandboxConfig: config,
      config: request,
    });
    await world.client.runtime.startContainer({ containerId });
    const running = await troupe('wipe', '--force');
    expect([running.code, running.stderr]).toEqual([
      1,
      expect.stringMatching(/a daemon runs \(pid \d+\) and answers at/u),
    ]);
    await world.instance.kill();
    const refused = await troupe('wipe');
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining(`end (${containerId.slice(0, 13)})`),
    ]);
    const wiped = await troupe('wipe', '--force', '--json');
    expect(wiped.code).toBe(0);
    expect(JSON.parse(wiped.stdout)).toMatchObject({ stays: [] });
    expect(await readdir(world.instance.root)).toEqual([]);
    expect(await readdir(world.instance.state)).toEqual([]);
    expect(await check()).toMatchObject({ clean: true, daemon: 'stopped' });
    expect((await troupe('wipe')).stdout).toBe('nothing to remove\n');
    await world.instance.start();
    expect(await world.leftovers()).toEqual([]);
  });

  it('I3 with unreadable network records wipe and check exit with 1, keep and name them; --force deletes them', async () => {
    await world.instance.kill();
    const records = join(world.instance.root, 'cni/cache');
    await rm(records, { recursive: true, force: true });
    await mkdir(dirname(records), { recursive: true });
    await writeFile(records, 'not a directory');
    expect(await check()).toMatchObject({ clean: false, code: 1, findings: [], unread: [{ path: records }] });
    const kept = await troupe('wipe', '--json');
    expect([kept.code, JSON.parse(kept.stdout)]).toMatchObject([1, { stays: [{ object: records }] }]);
    expect(await readdir(world.instance.root)).toEqual(['cni']);
    const forced = await troupe('wipe', '--force');
    expect([forced.code, forced.stdout]).toEqual([
      0,
      expect.stringMatching(/^removed \S+\/cni\/cache after a failure: not read: .*ENOTDIR/mu),
    ]);
    expect(await readdir(world.instance.root)).toEqual([]);
    expect((await troupe('wipe')).code).toBe(0);
    await world.instance.start();
  });

  it('I5 with an unreadable journal wipe exits with 1 and removes nothing; check exits with 1', async () => {
    await world.instance.kill();
    const journal = join(world.instance.root, 'journal');
    await rm(journal, { recursive: true });
    await mkdir(join(journal, 'journal.9'), { recursive: true });
    const before = [await readdir(world.instance.root), await readdir(world.instance.state)];
    for (const command of [['check'], ['wipe'], ['wipe', '--force']]) {
      expect(await troupe(...command), command.join(' ')).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(`read ${join(journal, 'journal.9')}: not a regular file`) as string,
      });
    }
    expect([await readdir(world.instance.root), await readdir(world.instance.state)]).toEqual(before);
    await rm(journal, { recursive: true });
    await world.instance.start();
  });
});
