/**
 * `<state>/handlers/<name>.probe`: the result of a handler's last probe. A restarted daemon with the same program
 * then need not run it three times before its first answer. A record is valid only for the same boot and the same
 * file.
 */
import { constants } from 'node:fs';
import { access, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { driverLimits } from '../bounds.ts';
import { bootId } from '../../../host/process/process-identity.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import type { Handler, ProbeResult } from './handlers.ts';

/** 3: whether the seccomp profile may be short. */
const RECORD_VERSION = 3;

/**
 * Identifies the program file as it is now; undefined if it cannot be read. Taken before the probe, so that a change
 * during the probe is noticed.
 */
export async function programMark({ name, path, kind }: Handler): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return JSON.stringify([name, path, kind, ...[dev, ino, size, mtimeNs, ctimeNs].map(String), bootId()]);
  } catch {
    return undefined;
  }
}

/** Records the result of a successful probe; after a failure each start probes again. */
export async function keepProbe(
  directory: string,
  { name }: Handler,
  mark: string,
  result: ProbeResult,
): Promise<void> {
  if (!result.ready) return;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeWhole(
    join(directory, `${name}.probe`),
    JSON.stringify({ version: RECORD_VERSION, mark, result }),
    0o600,
  );
}

/** The recorded result for the current program file; undefined if it has to be probed. Never rejects. */
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

/** Parses a record with this mark; undefined for anything else. */
export function parseProbe(text: string, mark: string): ProbeResult | undefined {
  if (text.length > driverLimits.recordBytes) return undefined;
  const record = fieldsOf(JSON.parse(text));
  if (record['version'] !== RECORD_VERSION || record['mark'] !== mark) return undefined;
  const { ready, recursiveReadOnlyMounts, userNamespaces, execCgroup, ownSandbox, standIn, ...said } =
    fieldsOf(record['result']);
  const { version, features, knownState, shortSeccomp } = said;
  if (ready !== true || typeof recursiveReadOnlyMounts !== 'boolean') return undefined;
  if (typeof userNamespaces !== 'boolean' || typeof execCgroup !== 'boolean') return undefined;
  if (typeof ownSandbox !== 'boolean' || typeof knownState !== 'boolean') return undefined;
  if (typeof shortSeccomp !== 'boolean') return undefined;
  if (typeof version !== 'string' || !isWords(features)) return undefined;
  if (standIn !== undefined && typeof standIn !== 'string') return undefined;
  return {
    ready,
    reason: '',
    recursiveReadOnlyMounts,
    userNamespaces,
    execCgroup,
    ownSandbox,
    version,
    features,
    knownState,
    shortSeccomp,
    ...(standIn === undefined ? {} : { standIn }),
  };
}

function isWords(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function fieldsOf(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Partial<Record<string, unknown>>) : {};
}
