/** Changes to a document from outside the request (CDI files, hook files), in one form. */
import type { ResolvedDevice } from './input.ts';
import { byDepth } from './mounts.ts';
import { deviceRule, devicesOf } from './resources.ts';
import { HOOK_KINDS } from './types.ts';
import type { HookKind, OciHook, OciHooks, OciIntelRdt, OciMount, OciSpec } from './types.ts';

export interface StagedHook {
  readonly stage: HookKind;
  readonly hook: OciHook;
}

export interface Edits {
  /** `NAME=value`; replaces the variable of that name. */
  readonly env: readonly string[];
  /** Each replaces a device at the same path. */
  readonly devices: readonly ResolvedDevice[];
  /** Each replaces a mount at the same destination. */
  readonly mounts: readonly OciMount[];
  readonly hooks: readonly StagedHook[];
  /** Added to those of the process. */
  readonly additionalGids: readonly number[];
  /** Replaces an existing one. */
  readonly intelRdt?: OciIntelRdt | undefined;
}

/** The document with the edits applied. */
export function applyEdits(document: OciSpec, edits: Edits): OciSpec {
  const { process: program, linux } = document;
  const devices = new Map(linux.devices.map((device) => [device.path, device]));
  for (const device of devicesOf(edits.devices)) {
    devices.delete(device.path);
    devices.set(device.path, device);
  }
  const rules = edits.devices.filter(({ permissions }) => permissions !== '').map(deviceRule);
  const hooks = withHooks(document.hooks ?? {}, edits.hooks);
  return {
    ...document,
    process: {
      ...program,
      env: withVariables(program.env, edits.env),
      user: {
        ...program.user,
        additionalGids: [...new Set([...program.user.additionalGids, ...edits.additionalGids])],
      },
    },
    mounts: withMounts(document.mounts, edits.mounts),
    linux: {
      ...linux,
      devices: [...devices.values()],
      resources: { ...linux.resources, devices: [...linux.resources.devices, ...rules] },
      ...(edits.intelRdt === undefined ? {} : { intelRdt: edits.intelRdt }),
    },
    ...(Object.keys(hooks).length === 0 ? {} : { hooks }),
  };
}

function withVariables(env: readonly string[], added: readonly string[]): readonly string[] {
  const nameOf = (variable: string): string => variable.slice(0, variable.indexOf('='));
  const all = new Map([...env, ...added].map((variable) => [nameOf(variable), variable]));
  return [...all.values()];
}

function withMounts(mounts: readonly OciMount[], added: readonly OciMount[]): readonly OciMount[] {
  if (added.length === 0) return mounts;
  const last = new Map(added.map((mount) => [mount.destination, mount]));
  return byDepth([...mounts.filter(({ destination }) => !last.has(destination)), ...last.values()]);
}

function withHooks(hooks: OciHooks, added: readonly StagedHook[]): OciHooks {
  const all = HOOK_KINDS.map((stage) => {
    const here = added.filter((one) => one.stage === stage).map(({ hook }) => hook);
    return [stage, [...(hooks[stage] ?? []), ...here]] as const;
  });
  return Object.fromEntries(all.filter(([, list]) => list.length > 0));
}
