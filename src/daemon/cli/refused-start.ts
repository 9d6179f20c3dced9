/** Why a daemon that does not answer can't be started, as far as its files say it. */
import { toFault } from '../../base/fault.ts';
import { within } from '../../host/clock/wait.ts';
import { problemOf } from '../../introspection/client.ts';
import { cliLimits } from '../bounds.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';

type Place = Pick<Command, 'config' | 'clock'>;

/**
 * The reason why this version starts no daemon on the configured root: a newer one wrote its journal (F93). Undefined
 * for any other reason, where this user may not read the journal, and where its disk takes too long.
 * @param isByFormat without reading the records: the journal may be large, and a daemon that is late is busy
 */
export async function refusedStart(
  { config, clock }: Place,
  isByFormat = false,
): Promise<string | undefined> {
  const bound = { clock, timeoutMs: cliLimits.callMs };
  const found = await within(
    bound,
    reasonIn(async () => (await config()).root, isByFormat),
  );
  return found === 'timedOut' || found === 'cancelled' ? undefined : found;
}

async function reasonIn(rootOf: () => Promise<string>, isByFormat: boolean): Promise<string | undefined> {
  // loaded on demand: `troupe status` answers at once where a daemon runs
  const { hasNewerFormat, readRecords } = await import('../wiring/journal-records.ts');
  try {
    const root = await rootOf();
    if (!isByFormat || (await hasNewerFormat(root))) await readRecords(root);
  } catch (thrown) {
    const { kind, message } = toFault(thrown);
    return kind === 'unsupported' ? message : undefined;
  }
  return undefined;
}

/**
 * What to throw in place of the error of a call: where no daemon answers since none can start, the reason. A daemon
 * that waits for a successor, which only a newer version can be, keeps the socket and accepts nothing from it.
 */
export async function orRefusedStart(
  { line, socket, ...place }: Pick<Command, 'line' | 'socket'> & Place,
  thrown: unknown,
): Promise<unknown> {
  const { problem } = problemOf(thrown);
  if (problem !== 'unreachable' && problem !== 'late') return thrown;
  const isLate = problem === 'late';
  const reason = await refusedStart(place, isLate);
  if (reason === undefined) return thrown;
  return new CommandError(
    isLate ? EXIT.failed : EXIT.unreachable,
    `troupe ${line.command}: no daemon answers at ${socket}, and this version starts none: ${reason}`,
  );
}
