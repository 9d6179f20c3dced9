// The check of the free space while a checkpoint is written, with several file systems.
import { expect, it } from 'vitest';
import type { FilesystemFacts } from '../../../../../src/host/files/free-space.ts';
import { checkpointLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { withSpace } from '../../../../../src/oci/runtime/checkpoint/space.ts';
import { faultOf } from '../../../../support/fault-of.ts';
import { fxOf } from '../../../../support/fx.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { turns } from '../../../../support/turns.ts';

const MIB = 2 ** 20;
const free = (bytes: number): FilesystemFacts => ({
  bsize: 4096,
  blocks: (100 * 1024 * MIB) / 4096,
  bavail: bytes / 4096,
  files: 0,
  ffree: 0,
});
const written = ['/root', '/archives'].map((path) => ({ path, opened: path, mountPoint: path }));

it.each([
  ['/root', '/archives'],
  ['/archives', '/root'],
])('F22 F33 the check of %s goes on while the file system of %s does not answer', async (filling, hung) => {
  const clock = new HandClock();
  const [answer, packed] = [Promise.withResolvers<FilesystemFacts>(), Promise.withResolvers<void>()];
  let bytes = 1024 * MIB;
  let hangs = false;
  const readFacts = async (path: string): Promise<FilesystemFacts> =>
    path === hung && hangs ? answer.promise : free(path === filling ? bytes : 1024 * MIB);
  let isAborted = (): boolean => false;
  const waited = faultOf(
    withSpace({ attempted: 'checkpoint', written, clock, fx: fxOf(), readFacts }, async ({ signal }) => {
      isAborted = () => signal.aborted;
      hangs = true;
      await packed.promise;
      signal.throwIfAborted();
    }),
  );
  await turns();
  await clock.advance(checkpointLimits.spaceCheckMs);
  expect(isAborted()).toBe(false);
  bytes = 100 * MIB;
  await clock.advance(checkpointLimits.spaceCheckMs);
  expect(isAborted()).toBe(true);
  packed.resolve();
  expect(await waited).toMatchObject({
    kind: 'exhausted',
    message: expect.stringContaining(`left on ${filling} `),
  });
  answer.resolve(free(0));
  await turns();
  expect(clock.timers.size).toBe(0);
});
