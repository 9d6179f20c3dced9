/** Runs the commands other than the daemon: from a command line to an exit code. */
import { statSync } from 'node:fs';
import { fail, toFault } from '../../base/fault.ts';
import { cliLimits } from '../bounds.ts';
import { realClock } from '../../host/clock/clock.ts';
import { introspectionClient, isCallError, problemOf } from '../../introspection/client.ts';
import type { CallProblem } from '../../introspection/client.ts';
import { descriptionOf } from '../commands/commands.ts';
import type { CommandName } from '../commands/commands.ts';
import type { CommandLine } from '../config/command-line.ts';
import { introspectionSocket } from '../config/config.ts';
import type { Config } from '../config/config-schema.ts';
import { COMMAND_LINE, ConfigError, errorLines, problemText } from '../config/config-problem.ts';
import { completion } from './completion.ts';
import { configOf, surveyOf } from './config-of.ts';
import type { Command } from './context.ts';
import { help } from './help.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { man } from './man.ts';
import { ps } from './ps.ts';
import type { Screen } from './screen.ts';
import { checkConfig } from './check-config.ts';
import { config, status, version } from './status.ts';
import { trace } from './trace.ts';
import { watch } from './watch.ts';
import { history, why } from './why.ts';

type Run = (command: Command) => Promise<number> | number;

/** Commands that need neither daemon nor configuration. */
const PLAIN = {
  version: ({ flags }: CommandLine, screen: Screen) => version({ screen, json: flags.has('json') }),
  help,
  completion,
  man,
};

const RUNS: Readonly<Record<Exclude<CommandName, 'serve' | 'start' | keyof typeof PLAIN>, Run>> = {
  ps,
  why,
  history,
  watch,
  status,
  trace,
  config,
  // loaded on demand: these need much of the daemon's code, and the others must answer at once
  upgrade: async (command) => (await import('./upgrade.ts')).upgrade(command),
  reload: async (command) => (await import('./reload.ts')).reload(command),
  check: async (command) => (await import('./check.ts')).check(command),
  images: async (command) => (await import('./images.ts')).images(command),
  gc: async (command) => (await import('./images.ts')).gc(command),
  pull: async (command) => (await import('./pull.ts')).pull(command),
  import: async (command) => (await import('./import.ts')).importImages(command),
  export: async (command) => (await import('./export.ts')).exportImage(command),
  inspect: async (command) => (await import('./inspect.ts')).inspect(command),
  logs: async (command) => (await import('./logs.ts')).logs(command),
  exec: async (command) => (await import('./exec.ts')).execProgram(command),
  run: async (command) => (await import('./run-pod.ts')).runPod(command),
  rm: async (command) => (await import('./run-pod.ts')).removePod(command),
  dump: async (command) => (await import('./dump.ts')).dump(command),
  replay: async (command) => (await import('./replay.ts')).replay(command),
  'support-bundle': async (command) => (await import('./support-bundle.ts')).supportBundle(command),
  wipe: async (command) => (await import('./wipe.ts')).wipe(command),
};

/** Commands that exit with a program's code: for a failure of their own they have another one. */
const RUNS_PROGRAM: ReadonlySet<CommandName> = new Set<CommandName>(['exec', 'run']);

const EXIT_OF: Readonly<Record<CallProblem, number>> = {
  unreachable: EXIT.unreachable,
  forbidden: EXIT.failed,
  late: EXIT.failed,
  notFound: EXIT.notFound,
  usage: EXIT.usage,
  overflown: EXIT.failed,
  forgotten: EXIT.failed,
  failed: EXIT.failed,
};

const isPlain = (name: CommandName): name is keyof typeof PLAIN => Object.hasOwn(PLAIN, name);

/** Runs one command; an error is one line on stderr. */
export async function runCommand(
  line: CommandLine,
  screen: Screen,
  defaultFile: string,
  signal: AbortSignal,
): Promise<number> {
  const { command: name } = line;
  if (name === 'serve' || name === 'start') return fail('bug', `troupe ${name}: main.ts starts the daemon`);
  let socket = '';
  try {
    if (isPlain(name)) return await PLAIN[name](line, screen);
    // needs no daemon, and no configuration that can be used
    if (name === 'config' && line.flags.has('check')) return await checkConfig(line, screen, defaultFile);
    const json = line.flags.has('json');
    const readConfig = (): Promise<Config> => configOf(line, defaultFile).then(({ config }) => config);
    // with its path given, the configuration is not read
    socket =
      line.options['introspection'] ??
      (descriptionOf(name).needs === 'socket'
        ? await socketBySurvey(line, defaultFile, screen)
        : introspectionSocket(await readConfig()));
    const client = introspectionClient(socket, cliLimits.callMs);
    const command = { line, screen, clock: realClock(), json, socket, client, signal };
    return await RUNS[name]({ ...command, config: readConfig });
  } catch (thrown) {
    const code = reportError(thrown, line, screen, socket);
    return RUNS_PROGRAM.has(line.command) ? Math.max(code, EXIT.programFailed) : code;
  }
}

/**
 * The socket by what can be used of the configuration: a daemon that runs with an earlier one must stay observable.
 * Errors of the main file are reported, since the socket may be another one.
 */
async function socketBySurvey(line: CommandLine, defaultFile: string, screen: Screen): Promise<string> {
  const { config: usable, own } = await surveyOf(line, defaultFile);
  if (own.some(({ file }) => file === COMMAND_LINE)) throw new ConfigError(own);
  const socket = introspectionSocket(usable);
  for (const problem of own)
    screen.note(`troupe ${line.command}: read configuration ${problemText(problem)}`);
  if (own.length > 0) screen.note(`troupe ${line.command}: asking the daemon at ${socket} all the same`);
  return socket;
}

function reportError(thrown: unknown, line: CommandLine, screen: Screen, socket: string): number {
  if (thrown instanceof CommandError) {
    screen.note(thrown.message);
    return thrown.exitCode;
  }
  // our own errors, and those of the system while files were read
  if (!isCallError(thrown)) {
    const { kind, message } = toFault(thrown);
    const [first = '', ...more] = errorLines(thrown, message);
    screen.note(`troupe ${line.command}: ${first}`);
    for (const other of more) screen.note(other);
    return kind === 'invalidRequest' ? EXIT.usage : kind === 'notFound' ? EXIT.notFound : EXIT.failed;
  }
  const { problem, message } = problemOf(thrown);
  screen.note(`troupe ${line.command}: ${textOf(problem, socket, message)}`);
  return EXIT_OF[problem];
}

function isSocketAt(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}

/** What an administrator has to know beside the message. */
function textOf(problem: CallProblem, socket: string, message: string): string {
  switch (problem) {
    case 'unreachable':
      return isSocketAt(socket)
        ? `no daemon answers at ${socket}, where a socket is: ${message}`
        : `no daemon answers at ${socket}, where no socket is: ${message}; another one is named by --introspection or --config`;
    case 'forbidden':
      return `${socket} may not be opened by this user: ${message}`;
    case 'late':
      return `the daemon at ${socket} did not answer within ${cliLimits.callMs / 1000} s`;
    default:
      return message;
  }
}
