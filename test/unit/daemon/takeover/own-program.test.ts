// A program that was replaced while its process runs.
import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { programIdentity } from '../../../../src/daemon/takeover/own-program.ts';

function installed(): string {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-program-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const dist = join(directory, 'dist');
  mkdirSync(dist);
  for (const name of ['launch.cjs', 'troupe.cjs']) writeFileSync(join(dist, name), 'old');
  return dist;
}

test('a file with the same time and size that a package has put in its place', () => {
  const dist = installed();
  const identity = (): string => programIdentity(join(dist, 'launch.cjs'));
  const [path, fresh] = [join(dist, 'troupe.cjs'), join(dist, 'troupe.cjs.dpkg-new')];
  for (const one of [path, fresh]) {
    writeFileSync(one, 'new');
    utimesSync(one, 1000, 1000);
  }
  const before = identity();
  expect(identity()).toBe(before);
  renameSync(fresh, path);
  expect(identity()).not.toBe(before);
});

test('a directory that was exchanged or taken away', () => {
  const dist = installed();
  const identity = (): string => programIdentity(join(dist, 'launch.cjs'));
  const before = identity();
  renameSync(dist, `${dist}.old`);
  expect(identity()).not.toBe(before);
  renameSync(`${dist}.old`, dist);
  expect(identity()).toBe(before);
});
