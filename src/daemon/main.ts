/** The program: command line, log, signals. */
import { existsSync } from 'node:fs';
import { pino } from 'pino';
import type { Logger } from 'pino';
import type { ClockPort } from '../ports/clock.ts';
import type { Troupe } from '../actors/troupe.ts';
import { FaultError, toFault } from '../base/fault.ts';
import { escaped, escapedLines, withoutCredentials } from '../base/shown-text.ts';
import { realClock, watchForStalls } from '../host/clock/clock.ts';
import { kernelThreadLoaded, startKernelThread } from '../host/kernel-thread/kernel-thread.ts';
import { realRandom } from '../host/clock/random.ts';
import { preferSmallHeap, trimMemory } from '../host/tuning/memory.ts';
import { notify } from '../host/io/sd-notify.ts';
import { pause } from '../host/clock/wait.ts';
import { EXIT } from './cli/exit-codes.ts';
import { keepCommand, keepStart } from './compiled.ts';
import { asksForDaemon, parseCommandLine, USAGE } from './config/command-line.ts';
import type { CommandLine } from './config/command-line.ts';
import { notifySocket, terminalWishes } from './config/config.ts';
import type { Config } from './config/config-schema.ts';
import { reloader } from './wiring/reload.ts';
import { safeLines } from './safe-lines.ts';
import { VERSION } from './wiring/version.ts';
import type { Daemon } from './wiring/wire.ts';

const DEFAULT_CONFIG = '/etc/troupe/troupe.toml';
/** Of services (systemd.exec(5), UMask=), and what images are made for; CRI-O sets the same. */
const UMASK = 0o022;

// no `await`: the bundle is CommonJS
void main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<void> {
  const isDaemon = asksForDaemon(argv);
  try {
    const line = parseCommandLine(argv);
    if (line.command === 'help') process.stdout.write(USAGE);
    else if (isDaemon) {
      // containers, and what the runtime makes for them, inherit it: a hardened root shell's 077 would lock their users out
      process.umask(UMASK);
      await serve(line);
    } else {
      process.exitCode = await look(line);
      keepCommand();
    }
  } catch (thrown) {
    const { message, kind } = toFault(thrown);
    process.stderr.write(`troupe: ${escaped(message)}\n`);
    if (!(thrown instanceof FaultError) && thrown instanceof Error)
      process.stderr.write(`${escapedLines(withoutCredentials(thrown.stack ?? ''))}\n`);
    await kernelThreadLoaded(realClock());
    // systemd need not try a configuration or a command line again that is wrong
    process.exit(kind !== 'invalidRequest' ? EXIT.failed : isDaemon ? EXIT.config : EXIT.usage);
  }
}

/** Every other command; loaded when it is asked for, as the daemon is. */
async function look(line: CommandLine): Promise<number> {
  const [{ runCommand }, { makeScreen }] = await Promise.all([
    import('./cli/run.ts'),
    import('./cli/screen.ts'),
  ]);
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  process.once('SIGTERM', () => interrupted.abort());
  // whoever reads may have seen enough: head, a pager that was left
  process.stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed),
  );
  return runCommand(
    line,
    makeScreen(process.stdout, process.stderr, terminalWishes(), realRandom().id()),
    DEFAULT_CONFIG,
    interrupted.signal,
  );
}

async function serve(line: CommandLine): Promise<void> {
  // beside the loading of all else, which takes as long; the first thing that the start asks for are the mounts
  await startKernelThread();
  const [{ startDaemon }, { configAgain, configOf }] = await Promise.all([
    import('./wiring/wire.ts'),
    import('./cli/config-of.ts'),
  ]);
  const { config, problems } = await configOf(line, DEFAULT_CONFIG);
  const hasFile = existsSync(DEFAULT_CONFIG);
  // synchronous: the last lines before a crash are the ones that matter
  const log = pino(
    { level: config.log.level, base: null },
    safeLines(pino.destination({ dest: 2, sync: true })),
  );
  process.on('unhandledRejection', (reason) =>
    log.error({ reason: toFault(reason).message }, 'unhandled rejection'),
  );
  process.on('uncaughtException', (error) =>
    log.error({ reason: error.message, stack: error.stack }, 'uncaught exception'),
  );
  // without a listener it would end the process; what it asks for is done once there is something to reload
  let isHungUp = false;
  const hungUp = (): void => void (isHungUp = true);
  process.on('SIGHUP', hungUp);
  const started = performance.now();
  const daemon = await startDaemon(config, log);
  if (problems.size > 0) daemon.noteDropIns(problems);
  daemon.troupe.onFailed((reason) => {
    // a new start rebuilds everything from what is durable; a daemon that refuses all calls helps nobody
    log.fatal({ reason }, 'the actors have failed');
    process.exit(1);
  });
  log.info(
    { socket: config.socket, root: config.root, ms: Math.round(performance.now() - started) },
    'serving',
  );
  await tellSystemd('READY=1', log);
  const clock = realClock();
  tuneProcess(daemon.troupe, clock, log);
  if (line.command === 'start') process.stdout.write(whatNext(config, daemon.pageUrl));
  endWhenAsked(daemon, log);
  const onHangUp = reloader({
    log,
    load: () => configAgain(line, DEFAULT_CONFIG, line.options['config'] === undefined && hasFile),
    apply: (fresh) => daemon.reload(fresh),
    tell: (state) => tellSystemd(state, log),
    setLogLevel: (level) => {
      log.level = level;
    },
    noteRefusal: (reason) => daemon.noteRefusal(reason),
    pause: (ms) => pause(clock, ms),
  });
  process.on('SIGHUP', onHangUp);
  process.off('SIGHUP', hungUp);
  if (isHungUp) onHangUp();
}

/** After the start: a small heap, and a line in the log when the event loop stands still. */
function tuneProcess(troupe: Troupe, clock: ClockPort, log: Logger): void {
  // before anything else changes V8's flags, and before the next SIGKILL
  keepStart(troupe, clock);
  preferSmallHeap();
  trimMemory(clock);
  // much CPU time: our own work was too long; little: the process was stopped, or had no processor
  watchForStalls((stall) => log.warn(stall, 'the event loop stood still'));
}

/** Drains and exits at SIGTERM and SIGINT, and when another process listens at the CRI socket's path. */
function endWhenAsked(daemon: Daemon, log: Logger): void {
  let isEnding = false;
  const end = (code: number): void => {
    if (isEnding) return;
    isEnding = true;
    void tellSystemd('STOPPING=1', log)
      .then(() => daemon.stop())
      .then(
        () => process.exit(code),
        (thrown: unknown) => {
          log.error({ reason: toFault(thrown).message }, 'stop failed');
          process.exit(EXIT.failed);
        },
      );
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'draining; containers are left running');
      end(EXIT.ok);
    });
  }
  void daemon.socketTaken.then((reason) => {
    // the kubelet speaks with the other one: two runtimes must not both believe that they are its own
    log.fatal({ reason }, 'the CRI socket was taken; draining, containers are left running');
    end(EXIT.socketTaken);
  });
}

async function tellSystemd(
  state: string,
  log: { warn(fields: object, message: string): void },
): Promise<void> {
  const socket = notifySocket();
  if (socket === '') return;
  try {
    await notify(socket, state);
  } catch (thrown) {
    log.warn({ reason: toFault(thrown).message }, 'systemd could not be told');
  }
}

function whatNext(config: Config, pageUrl: string | undefined): string {
  const endpoint = `unix://${config.socket}`;
  return `
troupe ${VERSION} serves the CRI at ${endpoint}. In another terminal:

  crictl --runtime-endpoint ${endpoint} --image-endpoint ${endpoint} version
  crictl --runtime-endpoint ${endpoint} --image-endpoint ${endpoint} info

A kubelet: --container-runtime-endpoint=${endpoint}
${pageUrl === undefined ? '' : `The page: ${pageUrl}\n`}No registry at hand? npm run demo shows a pod's whole life. Ctrl-C ends troupe; containers go on.
`;
}
