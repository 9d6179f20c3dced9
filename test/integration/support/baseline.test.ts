import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { differences, differencesWhenSettled, snapshotMachine } from '../../support/baseline.ts';
import { run, runOrThrow } from '../../support/run.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log('skipped: what the machine has of mounts and links can only be changed by root');
const mark = `trbl${process.pid}`;

unless(describe, notRoot())('the snapshot of a machine', () => {
  const undo: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step();
  });

  it('is the same twice in a row for things that nobody else uses', async () => {
    expect(differences(await snapshotMachine([mark]), await snapshotMachine([mark]))).toEqual([]);
  });

  it('sees a mount, a link, a packet rule and a process come and go', async () => {
    const before = await snapshotMachine([mark]);
    const directory = await mkdtemp(join(tmpdir(), mark));
    undo.push(async () => await rm(directory, { recursive: true }));
    await runOrThrow(['mount', '-t', 'tmpfs', mark, directory]);
    undo.push(async () => await runOrThrow(['umount', directory]));
    await runOrThrow(['ip', 'link', 'add', mark, 'type', 'bridge']);
    undo.push(async () => await runOrThrow(['ip', 'link', 'del', mark]));
    const rule = ['INPUT', '-i', mark, '-j', 'ACCEPT'];
    await runOrThrow(['iptables', '-w', '-A', ...rule]);
    undo.push(async () => await runOrThrow(['iptables', '-w', '-D', ...rule]));
    const child = spawn('sleep', ['1000'], { argv0: `sleep-${mark}`, stdio: 'ignore' });
    await new Promise((resolve) => child.once('spawn', resolve));
    const ended = new Promise((resolve) => child.once('exit', resolve));
    undo.push(async () => {
      child.kill('SIGKILL');
      await ended;
    });

    const found = differences(before, await snapshotMachine([mark]));
    expect(found.map((line) => line.split(' ').slice(0, 3).join(' '))).toEqual([
      `+ links: ${mark}`,
      `+ mounts: ${directory}`,
      '+ packetRules: iptables-save:',
      '+ processes: sleep',
    ]);

    for (const step of undo.splice(0).reverse()) await step();
    expect(await differencesWhenSettled(before, [mark])).toEqual([]);
  });

  it('sees a cgroup and a listening port', async () => {
    const controller = (await run(['test', '-d', '/sys/fs/cgroup/pids'])).code === 0 ? 'pids/' : '';
    const before = await snapshotMachine();
    const cgroup = `/sys/fs/cgroup/${controller}${mark}`;
    await mkdir(cgroup);
    undo.push(async () => await rmdir(cgroup));
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    undo.push(async () => await new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as AddressInfo;

    const found = differences(before, await snapshotMachine());
    expect(found).toContain(`+ cgroups: /${controller}${mark}`);
    expect(found.find((line) => line.endsWith(` port ${port}`))).toMatch(/^\+ listeners: tcp /);
  });
});

describe('the difference of two snapshots', () => {
  const empty = {
    mounts: [],
    links: [],
    cgroups: [],
    processes: [],
    listeners: [],
    packetRules: [],
    networkFiles: [],
  };

  it('counts equal entries, so that a second mount on the same path is one more', () => {
    expect(differences({ ...empty, mounts: ['/a'] }, { ...empty, mounts: ['/a', '/a'] })).toEqual([
      '+ mounts: /a',
    ]);
    expect(differences({ ...empty, mounts: ['/a', '/a'] }, { ...empty, mounts: ['/a'] })).toEqual([
      '- mounts: /a',
    ]);
  });
});
