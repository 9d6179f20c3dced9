/** The program: command line, log, signals. */
import { pino } from 'pino';
import { FaultError, toFault } from '../base/fault.ts';
import { notify } from '../host/sd-notify.ts';
import { parseCommandLine, USAGE } from './command-line.ts';
import type { CommandLine } from './command-line.ts';
import { loadConfig, notifySocket } from './config.ts';
import type { Config } from './config-schema.ts';
import { VERSION } from './version.ts';
import { startDaemon } from './wire.ts';

const DEFAULT_CONFIG = '/etc/troupe/troupe.toml';
/** Exit codes: sysexits(3) has 78 for a configuration that is wrong; systemd need not restart then. */
const EXIT_CONFIG = 78;

await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<void> {
  try {
    const line = parseCommandLine(argv);
    if (line.command === 'help') process.stdout.write(USAGE);
    else if (line.command === 'version') process.stdout.write(`troupe ${VERSION} (Node ${process.versions.node})\n`);
    else await serve(line);
  } catch (thrown) {
    const { message, kind } = toFault(thrown);
    process.stderr.write(`troupe: ${message}\n`);
    if (!(thrown instanceof FaultError) && thrown instanceof Error) process.stderr.write(`${thrown.stack ?? ''}\n`);
    process.exit(kind === 'invalidRequest' ? EXIT_CONFIG : 1);
  }
}

async function serve(line: CommandLine): Promise<void> {
  const { config: file, root, state, socket, 'log-level': logLevel } = line.options;
  const config = await loadConfig(file ?? DEFAULT_CONFIG, file !== undefined, {
    ...(root === undefined ? {} : { root }),
    ...(state === undefined ? {} : { state }),
    ...(socket === undefined ? {} : { socket }),
    ...(logLevel === undefined ? {} : { logLevel }),
  });
  // synchronous: the last lines before a crash are the ones that matter
  const log = pino({ level: config.log.level, base: null }, pino.destination({ dest: 2, sync: true }));
  process.on('unhandledRejection', (reason) => log.error({ reason: toFault(reason).message }, 'unhandled rejection'));
  process.on('uncaughtException', (error) => log.error({ reason: error.message, stack: error.stack }, 'uncaught exception'));
  const started = performance.now();
  const daemon = await startDaemon(config, log);
  log.info({ socket: config.socket, root: config.root, ms: Math.round(performance.now() - started) }, 'serving');
  await tellSystemd('READY=1', log);
  if (line.command === 'start') process.stdout.write(whatNext(config, daemon.pageUrl));
  const stop = (signal: NodeJS.Signals): void => {
    log.info({ signal }, 'draining; containers are left running');
    void tellSystemd('STOPPING=1', log)
      .then(() => daemon.stop())
      .then(
        () => process.exit(0),
        (thrown: unknown) => {
          log.error({ reason: toFault(thrown).message }, 'stop failed');
          process.exit(1);
        },
      );
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  // a reload comes later; until then the kubelet's or an operator's HUP must not end the daemon
  process.on('SIGHUP', () => log.warn({}, 'SIGHUP: nothing is reloaded by this version'));
}

async function tellSystemd(state: string, log: { warn(fields: object, message: string): void }): Promise<void> {
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
