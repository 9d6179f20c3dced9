/** Reload of the configuration by SIGHUP, and the keys that take effect without a restart. */
import { toFault } from '../../base/fault.ts';
import { configLimits } from '../bounds.ts';
import { SecretUrl } from '../../base/secret-url.ts';
import type { Log } from '../../base/log.ts';
import { schema } from '../config/config-schema.ts';
import type { Config } from '../config/config-schema.ts';
import type { ConfigKeys } from '../config/sections/config-rule.ts';

export interface ReloadPlan {
  /** The old configuration with the new values of the keys that can be reloaded. */
  readonly config: Config;
  /** Changed keys that take effect now. */
  readonly changed: readonly string[];
  /** Changed keys that take effect at the next start. */
  readonly waiting: readonly string[];
}

type Table = Readonly<Record<string, unknown>>;

/**
 * Pure. `fresh` is complete: defaults, files and command line. A value that has not changed stays the same object, by
 * which the parts that use it know.
 */
export function planReload(old: Config, fresh: Config): ReloadPlan {
  const plan = { changed: [], waiting: [] };
  return { config: merge(old as never, fresh as never, schema, '', plan) as never, ...plan };
}

function merge(
  old: Table,
  fresh: Table,
  keys: ConfigKeys,
  prefix: string,
  plan: { readonly changed: string[]; readonly waiting: string[] },
): Table {
  const merged = Object.entries(keys).map(([name, rule]) => {
    const key = `${prefix}${name}`;
    const [before, after] = [old[name], fresh[name]];
    if (rule.is === 'table')
      return [name, merge(before as Table, after as Table, rule.keys, `${key}.`, plan)] as const;
    if (textOf(after) === textOf(before)) return [name, before] as const;
    (rule.reload ? plan.changed : plan.waiting).push(key);
    return [name, rule.reload ? after : before] as const;
  });
  return Object.fromEntries(merged);
}

/** Compares revealed URLs, since JSON does not show a changed password. */
function textOf(value: unknown): string | undefined {
  return value instanceof SecretUrl ? value.reveal() : JSON.stringify(value);
}

export interface Reloading {
  /** Reads the whole configuration again. Rejects if it has an error. */
  load(): Promise<Config>;
  /** Undefined where another daemon is to do it. */
  apply(load: Reloading['load']): Promise<ReloadPlan | undefined>;
  /** Notifies systemd before and after. */
  notify(state: 'RELOADING=1' | 'READY=1'): Promise<void>;
  setLog(log: Config['log']): void;
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
  { load, apply, setLog, noteRefusal, log }: Reloading,
  logged: string | undefined,
): Promise<string | undefined> {
  try {
    const plan = await apply(load);
    if (plan === undefined) return undefined;
    const { config, changed, waiting } = plan;
    setLog(config.log);
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
