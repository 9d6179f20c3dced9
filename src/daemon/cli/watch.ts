/** `troupe watch`: changes as they happen, over restarts of the daemon and overflow; every gap is reported. */
import { cliLimits } from '../bounds.ts';
import { pause } from '../../host/clock/wait.ts';
import { plainOf, problemOf } from '../../introspection/client.ts';
import type { CallProblem } from '../../introspection/client.ts';
import type { Change } from '../../gen/introspection/v1/introspection_pb.ts';
import { changeText } from './actor-text.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { fit, shortAddress, timeOfDay } from './text.ts';

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
  const place: WatchPosition = { seq: BigInt(after ?? 0), startedNs: 0n };
  let tries = 0;
  while (!command.signal.aborted) {
    try {
      await follow(command, place, () => (tries = 0));
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

async function follow(command: Command, place: WatchPosition, reached: () => void): Promise<void> {
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
    show(command, change);
  }
}

function show({ screen, json }: Command, change: Change): void {
  if (json) screen.line(JSON.stringify(plainOf(change)));
  else {
    const text = `${timeOfDay(change.atNs)}  ${shortAddress(change.address)}  ${changeText(change)}`;
    screen.line(screen.tone(change.settled ? 'good' : 'dim', fit(text, screen.columns)));
  }
}
