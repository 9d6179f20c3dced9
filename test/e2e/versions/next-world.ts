// A node on which the program at its path is exchanged, as by a package: today's, and that of the next journal version.
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { numbersIn } from '../../../src/journal/file-names.ts';
import { formatOf } from '../../../src/journal/format.ts';
import { processStat } from '../../../src/host/process/process-identity.ts';
import { type Ended, run } from '../../support/run.ts';
import { checkout } from '../../support/tools/cache.ts';
import { until } from '../../support/eventually.ts';
import { Successors } from '../handover/successors.ts';
import { containerConfig, sandboxConfig, untilTermed } from '../support/pods.ts';
import { makeWorld, type World } from '../support/world.ts';
import { buildProgram } from './next-program.ts';

const SIGKILL = 'SIGKILL';

export interface NextWorld {
  readonly world: World;
  readonly successors: Successors;
  /** Directory of the program at the daemon's path: today's at first. */
  readonly place: string;
  /** Directory of the other program: the next one at first. */
  readonly other: string;
  /** Each program gets the other one's directory, as by a package or by docs/upgrade.md. */
  readonly exchange: () => void;
  /** A command of the program in a directory. */
  readonly troupe: (directory: string, command: string) => Promise<Ended>;
  /** What a package does with the service of a running systemd, with the program at the path; and what it called. */
  readonly packaged: (action: string) => Promise<Ended & { readonly called: string }>;
  /** SIGKILL of all daemons, the one that could start another one first. */
  readonly killAll: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export async function makeNextWorld(): Promise<NextWorld> {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-next-'));
  const [place, other] = [join(directory, 'troupe'), join(directory, 'other')];
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  const started = async (): Promise<World> => {
    await buildProgram(place, 'today');
    await buildProgram(other, 'next');
    return await makeWorld({
      name: 'next',
      logLevel: 'info',
      // the program at the path, in the place of the checkout's
      before: () => ['sh', '-c', 'shift && exec "$0" "$@"', join(place, 'bin/troupe')],
    });
  };
  const world = await started().catch((error: unknown) => {
    remove();
    throw error;
  });
  const successors = new Successors(world.instance);
  const { options } = world.instance;
  return {
    world,
    successors,
    place,
    other,
    exchange: () => {
      renameSync(place, `${place}.old`);
      renameSync(other, place);
      renameSync(`${place}.old`, other);
    },
    troupe: (from, command) => run([join(from, 'bin/troupe'), command, ...options]),
    packaged: (action) => packaged(directory, [join(place, 'bin/troupe'), options], action),
    killAll: async () => {
      const serving = successors.serving();
      await world.instance.kill();
      if (serving !== undefined && successors.isOurs(serving)) process.kill(serving, SIGKILL);
      await until(() => successors.serving() === undefined);
    },
    close: async () => {
      await world.instance.kill();
      await successors.kill();
      await world.close();
      remove();
    },
  };
}

/** Runs the script of the packages with another path of the program, and a systemctl that only notes its arguments. */
async function packaged(
  directory: string,
  [program, options]: readonly [string, readonly string[]],
  action: string,
): Promise<Ended & { readonly called: string }> {
  const bin = join(directory, 'bin');
  mkdirSync(bin, { recursive: true });
  const [script, troupe, calls] = [join(bin, 'service.sh'), join(bin, 'troupe'), join(bin, 'calls')];
  const text = readFileSync(join(checkout, 'deploy/packages/service.sh'), 'utf8');
  const executables: Readonly<Record<string, string>> = {
    [script]: text.replaceAll('/usr/bin/troupe', troupe).replaceAll('/run/systemd/system', directory),
    [troupe]: `#!/bin/sh\ncommand=$1\nshift\nexec ${program} "$command" ${options.join(' ')} "$@"\n`,
    // the service does not start: the program refuses the journal
    [join(bin, 'systemctl')]: `#!/bin/sh\necho "$*" >>${calls}\ncase $1 in try-restart) exit 1 ;; esac\n`,
    [join(bin, 'deb-systemd-invoke')]: `#!/bin/sh\necho "$*" >>${calls}\nexit 1\n`,
  };
  for (const [path, content] of Object.entries(executables)) {
    writeFileSync(path, content);
    chmodSync(path, 0o755);
  }
  writeFileSync(calls, '');
  const ended = await run(['sh', script, action], { env: { PATH: `${bin}:${process.env['PATH'] ?? ''}` } });
  return { ...ended, called: readFileSync(calls, 'utf8') };
}

/** Format and content of the newest journal. */
export function journalIn(root: string): { readonly format: number | undefined; readonly text: string } {
  const directory = join(root, 'journal');
  const [newest = 0] = numbersIn(readdirSync(directory));
  const bytes = readFileSync(join(directory, `journal.${newest}`));
  return { format: formatOf(bytes), text: bytes.toString('latin1') };
}

/** Starts a pod with one container; the container's id. */
export async function startPod(
  { client: { runtime }, logs }: World,
  image: string,
  name: string,
): Promise<string> {
  const pod = sandboxConfig({ name, logDirectory: join(logs, name) });
  const { podSandboxId } = await runtime.runPodSandbox({ config: pod });
  const config = containerConfig({ name, image, command: untilTermed(0) });
  const { containerId } = await runtime.createContainer({ podSandboxId, config, sandboxConfig: pod });
  await runtime.startContainer({ containerId });
  return containerId;
}

/** All that clients see of pods, containers and images, with each container's process and its start. */
export async function factsOf({ client: { runtime, image } }: World): Promise<object> {
  const { items } = await runtime.listPodSandbox({});
  const { containers } = await runtime.listContainers({});
  const { images } = await image.listImages({});
  return {
    items,
    containers,
    images,
    pods: await Promise.all(
      items.map(async ({ id }) => (await runtime.podSandboxStatus({ podSandboxId: id })).status),
    ),
    statuses: await Promise.all(
      containers.map(async ({ id }) => {
        const { status, info } = await runtime.containerStatus({ containerId: id, verbose: true });
        const { pid = 0 } = JSON.parse(info['info'] ?? '{}') as { readonly pid?: number };
        return { status, pid, startTicks: processStat(pid)?.startTicks };
      }),
    ),
  };
}

/** What a program in the container prints. */
export async function printed(
  { client: { runtime } }: World,
  containerId: string,
  word: string,
): Promise<string> {
  const { stdout } = await runtime.execSync({ containerId, cmd: ['echo', word], timeout: 60n });
  return Buffer.from(stdout).toString().trim();
}

/** Stops and removes all pods. */
export async function removePods({ client: { runtime } }: World): Promise<void> {
  for (const { id } of (await runtime.listPodSandbox({})).items) {
    await runtime.stopPodSandbox({ podSandboxId: id });
    await runtime.removePodSandbox({ podSandboxId: id });
  }
}
