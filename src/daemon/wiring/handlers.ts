/**
 * Turns the configured handlers into those of the driver: finds their programs, and reports a missing one with its
 * handler.
 */
import { toFault } from '../../base/fault.ts';
import { AUTO, AUTO_CRUN, AUTO_RUNC } from '../../oci/runtime/handlers/handlers.ts';
import type { HandlerConfig } from '../../oci/runtime/handlers/handlers.ts';
import type { Config } from '../config/config-schema.ts';
import type { HandlerSettings } from '../config/sections/runtime.ts';
import { findProgram } from './find-program.ts';

/** Never rejects: a handler whose program is missing is listed with the reason, and the others work. */
export async function handlersOf({ runtime }: Config): Promise<readonly HandlerConfig[]> {
  const { handlers, monitor } = runtime;
  const configured = await Promise.all(
    Object.entries(handlers).map(([name, settings]) => handlerOf(name, settings, monitor)),
  );
  if (runtime.default_handler !== AUTO || handlers[AUTO_CRUN] !== undefined) return configured;
  const added = await handlerOf(AUTO_CRUN, likeRunc(handlers[AUTO_RUNC] ?? {}), monitor);
  return added.missing === undefined ? [...configured, added] : configured;
}

/**
 * What runc's handler allows its pods and withholds from them. Not its options, which may mean another thing to crun:
 * where it has some, `auto` keeps runc.
 */
function likeRunc(runc: HandlerSettings): HandlerSettings {
  return { ...runc, path: AUTO_CRUN, type: 'oci', root: '', config_path: '', options: [] };
}

/** The monitor of handlers that name none. If it is missing, they are not ready with the reason; the start goes on. */
export async function monitorOf({ runtime }: Config): Promise<string> {
  return (await lookUp(runtime.monitor, 'monitor')).path;
}

async function handlerOf(
  name: string,
  settings: HandlerSettings,
  machineMonitor: string,
): Promise<HandlerConfig> {
  const program = await lookUp(settings.path || name, `runtime handler ${name}`);
  const monitor = await lookUp(settings.monitor || machineMonitor, `monitor of runtime handler ${name}`);
  const missing = program.missing ?? monitor.missing;
  const { root, config_path: configPath, seccomp_profile: seccompProfile } = settings;
  return {
    name,
    kind: settings.type ?? 'oci',
    path: program.path,
    ...(missing === undefined ? {} : { missing }),
    monitorPath: monitor.path,
    ...(root ? { root } : {}),
    ...(configPath ? { configPath } : {}),
    ...(seccompProfile ? { seccompProfile } : {}),
    options: settings.options ?? [],
    shortcuts: settings.shortcuts ?? true,
    shortSeccomp: settings.short_seccomp ?? true,
    noPivot: settings.no_pivot ?? false,
    allowedAnnotations: settings.allowed_annotations ?? [],
    defaultAnnotations: settings.default_annotations ?? {},
    privilegedWithoutHostDevices: settings.privileged_without_host_devices ?? false,
  };
}

async function lookUp(
  name: string,
  purpose: string,
): Promise<{ readonly path: string; readonly missing?: string }> {
  try {
    return { path: await findProgram(name, purpose) };
  } catch (thrown) {
    return { path: name, missing: toFault(thrown).message };
  }
}
