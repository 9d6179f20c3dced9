/** `troupe watch`: changes as they happen, over restarts of the daemon and overflow; every gap is reported. */
import { cliLimits } from '../bounds.ts';
import { pause } from '../../host/clock/wait.ts';
import { plainOf, problemOf } from '../../introspection/client.ts';
import type { CallProblem } from '../../introspection/client.ts';
import type { Change, ExplainResponse } from '../../gen/introspection/v1/introspection_pb.ts';
import { changeName, changeText, reasonText } from './actor-text.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import type { Screen } from './screen.ts';
import { fit, timeOfDay } from './text.ts';

interface WatchPosition {
  /** Number of the last change that was shown. */
  seq: bigint;
  /** Start time of the daemon instance that the number belongs to. */
  startedNs: bigint;
}

export async function watch(command: Command): Promise<number> {
  const after = command.line.options['after'];
  if (after !== undefined && !/^\d{1,18}$/u.test(after))
    throw new CommandError(EXIT.usage, `troupe watch: --after ${after}: expected a number`);
  const [what] = command.line.words;
  const isWanted =
    what === undefined ? () => true : wantedChanges(await command.client.explain({ query: what }));
  const place: WatchPosition = { seq: BigInt(after ?? 0), startedNs: 0n };
  const onChange = (change: Change): void => {
    if (isWanted(change)) show(command, change);
  };
  let tries = 0;
  while (!command.signal.aborted) {
    try {
      await follow(command, place, onChange, () => (tries = 0));
    } catch (thrown) {
      if (command.signal.aborted) break;
      const { problem, message } = problemOf(thrown);
      const wasReached = place.startedNs !== 0n;
      if (problem === 'forgotten') {
        // a gap must be visible
        command.screen.note(`troupe watch: ${message}; continuing with new changes`);
        place.seq = 0n;
      } else if (problem !== 'overflown' && !(isAway(problem) && wasReached)) throw thrown;
      tries += 1;
      if (tries > cliLimits.reconnects) throw thrown;
      if (isAway(problem)) await pause(command.clock, cliLimits.reconnectMs);
    }
  }
  return EXIT.ok;
}

/** After a restart the daemon is not there for a while, and then it may be slow. */
const isAway = (problem: CallProblem): boolean => problem === 'unreachable' || problem === 'late';

/**
 * The changes of an actor and, of a pod, of its containers; also of later attempts of the same name. A daemon of an
 * earlier version sends no names.
 */
export function wantedChanges({ actor, related }: ExplainResponse): (change: Change) => boolean {
  if (actor === undefined) return () => false;
  const pod = actor.kind === 'container' ? related.find(({ kind }) => kind === 'sandbox') : actor;
  const addresses = new Set([
    actor.address,
    ...(actor.kind === 'sandbox' ? related.map(({ address }) => address) : []),
  ]);
  return ({ address, name, namespace, pod: podName }) => {
    if (addresses.has(address)) return true;
    if (actor.kind === 'pull' || pod === undefined || namespace !== pod.namespace) return false;
    if (actor.kind === 'container') return podName === pod.name && name === actor.name;
    return podName === pod.name || (podName === '' && name === pod.name && address.startsWith('sandbox/'));
  };
}

async function follow(
  command: Command,
  place: WatchPosition,
  onChange: (change: Change) => void,
  reached: () => void,
): Promise<void> {
  const { client, signal } = command;
  const { startedNs, pid } = await client.status({}, { signal });
  if (place.startedNs !== 0n && startedNs !== place.startedNs) {
    command.screen.note(
      `troupe watch: the daemon was restarted (pid ${pid}); its changes are numbered from 1 again`,
    );
    place.seq = 1n;
  }
  place.startedNs = startedNs;
  reached();
  for await (const change of client.watch({ afterSeq: place.seq }, { signal, timeoutMs: 0 })) {
    place.seq = change.seq;
    onChange(change);
  }
}

function show({ screen, json }: Command, change: Change): void {
  if (json) screen.line(JSON.stringify(plainOf(change)));
  else
    for (const line of changeLines(`${timeOfDay(change.atNs)}  ${changeName(change)}  `, change, screen))
      screen.line(line);
}

/** A change on one line with the reason of an exit or a failure, which gets lines of its own where it does not fit. */
export function changeLines(lead: string, change: Change, screen: Screen): readonly string[] {
  const text = lead + changeText(change);
  const reason = reasonText(change);
  const head = screen.tone(change.settled ? 'good' : 'dim', fit(text, screen.columns));
  if (reason === '') return [head];
  const shown = screen.tone(change.fault === '' ? 'strong' : 'bad', fit(reason, Number.MAX_SAFE_INTEGER));
  return text.length + ': '.length + reason.length <= screen.columns
    ? [`${head}: ${shown}`]
    : [head, `    ${shown}`];
}
