/**
 * `<state>/handlers/<name>.json`: a record of each configured handler, so that its pods can be stopped and removed
 * after its entry was deleted, also by a restarted daemon.
 */
import { mkdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { jsonObject } from '../../../base/json-object.ts';
import { driverLimits } from '../bounds.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { writeWhole } from '../../../host/files/whole-file.ts';
import { namesIn } from './state.ts';
import type { HandlerConfig } from '../handlers/handlers.ts';
import { storedVersions } from '../../../base/stored-versions.ts';

/** Writes each record atomically. Not synced: after a reboot neither the record nor its pods exist. */
export async function writeHandlerRecords(
  directory: string,
  handlers: readonly HandlerConfig[],
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const { name, path, kind, root, options, monitorPath, configPath } of handlers) {
    const record = {
      version: storedVersions.handlerRecord,
      name,
      path,
      kind,
      root,
      options,
      monitorPath,
      configPath,
    };
    await writeWhole(join(directory, `${name}.json`), JSON.stringify(record), 0o600);
  }
}

/** The records; a damaged one is ignored, and one that can't be read is reported. */
export async function readHandlerRecords(
  directory: string,
  onUnread: (file: string, error: unknown) => void,
): Promise<readonly HandlerConfig[]> {
  const files = (await namesIn(directory))
    .filter((name) => name.endsWith('.json'))
    .slice(0, driverLimits.handlerRecords);
  const found: HandlerConfig[] = [];
  for (const file of files) {
    const text = await readSmallFile(join(directory, file), {
      usualBytes: driverLimits.recordBytes,
      bytesMax: driverLimits.recordBytes,
    }).catch((error: unknown) => {
      onUnread(file, error);
      return undefined;
    });
    const record = parseHandlerRecord(text ?? '');
    if (record !== undefined && file === `${record.name}.json`) found.push(record);
  }
  return found;
}

/** Parses a record; undefined if it is invalid. */
export function parseHandlerRecord(text: string): HandlerConfig | undefined {
  if (text.length > driverLimits.recordBytes) return undefined;
  const value = jsonObject(text);
  if (value === undefined) return undefined;
  const {
    version,
    name,
    path,
    kind,
    root,
    options,
    monitorPath,
    configPath,
  }: Partial<Record<keyof HandlerConfig | 'version', unknown>> = value;
  if (
    version !== storedVersions.handlerRecord ||
    typeof name !== 'string' ||
    !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u.test(name)
  )
    return undefined;
  if (!isPath(path) || (kind !== 'oci' && kind !== 'vm')) return undefined;
  const words =
    Array.isArray(options) && options.every((word): word is string => typeof word === 'string')
      ? options
      : undefined;
  return {
    name,
    path,
    kind,
    ...(isPath(root) ? { root } : {}),
    ...(words === undefined ? {} : { options: words }),
    ...(isPath(monitorPath) ? { monitorPath } : {}),
    ...(isPath(configPath) ? { configPath } : {}),
  };
}

function isPath(value: unknown): value is string {
  return typeof value === 'string' && isAbsolute(value) && !value.includes('\0');
}
