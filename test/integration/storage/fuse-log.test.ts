// The log of a fuse-overlayfs program: whatever has been put in its place, the start neither waits for it nor follows
// it.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { rootfsPaths, storePaths } from '../../../src/oci/images/store/records/layer-layout.ts';
import { storageLimits } from '../../../src/oci/bounds.ts';
import { HELPERS } from '../../../src/oci/images/store/drivers/fuse-files.ts';
import { Helpers } from '../../../src/oci/images/store/drivers/fuse-helpers.ts';
import { containerId } from '../../unit/actors/fixtures.ts';
import type { DriverHost, RootRequest } from '../../../src/oci/images/store/drivers/rootfs-driver.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-fuse-log-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A program that mounts nothing and says so. */
const serve = async (log: (path: string) => void, words = 'echo no such module >&2'): Promise<unknown> => {
  const program = join(directory, 'program');
  writeFileSync(program, `#!/bin/sh\n${words}\n`);
  chmodSync(program, 0o755);
  const host = {
    paths: storePaths(directory, directory),
    clock: realClock(),
    log: silentLog,
  } as Partial<DriverHost> as DriverHost;
  const paths = rootfsPaths(host.paths, containerId());
  mkdirSync(join(paths.dir, HELPERS), { recursive: true });
  log(join(paths.dir, HELPERS, 'rootfs.log'));
  const request = { paths, attempted: 'mount' } as Partial<RootRequest> as RootRequest;
  const target = join(paths.dir, 'target');
  mkdirSync(target);
  return new Helpers(host, { program, moveToCgroup: () => Promise.resolve() }).serve(
    request,
    'rootfs',
    target,
    [],
  );
};

it.each([
  ['nothing', () => undefined],
  ['an older log', (path: string) => writeFileSync(path, 'of another start, and longer than this one')],
  ['a FIFO', (path: string) => void execFileSync('mkfifo', [path])],
  ['a directory', (path: string) => void mkdirSync(join(path, 'below'), { recursive: true })],
  ['a link', (path: string) => symlinkSync(join(directory, 'elsewhere'), path)],
])('F89 with %s in the log’s place the program’s output is in the error', async (_what, plant) => {
  writeFileSync(join(directory, 'elsewhere'), 'not ours');
  await expect(serve(plant)).rejects.toThrow(/did not mount: no such module/u);
  expect(readFileSync(join(directory, 'elsewhere'), 'utf8')).toBe('not ours');
});

it('F89 only the beginning of a long program output is read', async () => {
  const failed = await serve(() => undefined, 'head -c 10000000 /dev/zero | tr "\\\\0" x').catch(
    (error: unknown) => String(error),
  );
  expect(String(failed).length).toBeLessThan(2 * storageLimits.fuseSaidBytes);
});
