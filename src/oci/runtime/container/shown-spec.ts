/**
 * The OCI documents in verbose CRI answers. Scripts on nodes read a pod's namespaces there with containerd and CRI-O
 * (`.info.runtimeSpec.linux.namespaces`). The environment is left out, since it holds secrets.
 */
import { join } from 'node:path';
import type { ContainerId, SandboxId } from '../../../base/ids.ts';
import { driverLimits } from '../bounds.ts';
import type { Layout, PinName } from '../../../host/sandbox/layout.ts';
import { statOwn } from '../../../host/files/state-files.ts';
import { readSmallFile } from '../../../host/files/small-file.ts';
import { OCI_VERSION } from '../spec/generate.ts';

export interface ShownSpecs {
  /** JSON of a container's document; undefined if the bundle does not exist, as after a reboot. */
  container(id: ContainerId): Promise<string | undefined>;
  /** JSON of the pause process's document; without a pause process, of the pinned namespaces. */
  sandbox(id: SandboxId): Promise<string | undefined>;
}

/** OCI's names of the namespaces (runtime-spec, config-linux.md, "Namespaces"), in the order of its table. */
const NAMESPACES: readonly (readonly [type: string, pin: PinName])[] = [
  ['network', 'net'],
  ['ipc', 'ipc'],
  ['uts', 'uts'],
  ['user', 'user'],
];

/** The reader below one layout. */
export function shownSpecs(layout: Layout): ShownSpecs {
  return {
    container: (id) => readShown(layout.configJson(id)),
    sandbox: async (id) =>
      (await readShown(join(layout.pauseBundleDir(id), 'config.json'))) ?? pinnedSpec(layout, id),
  };
}

async function pinnedSpec(layout: Layout, id: SandboxId): Promise<string | undefined> {
  const namespaces = [];
  for (const [type, pin] of NAMESPACES) {
    const path = layout.pin(id, pin);
    if ((await statOwn(path)) !== undefined) namespaces.push({ type, path });
  }
  return namespaces.length === 0
    ? undefined
    : JSON.stringify({ ociVersion: OCI_VERSION, linux: { namespaces } });
}

async function readShown(path: string): Promise<string | undefined> {
  const text = await readSmallFile(path, {
    usualBytes: driverLimits.stateFileUsualBytes,
    bytesMax: driverLimits.stateFileBytes,
  });
  return text === undefined ? undefined : withoutEnvironment(text);
}

// JSON.rawJSON and a reviver's `source` exist in V8 since 11.4; TypeScript's library does not have them yet
const exact = JSON as typeof JSON & { rawJSON(text: string): object };
type Source = { readonly source?: string } | undefined;

/**
 * The document without any list named `env`: that of the process and those of hooks. Integers above 2^53, such as
 * rlimits, keep their digits: a client would refuse a rounded one as a 64-bit number. Undefined if the text is not
 * JSON.
 */
export function withoutEnvironment(text: string): string | undefined {
  const shown = (key: string, value: unknown, context?: Source): unknown => {
    if (key === 'env' && Array.isArray(value)) return undefined;
    const isRounded = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
    return isRounded && context?.source !== undefined ? exact.rawJSON(context.source) : value;
  };
  try {
    return JSON.stringify(JSON.parse(text, shown));
  } catch {
    return undefined;
  }
}
