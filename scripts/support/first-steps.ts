// The first ten minutes of a new user, on an instance of its own: what docs/first-steps.md shows.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeInstance } from '../../test/support/instance.ts';
import type { Instance } from '../../test/support/instance.ts';
import { EVENT_MS } from '../../test/support/patience.ts';
import { staticBusybox } from '../../test/support/tools/debian.ts';
import { busyboxImage } from './busybox-image.ts';
import { startTinyRegistry } from './tiny-registry.ts';
import { recorder } from './transcript.ts';
import type { Recorder } from './transcript.ts';

const IMAGE = 'docker.io/library/busybox';
const SUBNET = '10.231.66.0/24';

/** Commands that read the records themselves: they take the whole configuration. */
const READS_RECORDS: ReadonlySet<string> = new Set(['check', 'wipe']);

/** Plays the steps; gives the document. Needs root. */
export async function firstSteps(): Promise<string> {
  const registry = await startTinyRegistry(
    new Map([['library/busybox:latest', busyboxImage(staticBusybox())]]),
  );
  const instance = await makeInstance({
    name: 'first',
    network: 'host-only',
    networkSettings: (directory) => [
      `default_bridge = "${tagOf(directory)}"`,
      `default_subnet = "${SUBNET}"`,
    ],
    // the public registry, as far as the steps can see
    registriesConf: `[[registry]]\nprefix = "docker.io"\nlocation = "${registry.address}"\ninsecure = true\n`,
    logLevel: 'error',
  });
  let daemon: ChildProcess | undefined;
  try {
    const place = instance.argv.slice(2);
    const record = recorder({
      program: instance.argv[0],
      directory: instance.directory,
      place: (command) =>
        READS_RECORDS.has(command) ? place : ['--introspection', join(instance.state, 'introspection.sock')],
      shown: new Map([
        [instance.socket, '/run/troupe/troupe.sock'],
        [instance.state, '/run/troupe'],
        [instance.root, '/var/lib/troupe'],
        [instance.directory, '/etc/troupe'],
        [tagOf(instance.directory), 'troupe0'],
      ]),
    });
    const started = await startDaemon(instance, record);
    daemon = started;
    return await document(record, async () => {
      await ended(started);
      daemon = undefined;
    });
  } finally {
    if (daemon !== undefined) await ended(daemon);
    await registry.stop();
    await instance.remove();
  }
}

const tagOf = (directory: string): string => basename(directory).split('-')[0] ?? '';

/** `troupe start`, as `npm start` does it. */
async function startDaemon({ argv, directory }: Instance, { command }: Recorder): Promise<ChildProcess> {
  const log = join(directory, 'start.log');
  const output = openSync(log, 'a');
  const child = spawn(argv[0], ['start', ...argv.slice(2)], { stdio: ['ignore', output, output], cwd: '/' });
  closeSync(output);
  for (const until = performance.now() + EVENT_MS; performance.now() < until; await delay(50)) {
    if (child.exitCode !== null) break;
    const reached = await command(['status']).then(
      () => true,
      () => false,
    );
    if (reached) return child;
  }
  child.kill('SIGKILL');
  throw new Error(`troupe start did not serve: ${readFileSync(log, 'utf8')}`);
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  if (child.exitCode === null && child.kill('SIGTERM')) await exit;
}

const block = (...texts: readonly string[]): string => `\`\`\`\n${texts.join('\n\n')}\n\`\`\`\n`;

async function document({ command, typed }: Recorder, stopDaemon: () => Promise<void>): Promise<string> {
  const serve = 'echo serving; trap "exit 0" TERM; while :; do sleep 1; done';
  const parts = [
    HEAD,
    block(await command(['status'])),
    '## Run a program\n',
    'The image is pulled when it is missing. The pod and its container are removed when the program has ended, and the\n' +
      "exit code is the program's.\n",
    block(
      await command(['run', IMAGE, 'echo', 'hello']),
      await command(
        ['run', '--env', 'WHO=you', IMAGE, 'sh', '-c', 'echo "hello $WHO" from pid $$; exit 3'],
        3,
      ),
    ),
    '## Leave one running\n',
    block(
      await command(['run', '--detach', '--name', 'web', IMAGE, 'sh', '-c', serve]),
      await command(['ps']),
      await command(['why', 'web/web']),
      await logsOf(command),
    ),
    'In a terminal, `exec -it` gives a shell in the container; `exit` ends it:\n',
    block(await typed(['exec', '-it', 'web', '--', 'sh'], '# ', ['hostname', 'ls', 'exit'])),
    '## Clean up\n',
    'A pod that was left running is removed by name. `check` compares the records with the machine:\n',
    block(
      await command(['rm', 'web']),
      await command(['ps']),
      await command(['images']),
      await command(['check', '--now']),
    ),
  ];
  await stopDaemon();
  parts.push(
    'Ctrl-C ends troupe; containers would go on. Without it, `wipe` removes what it keeps:\n',
    block(await command(['wipe'])),
    TAIL,
  );
  return parts.join('\n');
}

/** What the program has written; it may not have come so far at once. */
async function logsOf(command: Recorder['command']): Promise<string> {
  for (const until = performance.now() + EVENT_MS; performance.now() < until; await delay(50)) {
    const shown = await command(['logs', 'web']);
    if (shown.includes('serving')) return shown;
  }
  throw new Error('troupe logs web: nothing');
}

const HEAD = `# First steps

The first ten minutes with troupe, on a machine without Kubernetes and without crictl. \`npm run first-steps\` ran these
commands and wrote this page; \`npm test\` runs them again and fails when what they print has changed.

\`sudo npm start\` in one terminal installs what is missing and serves. In a second one, as root, with \`bin\` of the
checkout in the PATH:
`;

const TAIL = `## More

\`troupe help\` lists all commands; [operations.md](operations.md) has them with their exit codes, and what to do when
something goes wrong. On a node with a kubelet, use kubectl: the kubelet removes pods that it does not know, those of
\`troupe run\` included.
`;
