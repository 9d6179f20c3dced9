// Another CRI runtime beside ours: started with directories, a network and a cgroup parent of its own, and taken away
// again.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { criClient, type CriClient } from '../../../scripts/support/cri-client.ts';
import { conflistText, makeMemory } from '../../support/instance.ts';
import { sweepMachine } from '../../support/sweep.ts';

const START_TIMEOUT_MS = 60_000;
const LOOK_AGAIN_MS = 5;

/** What the pieces of a peer's configuration need to know. */
export interface Place {
  readonly directory: string;
  /** In a tmpfs, as `/run` is on nodes. */
  readonly state: string;
  readonly socket: string;
  readonly cniDirectory: string;
  /** `127.0.0.1:port`, plain HTTP; has `pause:1`. */
  readonly registry: string;
  readonly runtimePath: string;
}

/** How a peer is run. */
export interface PeerKind {
  readonly name: string;
  /** Writes its configuration. */
  readonly prepare: (place: Place) => Promise<Command>;
}

interface Command {
  readonly argv: readonly [string, ...string[]];
  readonly env?: Readonly<Record<string, string>>;
}

/** One that runs. */
export interface Peer {
  readonly name: string;
  readonly client: CriClient;
  /** Path of its CRI socket. */
  readonly socket: string;
  readonly logs: string;
  readonly cgroupParent: string;
  readonly pid: () => number;
  /** What its processes have in their command lines. */
  readonly tag: string;
  /** SIGKILL, a start, and the ms from the start to the first complete list. */
  readonly startAnew: () => Promise<number>;
  readonly close: () => Promise<void>;
}

/** Its process, which can be killed and started again. */
function daemonOf(name: string, { argv: [program, ...args], env }: Command, { directory, socket }: Place) {
  const logFile = join(directory, 'daemon.log');
  let child: ChildProcess | undefined;
  return {
    pid: (): number => child?.pid ?? Number.NaN,
    /** Answers the ms until it had listed everything. */
    start: async (): Promise<number> => {
      const startedAt = performance.now();
      const log = openSync(logFile, 'a');
      child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
      closeSync(log);
      await untilListed(socket, async () => {
        const isLost = child?.exitCode !== null || performance.now() - startedAt > START_TIMEOUT_MS;
        return isLost
          ? `${name} does not answer:\n${(await readFile(logFile, 'utf8')).slice(-4000)}`
          : undefined;
      });
      return performance.now() - startedAt;
    },
    kill: async (): Promise<void> => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child?.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Starts it and waits until it answers. Needs root. */
export async function startPeer(
  kind: PeerKind,
  index: number,
  { registry, runtimePath }: Pick<Place, 'registry' | 'runtimePath'>,
): Promise<Peer> {
  const tag = `trpe${index}${process.pid}`;
  const directory = await mkdtemp(join(tmpdir(), `${tag}-`));
  const state = await makeMemory(directory, tag);
  const place: Place = {
    directory,
    registry,
    runtimePath,
    state,
    socket: join(directory, 'cri.sock'),
    cniDirectory: join(directory, 'cni'),
  };
  const logs = join(directory, 'logs');
  for (const path of [place.cniDirectory, logs]) await mkdir(path);
  await writeFile(
    join(place.cniDirectory, '10-test.conflist'),
    conflistText({ directory, bridge: tag }, `10.${200 + index}.${process.pid % 250}.0/24`),
  );
  const daemon = daemonOf(kind.name, await kind.prepare(place), place);
  const close = async (): Promise<void> => {
    client.close();
    await daemon.kill();
    await sweepMachine([tag]);
    await rm(directory, { recursive: true, force: true });
  };
  const client = criClient(place.socket);
  try {
    await daemon.start();
  } catch (error) {
    await close();
    throw error;
  }
  const startAnew = async (): Promise<number> => {
    await daemon.kill();
    return await daemon.start();
  };
  const { socket } = place;
  return {
    name: kind.name,
    client,
    socket,
    logs,
    cgroupParent: `/${tag}`,
    pid: daemon.pid,
    tag,
    startAnew,
    close,
  };
}

/**
 * Waits until all pods are listed, which is what a kubelet waits for; `failed` gives the reason when that cannot
 * happen.
 */
export async function untilListed(socket: string, failed: () => Promise<string | undefined>): Promise<void> {
  while (!(await lists(socket))) {
    const why = await failed();
    if (why !== undefined) throw new Error(why);
    await delay(LOOK_AGAIN_MS);
  }
}

async function lists(socket: string): Promise<boolean> {
  const client = criClient(socket);
  try {
    await client.runtime.listPodSandbox({});
    await client.runtime.listContainers({});
    return true;
  } catch {
    return false;
  } finally {
    client.close();
  }
}
