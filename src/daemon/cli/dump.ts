/** `troupe dump`: has the daemon write a state dump or a heap summary, and prints its path. */
import { constants } from 'node:os';
import { poll, within } from '../../host/clock/wait.ts';
import { lockHolder } from '../../host/files/directory-lock.ts';
import { killProcess, processIdentity } from '../../host/process/process-identity.ts';
import { handlesSignal, threadsOf } from '../../host/process/process-threads.ts';
import type { ThreadState } from '../../host/process/process-threads.ts';
import { cliLimits, dumpLimits } from '../bounds.ts';
import type { Config } from '../config/config-schema.ts';
import { dumpsOf } from '../dumps/dump-files.ts';
import { DUMP_SIGNALS } from '../dumps/dump-signals.ts';
import type { DumpKind } from '../dumps/dump-signals.ts';
import { processStateWord } from './actor-text.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';

export async function dump(command: Command): Promise<number> {
  const { line, screen, json, clock, signal } = command;
  const kind: DumpKind = line.flags.has('heap') ? 'heap' : 'state';
  const { pid, state } = await daemonOf(command);
  const before = new Set(await dumpsOf(state, kind, pid));
  askFor(kind, pid);
  const bound = { clock, timeoutMs: dumpLimits.answerMs, signal };
  const every = {
    firstMs: dumpLimits.pollMs,
    lastMs: dumpLimits.pollMs,
    attempted: `wait for a ${kind} dump`,
  };
  const file = await poll({ ...bound, ...every }, async () =>
    (await dumpsOf(state, kind, pid)).find((path) => !before.has(path)),
  );
  if (file === undefined) {
    screen.note(`troupe dump: the daemon (pid ${pid}) has written none for ${dumpLimits.answerMs / 1000} s`);
    for (const text of threadLines(pid, threadsOf(pid))) screen.note(text);
    return EXIT.failed;
  }
  if (json) writeJson(screen, { file, kind, pid });
  else screen.line(file);
  return EXIT.ok;
}

interface RunningDaemon {
  readonly pid: number;
  readonly state: string;
}

/** By the lock of its root, since a daemon that hangs answers nothing; where that has no pid, the daemon is asked. */
async function daemonOf({ client, clock, config }: Command): Promise<RunningDaemon> {
  const usable = await config().catch(() => undefined);
  if (usable !== undefined) {
    const holder = lockHolder(usable.root).catch(() => undefined);
    const pid = await within({ clock, timeoutMs: cliLimits.diskMs }, holder);
    // 0: a process of another PID namespace
    if (typeof pid === 'number' && pid > 0) return { pid, state: usable.state };
  }
  const { pid, configJson } = await client.status({});
  return { pid: Number(pid), state: (JSON.parse(configJson) as Config).state };
}

function askFor(kind: DumpKind, pid: number): void {
  const [name] = DUMP_SIGNALS.find(([, asked]) => asked === kind) ?? DUMP_SIGNALS[0];
  const signal = constants.signals[name];
  const identity = processIdentity(pid);
  // one without a handler would be ended: an older version, or a process that has only just begun
  if (identity !== undefined && !handlesSignal(pid, signal))
    throw new CommandError(
      EXIT.failed,
      `troupe dump: process ${pid} does not take ${name}: nothing was sent`,
    );
  if (identity === undefined || !killProcess(identity, signal))
    throw new CommandError(EXIT.unreachable, `troupe dump: process ${pid} has ended`);
}

/** The main thread, and those that wait in the kernel and can't be interrupted. */
function threadLines(pid: number, threads: readonly ThreadState[]): readonly string[] {
  return threads
    .filter(({ tid, state }) => tid === pid || state === 'D')
    .flatMap(({ tid, name, state, stack }) => [
      `  ${tid === pid ? 'its event loop' : `thread ${tid} (${name})`} ${processStateWord(state)}`,
      ...stack.slice(0, cliLimits.stackLines).map((frame) => `    ${frame}`),
    ]);
}
