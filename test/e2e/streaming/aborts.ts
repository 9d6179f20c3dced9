/**
 * Sessions of exec, attach and port-forward that their clients leave at a random point; what a daemon keeps of them.
 */
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { memoryLimits } from '../../../src/host/bounds.ts';
import { ownMib } from '../../support/own-memory.ts';
import { ContainerConfigSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { spdyHeaders, wsHeaders } from '../../integration/streaming/clients.ts';
import { SpdyClient } from '../../integration/streaming/clients.ts';
import { type Random, randomStream } from '../../sim/random.ts';
import { openForOthers } from '../support/descriptors.ts';
import { calmHeld, type Held, heldAsBefore } from '../support/held.ts';
import { containerConfig, sandboxConfig } from '../support/pods.ts';
import type { World } from '../support/world.ts';

/** Sessions before the baseline is taken: what is loaded and compiled once is no leak. */
const WARM_UP = 100;
/** ms of calm before the baseline is taken: what the start has left is given back within. */
const CALM_MS = memoryLimits.trimEveryMs + 1000;
/** ms after the upgrade within which a client goes: a session is whole after some 50. */
const STAY_MS = 120;
/** MiB that the daemon may be larger in the end: V8's heap and malloc's arenas breathe by some ten. */
const GROWTH_MIB = 32;

export interface AbortOptions {
  readonly sessions: number;
  readonly atOnce: number;
  readonly seed: number;
}

export interface AbortResult {
  readonly before: Held;
  readonly after: Held;
  /** How many sessions of each kind were left at each point. */
  readonly left: ReadonlyMap<string, number>;
  /** URLs that were refused since too many waited, which is no fault. */
  readonly refused: number;
  /** The daemon still serves a whole session. */
  readonly works: boolean;
}

type Kind = 'exec' | 'exec on a terminal' | 'exec of nothing' | 'attach' | 'port-forward';
const KINDS: readonly Kind[] = ['exec', 'exec on a terminal', 'exec of nothing', 'attach', 'port-forward'];
const POINTS = [
  'within the head',
  'before the answer',
  'after the upgrade',
  'after one stream',
  'in the middle',
  'by a goodbye',
] as const;
type Point = (typeof POINTS)[number];

/** A silent container with a stdin, and a server on port 7000 that gives back what it is sent. */
export interface StreamTarget {
  readonly world: Pick<World, 'client' | 'logs' | 'pull' | 'instance'>;
  readonly containerId: string;
  readonly podSandboxId: string;
  /** Of the container's first process. */
  readonly pids: () => Promise<number>;
}

/** Starts a silent container with a stdin, leaves that many sessions, and compares. */
export async function abortSessions(
  world: World,
  { sessions, atOnce, seed }: AbortOptions,
): Promise<AbortResult> {
  const target = await silentContainer(world);
  const random = randomStream(seed, 'aborts');
  const left = new Map<string, number>();
  let refused = 0;
  const some = async (count: number): Promise<void> => {
    let begun = 0;
    const worker = async (): Promise<void> => {
      while (begun < count) {
        begun += 1;
        const { what, isRefused } = await abortSession(target, random);
        if (isRefused) refused += 1;
        left.set(what, (left.get(what) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  };
  await some(WARM_UP);
  const before = await calmHeld(() => held(target), CALM_MS);
  left.clear();
  await some(sessions);
  const after = await heldAsBefore(() => held(target), before, GROWTH_MIB);
  const { stdout } = await world.client.runtime.execSync({
    containerId: target.containerId,
    cmd: ['echo', 'up'],
    timeout: 20n,
  });
  await world.client.runtime.stopPodSandbox({ podSandboxId: target.podSandboxId });
  await world.client.runtime.removePodSandbox({ podSandboxId: target.podSandboxId });
  return { before, after, left, refused, works: Buffer.from(stdout).toString() === 'up\n' };
}

/** One session of a kind and to a point that are drawn; never rejects. */
export async function abortSession(
  target: StreamTarget,
  random: Random,
): Promise<{ readonly what: string; readonly isRefused: boolean }> {
  const kind = random.pick(KINDS);
  const point = random.pick(POINTS);
  const isRude = random.chance(0.5);
  const url = await urlOf(target, kind).catch(() => undefined);
  if (url !== undefined) await leave(url, kind, { point, isRude, stayMs: random.int(STAY_MS) });
  return { what: `${kind}, ${point}`, isRefused: url === undefined };
}

/** What is wrong; empty when all is back at the baseline. */
export function leaks({ before, after, works }: AbortResult): string[] {
  const found: string[] = [];
  if (after.processes > before.processes) found.push(`${after.processes - before.processes} processes`);
  if (after.descriptors > before.descriptors)
    found.push(`${after.descriptors - before.descriptors} descriptors`);
  if (after.ownMib > before.ownMib + GROWTH_MIB) found.push(`${after.ownMib - before.ownMib} MiB`);
  if (!works) found.push('it serves no exec any more');
  return found;
}

export function abortsText({ sessions, atOnce, seed }: AbortOptions, result: AbortResult): string {
  const { before, after, left, refused } = result;
  const found = leaks(result);
  return [
    `${sessions} sessions, ${atOnce} at once, seed ${seed}; each left by its client at one of ${POINTS.length} points (${POINTS.join(', ')}), half of them by a reset.`,
    '',
    '| what the daemon has | before | after |',
    '|---|---|---|',
    `| processes in the container | ${before.processes} | ${after.processes} |`,
    `| open descriptors | ${before.descriptors} | ${after.descriptors} |`,
    `| its own memory, MiB | ${before.ownMib} | ${after.ownMib} |`,
    '',
    `Kinds and points: ${left.size} of ${KINDS.length * POINTS.length} combinations; URLs refused: ${refused}. ${found.length === 0 ? 'Nothing is left.' : `LEFT: ${found.join(', ')}.`}`,
  ].join('\n');
}

/** Starts it in a pod of its own. */
export async function silentContainer(world: StreamTarget['world']): Promise<StreamTarget> {
  const { runtime } = world.client;
  const config = sandboxConfig({ name: 'aborts', logDirectory: `${world.logs}/aborts` });
  const { podSandboxId } = await runtime.runPodSandbox({ config });
  const container = create(
    ContainerConfigSchema,
    containerConfig({
      name: 'main',
      image: await world.pull(),
      command: ['sh', '-c', 'nc -ll -p 7000 -e cat & exec sleep 36000'],
    }),
  );
  container.stdin = true;
  const { containerId } = await runtime.createContainer({
    podSandboxId,
    config: container,
    sandboxConfig: config,
  });
  await runtime.startContainer({ containerId });
  const { info } = await runtime.containerStatus({ containerId, verbose: true });
  const { pid } = JSON.parse(info['info'] ?? '{}') as { readonly pid: number };
  const pids = async (): Promise<number> => {
    const cgroup = await readFile(`/proc/${pid}/cgroup`, 'utf8');
    const names = (await readdir('/proc')).filter((name) => /^\d+$/u.test(name));
    const line = cgroup.split('\n').find((one) => one.includes(':pids:')) ?? cgroup.split('\n')[0] ?? '';
    const all = await Promise.all(
      names.map((name) => readFile(`/proc/${name}/cgroup`, 'utf8').catch(() => '')),
    );
    // execs have a cgroup below the container's
    return all.filter((text) => text.split('\n').some((one) => one === line || one.startsWith(`${line}/`)))
      .length;
  };
  return { world, containerId, podSandboxId, pids };
}

async function urlOf({ world, containerId, podSandboxId }: StreamTarget, kind: Kind): Promise<string> {
  const { runtime } = world.client;
  switch (kind) {
    case 'attach':
      return (await runtime.attach({ containerId, stdin: true, stdout: true, stderr: true })).url;
    case 'port-forward':
      return (await runtime.portForward({ podSandboxId, port: [7000] })).url;
    case 'exec on a terminal':
      return (await runtime.exec({ containerId, cmd: ['sh'], stdin: true, stdout: true, tty: true })).url;
    case 'exec of nothing':
      return (await runtime.exec({ containerId, cmd: ['/no/such/program'], stdout: true, tty: true })).url;
    case 'exec':
      return (
        await runtime.exec({
          containerId,
          cmd: ['sh', '-c', 'yes & cat'],
          stdin: true,
          stdout: true,
          stderr: true,
        })
      ).url;
  }
}

interface Leaving {
  readonly point: Point;
  /** By a reset instead of an end. */
  readonly isRude: boolean;
  readonly stayMs: number;
}

const ROLES: Readonly<Record<Kind, readonly string[]>> = {
  exec: ['error', 'stdin', 'stdout', 'stderr'],
  'exec on a terminal': ['error', 'stdin', 'stdout', 'resize'],
  'exec of nothing': ['error', 'stdout', 'resize'],
  attach: ['error', 'stdin', 'stdout', 'stderr'],
  'port-forward': ['error', 'data'],
};

/** One client's life. Never rejects. */
async function leave(url: string, kind: Kind, { point, isRude, stayMs }: Leaving): Promise<void> {
  const socket = await open(url);
  if (socket === undefined) return;
  const go = (): void => void (isRude ? socket.resetAndDestroy() : socket.destroy());
  const isWebSocket = kind !== 'port-forward' && stayMs % 3 === 0;
  const head = requestText(
    url,
    isWebSocket
      ? wsHeaders('v5.channel.k8s.io')
      : spdyHeaders(kind === 'port-forward' ? 'portforward.k8s.io' : 'v4.channel.k8s.io'),
  );
  if (point === 'within the head') {
    socket.write(head.slice(0, stayMs));
    return go();
  }
  socket.write(head);
  if (point === 'before the answer') return go();
  const rest = await answered(socket);
  if (rest === undefined || point === 'after the upgrade') return go();
  if (!isWebSocket) await talk(new SpdyClient(socket, rest), ROLES[kind], point);
  else socket.resume();
  if (point !== 'after one stream') await delay(stayMs);
  go();
}

async function talk(client: SpdyClient, roles: readonly string[], point: Point): Promise<void> {
  for (const role of point === 'after one stream' ? roles.slice(0, 1) : roles) {
    const stream = await client.open({ streamtype: role, port: '7000', requestid: '1' });
    if (role === 'stdin' || role === 'data') stream.write('typed\n');
  }
  if (point === 'by a goodbye') client.close();
}

function open(url: string): Promise<Socket | undefined> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) }, () => resolve(socket));
    socket.on('error', () => resolve(undefined));
  });
}

function requestText(url: string, headers: Readonly<Record<string, string>>): string {
  const { host, pathname, search } = new URL(url);
  const lines = Object.entries({ Host: host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${'Sec-WebSocket-Key' in headers ? 'GET' : 'POST'} ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** What came behind the answer's head; undefined when the server did not switch. */
function answered(socket: Socket): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    let seen = Buffer.alloc(0);
    const done = (rest: Buffer | undefined): void => {
      socket.off('data', take);
      socket.off('close', gone);
      resolve(rest);
    };
    const gone = (): void => done(undefined);
    const take = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const at = seen.indexOf('\r\n\r\n');
      if (at >= 0)
        done(seen.toString('latin1', 0, 12) === 'HTTP/1.1 101' ? seen.subarray(at + 4) : undefined);
    };
    socket.on('data', take);
    socket.on('close', gone);
  });
}

async function held({ world, pids }: StreamTarget): Promise<Held> {
  const pid = world.instance.pid();
  const [processes, fds, own] = await Promise.all([pids(), openForOthers(world.instance), ownMib(pid)]);
  return {
    processes,
    descriptors: fds,
    ownMib: Math.round(own),
  };
}
