/** The program's entry: command line, log, signals. */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { pino } from 'pino';
import type { Logger } from 'pino';
import type { ClockPort } from '../ports/clock.ts';
import type { Troupe } from '../actors/troupe.ts';
import { FaultError, toFault } from '../base/fault.ts';
import { escaped, escapedLines, withoutCredentials } from '../base/shown-text.ts';
import { realClock, watchForStalls } from '../host/clock/clock.ts';
import { hostLimits } from '../host/bounds.ts';
import { startKernelThread } from '../host/kernel-thread/kernel-thread.ts';
import { realRandom } from '../host/clock/random.ts';
import { preferSmallHeap, trimMemory } from '../host/tuning/memory.ts';
import { notify } from '../host/io/sd-notify.ts';
import { allWritten, exitNow } from '../host/process/exit.ts';
import { preferMainThread } from '../host/tuning/main-thread-priority.ts';
import { unblockSignal } from '../host/process/unblock-signal.ts';
import { pause } from '../host/clock/wait.ts';
import { cliLimits } from './bounds.ts';
import { EXIT, SIGNALLED } from './cli/exit-codes.ts';
import { keepCommand, keepStart } from './compiled.ts';
import { asksForDaemon, commandAt } from './commands/global-options.ts';
import { parseCommandLine } from './config/command-line.ts';
import type { CommandLine } from './config/command-line.ts';
import { errorLines } from './config/config-problem.ts';
import { isProgramCommand } from './config/program-line.ts';
import { logPlace, terminalSettings } from './config/config.ts';
import { notifySocket } from './config/from-systemd.ts';
import type { ReadConfig } from './config/config.ts';
import type { Config } from './config/config-schema.ts';
import { EndSignals } from './end-signals.ts';
import { reloader } from './wiring/reload.ts';
import { DumpRequests } from './dumps/dump-requests.ts';
import { onDumpSignal } from './dumps/dump-signals.ts';
import type { LastErrors } from './dumps/last-errors.ts';
import { logForm, logLines, logOptions } from './log-lines.ts';
import { VERSION } from './wiring/version.ts';
import type { Daemon } from './wiring/wire.ts';

const DEFAULT_CONFIG = '/etc/troupe/troupe.toml';
/** Name of the error of src/daemon/takeover/taking.ts, which is loaded only when the daemon starts. */
const TAKE_OVER_REFUSED = 'TakeOverRefused';
/** The umask of services (systemd.exec(5), UMask=), which images expect; CRI-O sets the same. */
const UMASK = 0o022;

// no top-level `await`: the bundle is CommonJS
void main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<void> {
  const isDaemon = asksForDaemon(argv);
  try {
    const line = parseCommandLine(argv);
    if (isDaemon && line.command !== 'help') {
      // containers and the runtime's files inherit it: with 077 from a hardened root shell their users had no access
      process.umask(UMASK);
      await serve(line);
      return;
    }
    const failure = catchOutputErrors(line);
    const code = await runOnce(line);
    await allWritten([process.stdout, process.stderr]);
    exitNow(await writtenCode(code, line, failure()));
  } catch (thrown) {
    const { message, kind } = toFault(thrown);
    const [first = '', ...more] = errorLines(thrown, message);
    // those of a command line name the command: `troupe ps: no such option`
    const lead = /^troupe(?: [\w-]+)?: /u.test(first) ? '' : 'troupe: ';
    process.stderr.write([`${lead}${escaped(first)}`, ...more.map(escaped), ''].join('\n'));
    if (!(thrown instanceof FaultError) && thrown instanceof Error)
      process.stderr.write(`${escapedLines(withoutCredentials(thrown.stack ?? ''))}\n`);
    const written = allWritten([process.stderr]);
    // nobody may read what a daemon says, and systemd waits for its end
    await (isDaemon ? Promise.race([written, pause(realClock(), hostLimits.lastWordsMs)]) : written);
    // systemd must not restart with a wrong configuration or command line
    if (thrown instanceof FaultError && thrown.name === TAKE_OVER_REFUSED) exitNow(EXIT.takeOverRefused);
    exitNow(kind !== 'invalidRequest' ? EXIT.failed : isDaemon ? EXIT.config : usageCode(argv));
  }
}

/** Of a wrong command line. The other codes of `exec` and `run` are the program's. */
function usageCode(argv: readonly string[]): number {
  return isProgramCommand(argv[commandAt(argv)] ?? '') ? EXIT.programFailed : EXIT.usage;
}

/** Commands that copy what a program writes: they end with its end, or say themselves that the output is lost. */
const COPIES_OUTPUT: ReadonlySet<CommandLine['command']> = new Set(['exec', 'run', 'logs'] as const);

/** Ends a command whose output can't be written, but for those that copy. Returns the first error of stdout. */
function catchOutputErrors(line: CommandLine): () => NodeJS.ErrnoException | null {
  let first: NodeJS.ErrnoException | null = null;
  process.stdout.on('error', (error) => {
    first ??= error;
    if (!COPIES_OUTPUT.has(line.command))
      void writtenCode(EXIT.ok, line, error).then((code) => exitNow(code));
  });
  // whoever does not read notes may still read the answer
  process.stderr.on('error', () => undefined);
  // of the last write the event is still to come
  return () => first ?? process.stdout.errored;
}

/** Commands that have something to end or to remove first. */
const CATCHES_SIGNALS: ReadonlySet<CommandLine['command']> = new Set([
  'exec',
  'run',
  'logs',
  'export',
] as const);

/** Runs any other command. Its code is loaded only now, as the daemon's is. */
async function runOnce(line: CommandLine): Promise<number> {
  const [{ runCommand }, { makeScreen }] = await Promise.all([
    import('./cli/run.ts'),
    import('./cli/screen.ts'),
  ]);
  const interrupted = new AbortController();
  const interrupt = (signal: 'SIGINT' | 'SIGTERM'): void => {
    interrupted.abort();
    // a command that waits for a disk or a daemon that hangs does not see it
    if (!CATCHES_SIGNALS.has(line.command))
      void pause(realClock(), cliLimits.endMs).then(() => exitNow(SIGNALLED + constants.signals[signal]));
  };
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const code = await runCommand(
    line,
    makeScreen(process.stdout, process.stderr, terminalSettings(), realRandom().id()),
    DEFAULT_CONFIG,
    interrupted.signal,
  );
  keepCommand();
  return code;
}

/**
 * The exit code of a command whose output met this error. A reader may close its pipe early (head, a pager): what it
 * wanted it has. On a full disk a command that ended with 0 would leave a part of its output for the whole.
 */
async function writtenCode(
  code: number,
  { command }: CommandLine,
  error: NodeJS.ErrnoException | null,
): Promise<number> {
  if (error === null || error.code === 'EPIPE') return code;
  process.stderr.write(`troupe ${command}: write the output: ${error.message}\n`);
  await allWritten([process.stderr]);
  return isProgramCommand(command) ? EXIT.programFailed : EXIT.failed;
}

async function serve(line: CommandLine): Promise<void> {
  const asked = new DumpRequests();
  onDumpSignal((kind) => asked.ask(kind));
  // Node blocks it in all threads, for its inspector; without that (--disable-sigusr1) nobody would ever take it
  unblockSignal(constants.signals.SIGUSR1);
  preferMainThread();
  // while the other code is loaded, which takes as long; the start needs this thread first, to read the mounts
  await startKernelThread();
  const [{ startDaemon }, { socketsOfSystemd }, { configAgain, configOf }, { Dumps }, { LastErrors }] =
    await Promise.all([
      import('./wiring/wire.ts'),
      import('./wiring/listening-sockets.ts'),
      import('./cli/config-of.ts'),
      import('./dumps/dumps.ts'),
      import('./dumps/last-errors.ts'),
    ]);
  const { config, problems, files } = await configOf(line, DEFAULT_CONFIG);
  const hasFile = existsSync(DEFAULT_CONFIG);
  const { log, errors, setForm } = daemonLog(config, new LastErrors());
  // without a listener SIGHUP ends the process; a reload that is asked for during the start is done after it
  let isHungUp = false;
  const hungUp = (): void => void (isHungUp = true);
  process.on('SIGHUP', hungUp);
  const started = performance.now();
  const { pid } = process;
  const dumps = new Dumps({ state: config.state, clock: realClock(), log, errors, version: VERSION, pid });
  asked.serve(realClock(), (kind) => dumps.make(kind));
  const ending = new EndSignals();
  const daemon = await startDaemon(config, log, {
    isTakingOver: line.flags.has('take-over'),
    listening: socketsOfSystemd(log),
    onAssembled: (parts) => dumps.watch(parts),
    onServing: () => ending.listen(),
  });
  if (problems.size > 0) daemon.noteDropIns(problems);
  daemon.noteFiles(files);
  exitWhenFailed(daemon.troupe, log);
  log.info(
    { socket: config.socket, root: config.root, ms: Math.round(performance.now() - started) },
    'serving',
  );
  await notifySystemd('READY=1', log);
  tuneProcess(daemon.troupe, realClock(), log);
  if (line.command === 'start') process.stdout.write(nextSteps(config, daemon.pageUrl));
  endWhenAsked(daemon, ending, log);
  void daemon.left.then((left) => endAfterHandOver(daemon, left, log));
  const wasThere = line.options['config'] === undefined && hasFile;
  const onHangUp = reloadWhenAsked({
    daemon,
    log,
    read: () => configAgain(line, DEFAULT_CONFIG, wasThere),
    setForm,
  });
  process.on('SIGHUP', onHangUp);
  process.off('SIGHUP', hungUp);
  if (isHungUp) onHangUp();
}

/** A restart rebuilds everything from the journal; this daemon would refuse all calls. */
function exitWhenFailed(troupe: Troupe, log: Logger): void {
  troupe.onFailed((reason) => {
    log.fatal({ reason }, 'actors failed: exit');
    exitNow(EXIT.failed);
  });
}

/** The daemon's log, whose form a reload may change. */
function daemonLog(config: Config, errors: LastErrors) {
  // synchronous: the last lines before a crash must not be lost
  let form = logForm(config.log.format, logPlace());
  const log = pino(
    { ...logOptions, level: config.log.level },
    errors.through(logLines(pino.destination({ dest: 2, sync: true }), () => form)),
  );
  process.on('unhandledRejection', (reason) =>
    log.error({ reason: toFault(reason).message }, 'unhandled rejection'),
  );
  process.on('uncaughtException', (error) =>
    log.error({ reason: error.message, stack: error.stack }, 'uncaught exception'),
  );
  const setForm = (format: Config['log']['format']): void => {
    form = logForm(format, logPlace());
  };
  return { log, errors, setForm };
}

/** After the start: a smaller heap, and a log line when the event loop stalls. */
function tuneProcess(troupe: Troupe, clock: ClockPort, log: Logger): void {
  // first: V8's flags change below, and the daemon may be killed at any time
  keepStart(troupe, clock);
  preferSmallHeap();
  trimMemory(clock);
  // with much CPU time our own work took too long; with little the process was stopped, or had no processor
  watchForStalls((stall) => log.warn(stall, 'the event loop stood still'));
}

/** The handler of SIGHUP. */
function reloadWhenAsked({
  daemon,
  log,
  read,
  setForm,
}: {
  readonly daemon: Daemon;
  readonly log: Logger;
  readonly read: () => Promise<Pick<ReadConfig, 'config' | 'files'>>;
  readonly setForm: (format: Config['log']['format']) => void;
}): () => void {
  let files: readonly string[] = [];
  return reloader({
    log,
    load: async () => {
      const again = await read();
      ({ files } = again);
      return again.config;
    },
    apply: (load) => daemon.reload(load),
    notify: (state) => notifySystemd(state, log),
    setLog: ({ level, format }) => {
      log.level = level;
      setForm(format);
    },
    noteRefusal: (reason) => {
      if (reason === undefined) daemon.noteFiles(files);
      daemon.noteRefusal(reason);
    },
    pause: (ms) => pause(realClock(), ms),
  });
}

/** Drains and exits on SIGTERM and SIGINT, and when another process listens at the CRI socket's path. */
function endWhenAsked(daemon: Daemon, ending: EndSignals, log: Logger): void {
  let isEnding = false;
  const end = (code: number): void => {
    if (isEnding) return;
    isEnding = true;
    // beside the stop: a daemon that takes over just now has to know of it before it serves
    void notifySystemd('STOPPING=1', log);
    daemon.stop().then(
      () => exitNow(code),
      (thrown: unknown) => {
        log.error({ reason: toFault(thrown).message }, 'stop the daemon: failed');
        exitNow(EXIT.failed);
      },
    );
  };
  ending.serve((signal) => {
    log.info({ signal }, 'draining, containers go on');
    end(EXIT.ok);
  });
  void daemon.socketTaken.then((reason) => {
    // the kubelet is connected to the other process, and two runtimes must not serve one node
    log.fatal({ reason }, 'another process listens on the CRI socket: draining, containers go on');
    end(EXIT.socketTaken);
  });
}

/** Another daemon serves, and nothing of before is left here. The service manager knows the other one. */
async function endAfterHandOver(daemon: Daemon, left: Awaited<Daemon['left']>, log: Logger): Promise<void> {
  log.info({ left }, 'handed over: end');
  await daemon
    .stop()
    .catch((thrown: unknown) => log.error({ reason: toFault(thrown).message }, 'stop: failed'));
  exitNow(left === 'done' ? EXIT.ok : EXIT.failed);
}

async function notifySystemd(
  state: string,
  log: { warn(fields: object, message: string): void },
): Promise<void> {
  const socket = notifySocket();
  if (socket === '') return;
  try {
    await notify(socket, state);
  } catch (thrown) {
    log.warn({ reason: toFault(thrown).message }, 'notify systemd: failed');
  }
}

function nextSteps(config: Config, pageUrl: string | undefined): string {
  const endpoint = `unix://${config.socket}`;
  return `
troupe ${VERSION} serves the CRI at ${endpoint}. In another terminal:

  troupe run docker.io/library/busybox echo hello
  troupe ps

A kubelet: --container-runtime-endpoint=${endpoint}
${pageUrl === undefined ? '' : `The page: ${pageUrl}\n`}docs/first-steps.md goes on from here. Without a registry: npm run demo creates, runs and removes a pod. Ctrl-C ends
troupe; containers go on.
`;
}
