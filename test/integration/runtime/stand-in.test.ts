// The program that hides a mount from another one, with any mount and any program.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { hidingElf } from '../../../src/oci/runtime/handlers/hiding-elf.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const isRunnable = process.arch === 'x64' && process.geteuid?.() === 0;
if (!isRunnable) console.log('skipped: the stand-in is for x86-64, and a mount namespace needs root');

unless(describe, process.arch === 'x64' ? notRoot() : 'a stand-in for x64')('a stand-in', () => {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-stand-in-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  function standIn(name: string, program: string, unified = '/proc'): string {
    const path = join(directory, name);
    writeFileSync(path, hidingElf({ program, unified, parent: '/' }), { mode: 0o700 });
    return path;
  }

  it('runs its program without the mount, which stays for everybody else', () => {
    expect(execFileSync(standIn('ls', '/bin/ls'), ['/proc'], { encoding: 'utf8' })).toBe('');
    expect(readdirSync('/proc')).toContain('self');
  });

  it('passes on arguments, environment, input and the exit code', () => {
    const ended = spawnSync(
      standIn('sh', '/bin/sh'),
      ['-c', 'read line; echo "$line $1 $WORD"; exit 5', 'name', 'one'],
      {
        encoding: 'utf8',
        input: 'typed\n',
        env: { WORD: 'set' },
      },
    );
    expect([ended.stdout, ended.status]).toEqual(['typed one set\n', 5]);
    expect(readFileSync(standIn('true', '/bin/true')).length).toBeLessThan(1024);
  });

  it('reports why it failed: no such program, no such mount', () => {
    for (const path of [standIn('none', '/nowhere/crun'), standIn('unmounted', '/bin/true', '/nowhere')]) {
      const ended = spawnSync(path, [], { encoding: 'utf8' });
      expect(ended.status).toBe(127);
      expect(ended.stderr).toMatch(/^troupe: hide \/[a-z]+ or run \/[a-z/]+ failed\n$/u);
    }
  });
});
