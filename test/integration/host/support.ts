/** What the tests of this directory share. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { unmount } from '../../../src/host/mounts/mounts.ts';
import { parseMountInfo } from '../../../src/host/mounts/mountinfo.ts';

const isRoot = process.getuid?.() === 0;

/** A describe that needs root; without it the reason is printed and the tests are skipped. */
export function describeAsRoot(name: string, body: () => void): void {
  if (!isRoot) process.stdout.write(`skipped: ${name}: needs root\n`);
  describe.skipIf(!isRoot)(name, body);
}

/** True when a program is there; otherwise prints why the tests that need it are skipped. */
export function hasProgram(path: string): boolean {
  const isThere = existsSync(path);
  if (!isThere) process.stdout.write(`skipped: tests that need ${path}: it is not installed\n`);
  return isThere;
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
