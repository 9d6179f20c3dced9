/**
 * Records of the daemons that have handed over and still hold sessions of before: `<state>/relays/<pid>`. A start
 * leaves their helpers and execs alone.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClockPort } from '../../ports/clock.ts';
import { jsonObject } from '../../base/json-object.ts';
import { pause } from '../../host/clock/wait.ts';
import { missingAs } from '../../host/ffi/errno.ts';
import { readSmallFile } from '../../host/files/small-file.ts';
import { writeWhole } from '../../host/files/whole-file.ts';
import { processExists, processIdentity } from '../../host/process/process-identity.ts';
import type { HostIdentity } from '../../host/process/process-identity.ts';
import { takeOverLimits } from '../bounds.ts';

export interface RelayRecord extends HostIdentity {
  /** Name of its boot, which marks its helpers (src/host/process/helper-mark.ts). */
  readonly boot: string;
}

/** Writes that this process is about to hand over. */
export async function recordRelay(directory: string, boot: string): Promise<void> {
  const identity = processIdentity(process.pid);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeWhole(join(directory, String(process.pid)), `${JSON.stringify({ ...identity, boot })}\n`, 0o600);
}

/** Removes the record of this process. */
export async function forgetRelay(directory: string): Promise<void> {
  await rm(join(directory, String(process.pid)), { force: true });
}

/** The relays that still run. Deletes the records of others, and what is not a record: for the holder of the lock. */
export async function runningRelays(directory: string): Promise<readonly RelayRecord[]> {
  const { running, stale } = await relaysIn(directory);
  for (const path of stale) await rm(path, { force: true, recursive: true }).catch(() => undefined);
  return running;
}

/** The relays that run. Changes nothing: for a process without the lock. */
export async function relaysNow(directory: string): Promise<readonly RelayRecord[]> {
  return (await relaysIn(directory)).running;
}

async function relaysIn(
  directory: string,
): Promise<{ readonly running: readonly RelayRecord[]; readonly stale: readonly string[] }> {
  const names = await missingAs(readdir(directory), []);
  const running: RelayRecord[] = [];
  const stale: string[] = [];
  for (const name of names.slice(0, takeOverLimits.relays)) {
    const path = join(directory, name);
    const { recordBytes } = takeOverLimits;
    const text = await readSmallFile(path, { usualBytes: recordBytes, bytesMax: recordBytes }).catch(
      () => undefined,
    );
    const record = recordIn(text);
    if (record !== undefined && record.pid !== process.pid && processExists(record)) running.push(record);
    else stale.push(path);
  }
  return { running, stale };
}

/** Settles once none of them runs. */
export async function untilGone(relays: readonly HostIdentity[], clock: ClockPort): Promise<void> {
  while (relays.some(processExists)) await pause(clock, takeOverLimits.relayPollMs);
}

function recordIn(text: string | undefined): RelayRecord | undefined {
  const { pid, startTicks, boot } = (text === undefined ? undefined : jsonObject(text)) ?? {};
  return typeof pid === 'number' && typeof startTicks === 'number' && typeof boot === 'string'
    ? { pid, startTicks, boot }
    : undefined;
}
