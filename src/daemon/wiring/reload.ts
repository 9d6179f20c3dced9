/** Reload of the configuration by SIGHUP, and the keys that take effect without a restart. */
import { toFault } from '../../base/fault.ts';
import { configLimits } from '../bounds.ts';
import { SecretUrl } from '../../base/secret-url.ts';
import type { Log } from '../../base/log.ts';
import type { Config } from '../config/config-schema.ts';

/** Keys whose change takes effect at once; the others keep their value until the next start (docs/configuration.md). */
export const RELOADED: readonly string[] = [
  'log.level',
  'runtime.default_handler',
  'runtime.handlers',
  'images.registries_conf',
  'images.registries_conf_dir',
];

export interface ReloadPlan {
  /** The old configuration with the new values of the keys that can be reloaded. */
  readonly config: Config;
  /** Changed keys that take effect now. */
  readonly changed: readonly string[];
  /** Changed keys that take effect at the next start. */
  readonly waiting: readonly string[];
}

type Table = Readonly<Record<string, unknown>>;

/** Pure. `fresh` is complete: defaults, files and command line. */
export function planReload(old: Config, fresh: Config): ReloadPlan {
  const changed: string[] = [];
  const waiting: string[] = [];
  const merged = merge(old as never, fresh as never, '', (key) => {
    const isReloaded = RELOADED.includes(key);
    (isReloaded ? changed : waiting).push(key);
    return isReloaded;
  });
  return { config: merged as never, changed, waiting };
}

function merge(old: Table, fresh: Table, prefix: string, take: (key: string) => boolean): Table {
  const merged: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fresh)) {
    const key = `${prefix}${name}`;
    const before = old[name];
    if (isTable(value) && isTable(before) && prefix === '')
      merged[name] = merge(before, value, `${key}.`, take);
    else if (textOf(value) === textOf(before)) merged[name] = before;
    else merged[name] = take(key) ? value : before;
  }
  return merged;
}

/** Compares revealed URLs, since JSON does not show a changed password. */
function textOf(value: unknown): string | undefined {
  return value instanceof SecretUrl ? value.reveal() : JSON.stringify(value);
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface Reloading {
  /** Reads the whole configuration again. Rejects if it has an error. */
  load(): Promise<Config>;
  apply(fresh: Config): Promise<ReloadPlan>;
  /** Notifies systemd before and after. */
  notify(state: 'RELOADING=1' | 'READY=1'): Promise<void>;
  setLogLevel(level: string): void;
  /** Reports in Status why the files can't be used; undefined once they can. */
  noteRefusal(reason: string | undefined): void;
  /** Waits until the next reload may begin. */
  pause(ms: number): Promise<void>;
  readonly log: Log;
}

/**
 * The handler of SIGHUP. Reloads run one at a time, a few per second. Signals during a reload cause one more after it,
 * since the files may have changed after they were read. A configuration that can't be used changes nothing; its error
 * is logged once for a series of signals.
 */
export function reloader(reloading: Reloading): () => void {
  let isAtWork = false;
  let isWanted = false;
  const run = async (): Promise<void> => {
    isAtWork = true;
    let logged: string | undefined;
    while (isWanted) {
      isWanted = false;
      await reloading.notify('RELOADING=1');
      logged = await reloadOnce(reloading, logged);
      await reloading.notify('READY=1');
      await reloading.pause(configLimits.reloadEveryMs);
    }
    isAtWork = false;
  };
  return () => {
    isWanted = true;
    if (!isAtWork) void run();
  };
}

/** Resolves to the error, which is not logged again if it equals `logged`. */
async function reloadOnce(
  { load, apply, setLogLevel, noteRefusal, log }: Reloading,
  logged: string | undefined,
): Promise<string | undefined> {
  try {
    const { config, changed, waiting } = await apply(await load());
    setLogLevel(config.log.level);
    log.info({ changed }, 'configuration reloaded');
    if (waiting.length > 0) log.warn({ keys: waiting }, 'changed keys take effect at the next start');
    noteRefusal(undefined);
    return undefined;
  } catch (thrown) {
    const reason = toFault(thrown).message;
    if (reason !== logged)
      log.error({ reason }, 'reload configuration: failed, the previous one stays in effect');
    noteRefusal(reason);
    return reason;
  }
}
