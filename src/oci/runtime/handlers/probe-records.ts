/**
 * `<state>/handlers/<name>.probe`: what the last probe of a handler found. A daemon that is started again with the same
 * program need not run it three times before its first answer. What is kept counts for this boot and this very file.
 */
import { constants } from 'node:fs';
import { access, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { driverLimits } from '../bounds.ts';
import { bootId } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import type { Handler, ProbeResult } from './handlers.ts';

/** Names the program as it is now; undefined when it can't be looked at. Taken before the probe: a change meanwhile shows. */
export async function programMark({ name, path, kind }: Handler): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return JSON.stringify([name, path, kind, ...[dev, ino, size, mtimeNs, ctimeNs].map(String), bootId()]);
  } catch {
    return undefined;
  }
}

/** Keeps what a probe of the program found, when it works: a failure is looked into anew each time. */
export async function keepProbe(
  directory: string,
  { name }: Handler,
  mark: string,
  result: ProbeResult,
): Promise<void> {
  if (!result.ready) return;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeWhole(join(directory, `${name}.probe`), JSON.stringify({ version: 1, mark, result }), 0o600);
}

/** What was found of the program that is there now; undefined when it has to be probed. Never rejects. */
export async function recallProbe(directory: string, handler: Handler): Promise<ProbeResult | undefined> {
  try {
    const bounds = { usualBytes: driverLimits.recordBytes, bytesMax: driverLimits.recordBytes };
    const text = (await readSmallFile(join(directory, `${handler.name}.probe`), bounds)) ?? '';
    const mark = await programMark(handler);
    const result = mark === undefined ? undefined : parseProbe(text, mark);
    if (result?.standIn !== undefined) await access(result.standIn, constants.X_OK);
    return result;
  } catch {
    return undefined;
  }
}

/** The result in a text that has this mark; undefined for anything else. */
export function parseProbe(text: string, mark: string): ProbeResult | undefined {
  if (text.length > driverLimits.recordBytes) return undefined;
  const record = fieldsOf(JSON.parse(text));
  if (record['version'] !== 1 || record['mark'] !== mark) return undefined;
  const { ready, recursiveReadOnlyMounts, userNamespaces, execCgroup, standIn } = fieldsOf(record['result']);
  if (ready !== true || typeof recursiveReadOnlyMounts !== 'boolean') return undefined;
  if (typeof userNamespaces !== 'boolean' || typeof execCgroup !== 'boolean') return undefined;
  if (standIn !== undefined && typeof standIn !== 'string') return undefined;
  return {
    ready,
    reason: '',
    recursiveReadOnlyMounts,
    userNamespaces,
    execCgroup,
    ...(standIn === undefined ? {} : { standIn }),
  };
}

function fieldsOf(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Partial<Record<string, unknown>>) : {};
}
