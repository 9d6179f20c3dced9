import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { differences, differencesWhenSettled, snapshotMachine } from '../../support/baseline.ts';
import { runOrThrow } from '../../support/run.ts';
import { sweepMachine } from '../../support/sweep.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log('skipped: only root can make what the sweep takes away');
const mark = `trswp${process.pid}`;

unless(describe, notRoot())('the sweep of what an instance left', () => {
  it('removes mounts, links, rules with their chains, cgroups and their processes, and nothing else', async () => {
    const before = await snapshotMachine([mark]);
    const directory = await mkdtemp(join(tmpdir(), mark));
    const inner = join(directory, 'with space');
    const cgroup = join('/sys/fs/cgroup', existsSync('/sys/fs/cgroup/pids') ? 'pids' : '', mark);
    const chain = `CNI-${process.pid.toString(16).padStart(24, '0')}`;
    try {
      await mkdir(inner);
      await runOrThrow(['mount', '-t', 'tmpfs', mark, inner]);
      await runOrThrow(['ip', 'link', 'add', mark, 'type', 'bridge']);
      await runOrThrow(['iptables', '-w', '-t', 'nat', '-N', chain]);
      await runOrThrow([
        'iptables',
        '-w',
        '-t',
        'nat',
        '-A',
        'POSTROUTING',
        '-m',
        'comment',
        '--comment',
        `name: "${mark}" id: "x"`,
        '-j',
        chain,
      ]);
      await mkdir(join(cgroup, 'child'), { recursive: true });
      const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
      const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
      await writeFile(join(cgroup, 'child/cgroup.procs'), String(child.pid));
      const kinds = differences(before, await snapshotMachine([mark])).map((line) => line.split(':')[0]);
      expect(new Set(kinds)).toEqual(
        new Set(['+ cgroups', '+ links', '+ mounts', '+ packetRules', '+ processes']),
      );

      await sweepMachine([mark]);
      expect(await ended).toBe('SIGKILL');
      await sweepMachine([mark]);
      expect(await differencesWhenSettled(before, [mark])).toEqual([]);
      const chains = await runOrThrow(['iptables-save', '-t', 'nat']);
      expect(chains).not.toContain(chain);
    } finally {
      await sweepMachine([mark]);
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('refuses words that others may use, too', async () => {
    await expect(sweepMachine(['runc'])).rejects.toThrow('too short');
  });
});
