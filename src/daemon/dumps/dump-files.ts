/**
 * The files of dumps: in the state directory, which on a node is in memory, so that a disk that hangs and the thread
 * pool play no part (host/files/state-files.ts). Only root may read them.
 */
import { join } from 'node:path';
import { fail } from '../../base/fault.ts';
import { makeOwnDirectory, readOwnDirectory, removeFile, statOwn } from '../../host/files/state-files.ts';
import { writeWhole } from '../../host/files/whole-file.ts';
import { dumpLimits } from '../bounds.ts';
import type { DumpKind } from './dump-signals.ts';

/** `state-20261123T140501.123Z-4711.json`: by name in the order of time. One that a crash cut ends with `.new`. */
const NAME = /^(?<kind>state|heap)-\d{8}T\d{6}\.\d{3}Z-(?<pid>\d+)\.json(?<part>\.new)?$/u;

function dumpDirectory(state: string): string {
  return join(state, 'dumps');
}

/** Writes one, and removes older ones beyond the bound. Returns its path. */
export async function writeDump(
  state: string,
  kind: DumpKind,
  { text, nowNs, pid }: { readonly text: string; readonly nowNs: bigint; readonly pid: number },
): Promise<string> {
  // a start creates it, with another mode, once it has the lock; `/.`: a path that is below it is not asked of the pool
  if ((await statOwn(`${state}/.`)) === undefined) fail('notReady', `${state} does not exist yet`);
  const directory = dumpDirectory(state);
  await makeOwnDirectory(directory, 0o700);
  const at = new Date(Number(nowNs / 1_000_000n)).toISOString().replaceAll(/[:-]/gu, '');
  const path = join(directory, `${kind}-${at}-${pid}.json`);
  await writeWhole(path, text, 0o600);
  await removeOld(directory, kind);
  return path;
}

async function removeOld(directory: string, kind: DumpKind): Promise<void> {
  const names = await namesIn(directory);
  const whole = names.filter((name) => kindOf(name) === kind && !name.endsWith('.new'));
  // there is one writer, which has finished
  const begun = names.filter((name) => kindOf(name) !== undefined && name.endsWith('.new'));
  for (const name of [...whole.slice(0, -dumpLimits.kept), ...begun]) await removeFile(join(directory, name));
}

/** The paths of the whole ones of a kind, the newest first; of one process if its pid is given. */
export async function dumpsOf(state: string, kind: DumpKind, pid?: number): Promise<readonly string[]> {
  const directory = dumpDirectory(state);
  return (await namesIn(directory))
    .filter((name) => {
      const { groups } = NAME.exec(name) ?? {};
      const isOfProcess = pid === undefined || groups?.['pid'] === String(pid);
      return groups?.['kind'] === kind && groups['part'] === undefined && isOfProcess;
    })
    .toReversed()
    .map((name) => join(directory, name));
}

async function namesIn(directory: string): Promise<readonly string[]> {
  return ((await readOwnDirectory(directory)) ?? []).map(({ name }) => name).toSorted();
}

const kindOf = (name: string): string | undefined => NAME.exec(name)?.groups?.['kind'];
