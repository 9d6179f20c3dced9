/** `troupe logs`: what a container's program wrote, read from its log file. */
import { imageFault, runtimeClient } from '../../introspection/image-client.ts';
import type { Actor } from '../../gen/introspection/v1/introspection_pb.ts';
import { copyLog } from '../programs/follow-log.ts';
import { catchInterrupts } from '../programs/interrupts.ts';
import { timeNs } from '../programs/log-parser.ts';
import { programOutput } from '../programs/output.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { containerNamed } from './named-container.ts';
import { untilExited } from './until-exited.ts';

/** The output of the program is shown as it is: unlike texts of ours it is not escaped, as in the peers' tools. */
export async function logs(command: Command): Promise<number> {
  const { line, client, clock } = command;
  const requested = {
    tail: tailOf(line.options['tail']),
    sinceNs: sinceOf(command),
    timestamps: line.flags.has('timestamps'),
  };
  const what = line.words[0] ?? '';
  const container = await containerNamed(command, what);
  const { socket } = await client.status({});
  const containerId = line.flags.has('previous') ? await previousOf(command, container) : container.id;
  const { status } = await runtimeClient(socket)
    .containerStatus({ containerId })
    .catch((thrown: unknown) => Promise.reject(imageFault(thrown, socket)));
  const path = status?.logPath ?? '';
  if (path === '')
    throw new CommandError(EXIT.failed, `troupe logs ${what}: it has no log: its creation named no log_path`);
  const interrupts = catchInterrupts();
  try {
    const { signal } = interrupts;
    const ended = line.flags.has('follow') ? untilExited(command, containerId, signal) : undefined;
    const output = programOutput(process.stdout, process.stderr, () => interrupts.outputLost());
    const copied = copyLog({ ...requested, path }, output, { ended, signal, clock });
    // a daemon that does not come back ends it, too
    await (ended === undefined ? copied : Promise.all([copied, ended]));
    return EXIT.ok;
  } catch (thrown) {
    // Ctrl-C, or a reader that has enough
    if (interrupts.signal.aborted) return EXIT.ok;
    throw thrown;
  } finally {
    interrupts.stop();
  }
}

function tailOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/u.test(text))
    throw new CommandError(EXIT.usage, `troupe logs: --tail ${text}: expected a number`);
  return Number(text);
}

const UNIT_S: Readonly<Record<string, number>> = { d: 86_400, h: 3600, m: 60, s: 1 };

/** A time, or a duration before now such as `90s` or `1h30m`. */
function sinceOf({ line, clock }: Command): bigint | undefined {
  const text = line.options['since'];
  if (text === undefined) return undefined;
  const at = timeNs(text);
  if (at !== undefined) return at;
  if (!/^(?:\d{1,6}[dhms])+$/u.test(text))
    throw new CommandError(
      EXIT.usage,
      `troupe logs: --since ${text}: expected 10m, 1h30m or 2026-01-31T12:00:00Z`,
    );
  const seconds = [...text.matchAll(/(\d+)([dhms])/gu)].reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (UNIT_S[unit] ?? 0),
    0,
  );
  return clock.nowNs() - BigInt(seconds) * 1_000_000_000n;
}

/** The attempt before this one. */
async function previousOf({ line, client }: Command, container: Actor): Promise<string> {
  const { actors } = await client.list({ kind: 'container' });
  const before = actors
    .filter(
      ({ sandboxId, name, attempt }) =>
        sandboxId === container.sandboxId && name === container.name && attempt < container.attempt,
    )
    .toSorted((one, other) => other.attempt - one.attempt);
  const [newest] = before;
  if (newest !== undefined) return newest.id;
  throw new CommandError(
    EXIT.notFound,
    `troupe logs ${line.words[0] ?? ''}: attempt ${container.attempt} has no previous one on this node`,
  );
}
