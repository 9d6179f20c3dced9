/** A new configuration for the daemon that runs: which keys take effect without a restart, and SIGHUP. */
import { toFault } from '../../base/fault.ts';
import { configLimits } from '../bounds.ts';
import { SecretUrl } from '../../base/secret-url.ts';
import type { Log } from '../../base/log.ts';
import type { Config } from '../config/config-schema.ts';

/** Keys whose change counts at once; the others keep their value until the next start. See docs/configuration.md. */
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
  /** Keys that count from now on. */
  readonly changed: readonly string[];
  /** Keys that were changed and wait for a restart. */
  readonly waiting: readonly string[];
}

type Table = Readonly<Record<string, unknown>>;

/** Pure. `fresh` is whole: defaults, files and command line. */
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

/** A new password is a change, too, which JSON doesn't show. */
function textOf(value: unknown): string | undefined {
  return value instanceof SecretUrl ? value.reveal() : JSON.stringify(value);
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface Reloading {
  /** Reads all of the configuration anew. Rejects for what is not understood. */
  load(): Promise<Config>;
  apply(fresh: Config): Promise<ReloadPlan>;
  /** Before and after, for systemd. */
  tell(state: 'RELOADING=1' | 'READY=1'): Promise<void>;
  setLogLevel(level: string): void;
  /** Why the files can't be used, for Status; undefined once they can. */
  noteRefusal(reason: string | undefined): void;
  /** Until the next one may begin. */
  pause(ms: number): Promise<void>;
  readonly log: Log;
}

/**
 * What to do at SIGHUP. One reload at a time and a few in a second; signals that come meanwhile make one more after it, since
 * the files may have changed after they were read. A configuration that can't be used is told, in the log once for all
 * signals of a storm, and changes nothing.
 */
export function reloader(reloading: Reloading): () => void {
  let isAtWork = false;
  let isWanted = false;
  const run = async (): Promise<void> => {
    isAtWork = true;
    let told: string | undefined;
    while (isWanted) {
      isWanted = false;
      await reloading.tell('RELOADING=1');
      told = await reloadOnce(reloading, told);
      await reloading.tell('READY=1');
      await reloading.pause(configLimits.reloadEveryMs);
    }
    isAtWork = false;
  };
  return () => {
    isWanted = true;
    if (!isAtWork) void run();
  };
}

/** Gives why it failed, which is not logged again where `told` says the same. */
async function reloadOnce(
  { load, apply, setLogLevel, noteRefusal, log }: Reloading,
  told: string | undefined,
): Promise<string | undefined> {
  try {
    const { config, changed, waiting } = await apply(await load());
    setLogLevel(config.log.level);
    log.info({ changed }, 'the configuration was read again');
    if (waiting.length > 0)
      log.warn({ keys: waiting }, 'these keys have changed and count from the next start on');
    noteRefusal(undefined);
    return undefined;
  } catch (thrown) {
    const reason = toFault(thrown).message;
    if (reason !== told)
      log.error({ reason }, 'the configuration was not reloaded; the one before stays in effect');
    noteRefusal(reason);
    return reason;
  }
}
