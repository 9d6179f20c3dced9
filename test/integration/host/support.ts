/** What the tests of this directory share. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { unmount } from '../../../src/host/mounts/mounts.ts';
import { parseMountInfo } from '../../../src/host/mounts/mountinfo.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const isRoot = process.getuid?.() === 0;

/** A describe that needs root; without it the reason is printed and the tests are skipped. */
export function describeAsRoot(name: string, body: () => void): void {
  if (!isRoot) process.stdout.write(`skipped: ${name}: needs root\n`);
  unless(describe, notRoot())(name, body);
}

/** A directory that is gone after the file's tests, with everything mounted below it. */
export function scratchDirectory(purpose: string): string {
  const directory = mkdtempSync(join(tmpdir(), `troupe-${purpose}-`));
  afterAll(async () => {
    for (const path of mountPointsBelow(directory).reverse()) await unmount(path, { lazy: true });
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** Mount points at or below a path, in the kernel's order. */
export function mountPointsBelow(path: string): string[] {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    .map((mount) => mount.mountPoint)
    .filter((point) => point === path || point.startsWith(`${path}/`));
}
