/** `troupe upgrade`: asks the daemon to be replaced, and prints what happens. */
import { resolve } from 'node:path';
import { toFault } from '../../base/fault.ts';
import { checkFfi } from '../../host/ffi/check.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import { takeOverLimits } from '../bounds.ts';
import { dialOnceReady } from '../takeover/dial-once-ready.ts';
import type { Link } from '../takeover/link.ts';
import { TAKE_OVER_PROTOCOL } from '../takeover/messages.ts';
import type { Upgrade } from '../takeover/messages.ts';
import { ownLauncher } from '../takeover/successor.ts';
import type { Command } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { refusedStart } from './refused-start.ts';

export async function upgrade(command: Command): Promise<number> {
  const link = await dialForCommand(command, takeOverLimits.recoverMs);
  if (link === undefined)
    throw await unreachable(command, createLayout(await command.config()).takeOverSocket);
  const { program } = command.line.options;
  if (program === undefined) checkMachine(link);
  const code = await askForUpgrade(command, link, {
    program: program === undefined ? ownLauncher() : resolve(program),
  });
  return code === 'unchanged' ? EXIT.ok : code;
}

/** A connection to the daemon, as `dialOnceReady`; it says on stderr whom it waits for. */
export async function dialForCommand(
  { config, clock, screen, line }: Command,
  waitMs: number,
): Promise<Link | undefined> {
  const onWait = (pid: number): void =>
    screen.note(`troupe ${line.command}: process ${pid} does not serve yet: wait`);
  return dialOnceReady(await config(), { clock, waitMs, pollMs: takeOverLimits.relayPollMs, onWait });
}

/**
 * Without a daemon that hands over a package restarts the service. Not with a program that refuses the journal: what
 * runs there would end, and nothing would start in its place.
 */
async function unreachable(command: Command, socket: string): Promise<CommandError> {
  const reason = await refusedStart(command);
  const lead = `troupe upgrade: no daemon listens on ${socket}`;
  return reason === undefined
    ? new CommandError(EXIT.unreachable, lead)
    : new CommandError(EXIT.takeOverRefused, `${lead}, and this version starts none: ${reason}`);
}

/**
 * What a start of this program checks first: its reason would be in the daemon's log alone, which nobody reads during
 * an installation.
 */
function checkMachine(link: Link): void {
  try {
    checkFfi();
  } catch (thrown) {
    link.close();
    throw new CommandError(EXIT.takeOverRefused, `troupe upgrade: ${toFault(thrown).message}`);
  }
}

/**
 * Prints each step; closes the link. Settles with the exit code. A daemon that is well answers at once: where none has
 * come, it is said while the command still waits, since systemd ends a reload before the command gives up.
 */
export async function askForUpgrade(
  { line, screen, clock }: Pick<Command, 'line' | 'screen' | 'clock'>,
  link: Pick<Link, 'send' | 'next' | 'close'>,
  wanted: Pick<Upgrade, 'program' | 'unless'>,
): Promise<number | 'unchanged'> {
  const begunMs = clock.monoMs();
  const say = (text: string): void => {
    screen.line(`${((clock.monoMs() - begunMs) / 1000).toFixed(2).padStart(7)} s  ${text}`);
  };
  const silence = clock.setTimeout(() => {
    const forS = takeOverLimits.answerMs / 1000;
    screen.note(`troupe ${line.command}: the daemon has not answered for ${forS} s: troupe dump says why`);
  }, takeOverLimits.answerMs);
  try {
    await link.send({ type: 'upgrade', protocol: TAKE_OVER_PROTOCOL, ...wanted });
    for (;;) {
      const message = await link.next(takeOverLimits.recoverMs + takeOverLimits.answerMs);
      clock.clearTimeout(silence);
      if (message.type === 'step') say(message.text);
      if (message.type === 'done') return EXIT.ok;
      if (message.type === 'unchanged') return message.type;
      if (message.type !== 'refused') continue;
      screen.note(`troupe ${line.command}: ${message.reason}`);
      return EXIT.takeOverRefused;
    }
  } finally {
    clock.clearTimeout(silence);
    link.close();
  }
}
