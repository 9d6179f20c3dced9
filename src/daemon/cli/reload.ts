/** `troupe reload`: this program takes over if the daemon runs another one; else SIGHUP. */
import { constants } from 'node:os';
import { killProcess, processIdentity } from '../../host/process/process-identity.ts';
import { takeOverLimits } from '../bounds.ts';
import { programIdentity } from '../takeover/own-program.ts';
import { ownLauncher } from '../takeover/successor.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { askForUpgrade, dialForCommand } from './upgrade.ts';

export async function reload(command: Command): Promise<number> {
  const link = await dialForCommand(command, takeOverLimits.answerMs);
  // one that can't listen there reads its configuration again, too
  if (link !== undefined) {
    const { screen } = command;
    // beside the document each step is a note
    const shown = command.json ? { ...command, screen: { ...screen, line: screen.note } } : command;
    const code = await askForUpgrade(shown, link, {
      program: ownLauncher(),
      unless: programIdentity(),
    });
    if (code === EXIT.ok && command.json)
      writeJson(screen, { did: 'takeOver', pid: await daemonPid(command) });
    if (code !== 'unchanged') return code;
  }
  const pid = await daemonPid(command);
  const identity = processIdentity(pid);
  if (identity === undefined || !killProcess(identity, constants.signals.SIGHUP))
    throw new CommandError(EXIT.unreachable, `troupe reload: process ${pid} of the daemon has gone`);
  if (command.json) writeJson(command.screen, { did: 'reload', pid });
  else command.screen.line(`process ${pid} reads its configuration again; its log has the result`);
  return EXIT.ok;
}

const daemonPid = async ({ client }: Command): Promise<number> => Number((await client.status({})).pid);
