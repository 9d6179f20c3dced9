/**
 * `<state>/handlers/<name>.probe`: the result of a handler's last probe. A restarted daemon with the same program
 * then need not run it three times before its first answer. A record is valid only for the same boot and the same
 * files: the program's and those of its libraries.
 */
import { constants } from 'node:fs';
import { access, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { driverLimits } from '../bounds.ts';
import { bootId } from '../../../host/files/boot-id.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import type { Handler, ProbeResult } from './handlers.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

/** A result, and the files that it holds for. */
export interface Probed {
  /** Of `programMark`. */
  readonly mark: string;
  /** Of the program's libraries (loaded-files.ts); empty if they cannot be known. */
  readonly files: readonly string[];
  readonly result: ProbeResult;
}

/**
 * Identifies the files of the program and its libraries as they are now; undefined if the program's cannot be read.
 * Taken before the probe, so that a change during the probe is noticed.
 */
export async function programMark(
  { name, path, kind }: Handler,
  files: readonly string[],
): Promise<string | undefined> {
  const [own, ...others] = await Promise.all([path, ...files].map(fileMark));
  return own === undefined
    ? undefined
    : JSON.stringify([name, path, kind, own, others.map((other) => other ?? 'absent'), bootId()]);
}

async function fileMark(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch {
    return undefined;
  }
}

/** Records the result of a successful probe; after a failure each start probes again. */
export async function keepProbe(directory: string, { name }: Handler, probed: Probed): Promise<void> {
  if (!probed.result.ready) return;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const record = { version: storedVersions.probeRecord, ...probed };
  await writeWhole(join(directory, `${name}.probe`), JSON.stringify(record), 0o600);
}

/** The recorded result for the current files; undefined if the program has to be probed. Never rejects. */
export async function recallProbe(directory: string, handler: Handler): Promise<Probed | undefined> {
  try {
    const bounds = { usualBytes: driverLimits.recordBytes, bytesMax: driverLimits.recordBytes };
    const text = (await readSmallFile(join(directory, `${handler.name}.probe`), bounds)) ?? '';
    const probed = parseProbe(text);
    if (probed === undefined || probed.mark !== (await programMark(handler, probed.files))) return undefined;
    if (probed.result.standIn !== undefined) await access(probed.result.standIn, constants.X_OK);
    return probed;
  } catch {
    return undefined;
  }
}

/** Parses a record; undefined for anything else. */
export function parseProbe(text: string): Probed | undefined {
  if (text.length > driverLimits.recordBytes) return undefined;
  const { version, mark, files, result } = fieldsOf(JSON.parse(text));
  if (version !== storedVersions.probeRecord || typeof mark !== 'string' || !isWords(files)) return undefined;
  const parsed = parseResult(fieldsOf(result));
  return parsed && { mark, files, result: parsed };
}

function parseResult(recorded: Partial<Record<string, unknown>>): ProbeResult | undefined {
  const { ready, recursiveReadOnlyMounts, userNamespaces, execCgroup, ownSandbox, standIn, ...said } =
    recorded;
  const { version, features, knownState, shortSeccomp, whyNotShort } = said;
  if (ready !== true || typeof recursiveReadOnlyMounts !== 'boolean') return undefined;
  if (typeof userNamespaces !== 'boolean' || typeof execCgroup !== 'boolean') return undefined;
  if (typeof ownSandbox !== 'boolean' || typeof knownState !== 'boolean') return undefined;
  if (typeof shortSeccomp !== 'boolean') return undefined;
  if (typeof version !== 'string' || !isWords(features)) return undefined;
  if (standIn !== undefined && typeof standIn !== 'string') return undefined;
  if (whyNotShort !== undefined && typeof whyNotShort !== 'string') return undefined;
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
    ...(whyNotShort === undefined ? {} : { whyNotShort }),
    ...(standIn === undefined ? {} : { standIn }),
  };
}

function isWords(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function fieldsOf(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Partial<Record<string, unknown>>) : {};
}
