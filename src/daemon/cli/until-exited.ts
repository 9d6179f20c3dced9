/** Waits for a container's end, also over a restart of the daemon. */
import { pause } from '../../host/clock/wait.ts';
import { problemOf } from '../../introspection/client.ts';
import { programLimits } from '../bounds.ts';
import type { Command } from './context.ts';

/** The failed attempt that is reported. */
const NOTED_TRY = 2;

/**
 * Resolves once the container has exited or is gone, or the signal aborts. Containers go on without the daemon, so one
 * that has gone is waited for; rejects when it does not come back.
 */
export async function untilExited(command: Command, id: string, signal: AbortSignal): Promise<void> {
  let tries = 0;
  while (!signal.aborted) {
    try {
      if (await hasExited(command, id, signal, () => (tries = 0))) return;
    } catch (thrown) {
      if (signal.aborted) return;
      const { problem } = problemOf(thrown);
      const mayPass = ['unreachable', 'late', 'overflown', 'forgotten'].includes(problem);
      tries += 1;
      if (!mayPass || tries > programLimits.attempts) throw thrown;
      // the first may be a connection that a daemon closed when another one took over
      if (tries === NOTED_TRY && problem === 'unreachable')
        command.screen.note(
          `troupe ${command.line.command}: the daemon does not answer; the container goes on`,
        );
      await pause(command.clock, programLimits.againMs, signal).catch(() => undefined);
    }
  }
}

/** Follows the changes from a list on, so that none is missed. False if the stream ended before the container. */
async function hasExited(
  { client, clock }: Command,
  id: string,
  signal: AbortSignal,
  reached: () => void,
): Promise<boolean> {
  const { actors, recovering, seq } = await client.list({ kind: 'container' }, { signal });
  reached();
  const now = actors.find((actor) => actor.id === id);
  if (now === undefined && recovering) {
    // a daemon that has just started, or taken over, does not know it yet
    await pause(clock, programLimits.againMs, signal);
    return false;
  }
  if (now === undefined || now.hasExited) return true;
  for await (const change of client.watch({ afterSeq: seq }, { signal, timeoutMs: 0 })) {
    if (change.address !== `container/${id}`) continue;
    if (change.to === 'gone' || change.to === 'exited') return true;
    // another settled state: the next list says whether it has exited
    if (change.settled && !change.to.startsWith('running')) return false;
  }
  return false;
}
