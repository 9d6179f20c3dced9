/** Why a daemon that does not answer can't be started, as far as its files say it. */
import { toFault } from '../../base/fault.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { within } from '../../host/clock/wait.ts';
import { problemOf } from '../../introspection/client.ts';
import { cliLimits } from '../bounds.ts';
import type { Config } from '../config/config-schema.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';

/**
 * The reason why this version starts no daemon on the configured root: a newer one wrote its journal (F93). Undefined
 * for any other reason, and where this user may not read the journal.
 */
export async function refusedStart(config: () => Promise<Pick<Config, 'root'>>): Promise<string | undefined> {
  // loaded on demand: `troupe status` answers at once where a daemon runs
  const { readRecords } = await import('../wiring/journal-records.ts');
  try {
    await readRecords((await config()).root);
  } catch (thrown) {
    const { kind, message } = toFault(thrown);
    return kind === 'unsupported' ? message : undefined;
  }
  return undefined;
}

/** The reason, unless the disk takes too long to show it: the journal may lie on one that hangs. */
export async function refusedWithin(
  clock: ClockPort,
  reason: Promise<string | undefined>,
): Promise<string | undefined> {
  const found = await within({ clock, timeoutMs: cliLimits.callMs }, reason);
  return found === 'timedOut' || found === 'cancelled' ? undefined : found;
}

async function ifOfNewerFormat(config: () => Promise<Pick<Config, 'root'>>): Promise<string | undefined> {
  const { hasNewerFormat } = await import('../wiring/journal-records.ts');
  return (await hasNewerFormat((await config()).root)) ? refusedStart(config) : undefined;
}

/**
 * What to throw in place of the error of a call: where no daemon answers since none can start, the reason. A daemon
 * that waits for a successor, which only a newer version can be, keeps the socket and accepts nothing from it.
 */
export async function orRefusedStart(
  { line, socket, config, clock }: Pick<Command, 'line' | 'socket' | 'config' | 'clock'>,
  thrown: unknown,
): Promise<unknown> {
  const { problem } = problemOf(thrown);
  if (problem !== 'unreachable' && problem !== 'late') return thrown;
  // a daemon that is late for another reason has enough to do: its journal may be large
  const reason = await refusedWithin(
    clock,
    problem === 'late' ? ifOfNewerFormat(config) : refusedStart(config),
  );
  if (reason === undefined) return thrown;
  return new CommandError(
    problem === 'late' ? EXIT.failed : EXIT.unreachable,
    `troupe ${line.command}: no daemon answers at ${socket}, and this version starts none: ${reason}`,
  );
}
