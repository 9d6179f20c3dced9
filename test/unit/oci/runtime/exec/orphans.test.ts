import { constants } from 'node:os';
import { expect, test } from 'vitest';
import { driverLimits } from '../../../../../src/oci/runtime/bounds.ts';
import { FaultError } from '../../../../../src/base/fault.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { KernelError } from '../../../../../src/host/ffi/errno.ts';
import { refuseSurvivors } from '../../../../../src/oci/runtime/container/cgroup.ts';
import { endEach, logUnended } from '../../../../../src/oci/runtime/exec/orphans.ts';
import { faultBy } from '../../../../support/fault-of.ts';
import { containerId } from '../../../cri/stage.ts';

const { orphanExecsAtOnce } = driverLimits;

/** `count` orphans whose ends the test decides. */
function stage(count: number) {
  const ends = Array.from({ length: count }, () => Promise.withResolvers<void>());
  const begun: number[] = [];
  const closing = new AbortController();
  const all = endEach(
    ends.map((_end, at) => at),
    closing.signal,
    (at) => {
      begun.push(at);
      return ends[at]?.promise ?? Promise.resolve();
    },
  );
  const end = async (at: number): Promise<void> => {
    ends[at]?.resolve();
    await ends[at]?.promise;
    await Promise.resolve();
  };
  return { begun, closing, all, end };
}

test('F45 F89 a stuck exec of an earlier daemon does not stop others from being ended, a few at a time', async () => {
  const count = 3 * orphanExecsAtOnce;
  const { begun, all, end } = stage(count);
  expect(begun).toHaveLength(orphanExecsAtOnce);
  // the first hangs
  for (let at = 1; at < count; at += 1) await end(at);
  expect(begun).toEqual(Array.from({ length: count }, (_none, at) => at));
  await end(0);
  await all;
});

test('F45 no further exec of an earlier daemon is ended once the daemon closes', async () => {
  const { begun, closing, all, end } = stage(2 * orphanExecsAtOnce);
  closing.abort();
  for (let at = 0; at < orphanExecsAtOnce; at += 1) await end(at);
  await all;
  expect(begun).toHaveLength(orphanExecsAtOnce);
});

test('F45 F29 a stuck exec of an earlier daemon is distinguished from one whose container is removed meanwhile', () => {
  const lines: string[] = [];
  const log = {
    ...silentLog,
    warn: (_fields: object, message: string) => void lines.push(`warn: ${message}`),
    debug: (_fields: object, message: string) => void lines.push(`debug: ${message}`),
  };
  const { ENODEV, ENOENT, EIO } = constants.errno;
  const id = containerId('c');
  for (const errno of [ENODEV, ENOENT, EIO])
    logUnended(log, id, new KernelError('move cgroup /a', errno, '/a'));
  logUnended(log, id, new FaultError(faultBy(() => refuseSurvivors(id, [1]))));
  expect(lines).toEqual([
    'debug: end exec of an earlier daemon: the container was removed',
    'debug: end exec of an earlier daemon: the container was removed',
    'warn: end exec of an earlier daemon: cleanup failed',
    'warn: end exec of an earlier daemon: timed out',
  ]);
});
