// `sudo npm run bench -- streams [--rounds N] [--megabytes N]`: bytes per second through exec and port-forward with the
// client library of Kubernetes, in turn with a plain proxy of Node's between the same kind of server and a reader that
// only counts.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { writeFigures } from '../../scripts/support/figures.ts';
import { makeWorld, type World } from '../e2e/support/world.ts';
import { run } from '../support/run.ts';
import { runc14 } from '../support/tools/go-tools.ts';
import { streamClient } from '../support/tools/stream-client.ts';
import { type DaemonPod, startPod } from './daemon-pods.ts';
import { median } from './stats.ts';

const MEGABYTE = 1_000_000;
/** Bytes that the exec's program writes at once: as many as its pipe holds. */
const BLOCK = 64 * 1024;
const CLIENT_MS = 300_000;
/** Of test/e2e/streaming/pod-servers.ts: gives without end. */
const GIVING_PORT = 7004;
const PROXY = 'a plain Node TCP proxy';
/** What is asked for: so many MB/s, or half of what the proxy did in the same run. */
const WANTED = 300;

/** MB/s of one transfer, and CPU ms of the process in the middle for each MB. */
interface Speed {
  readonly rate: number;
  readonly cpu: number;
}

interface Transfer {
  readonly name: string;
  /** Pid of the process in the middle. */
  readonly middle: () => number;
  /** Seconds until so many bytes had come. */
  readonly run: (bytes: number) => Promise<number>;
}

/** Runs and prints it, and writes it into docs/figures.md. */
export async function streamsBench(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: 'string', default: '5' }, megabytes: { type: 'string', default: '500' } },
  });
  const world = await makeWorld({ name: 'strb', runtimePath: await runc14(), stateInMemory: true });
  const helpers: ChildProcess[] = [];
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void world.close().finally(() => process.exit(130)));
  try {
    const pod = await startPod(world, await world.pull(), 'pod');
    const transfers = await prepare(world, pod, helpers);
    const speeds = new Map(transfers.map(({ name }): [string, Speed[]] => [name, []]));
    for (let round = 0; round < Number(values.rounds); round += 1) {
      for (const transfer of transfers)
        speeds.get(transfer.name)?.push(await measure(transfer, Number(values.megabytes)));
    }
    await pod.stop();
    const text = reportText(speeds, Number(values.megabytes), Number(values.rounds));
    console.log(text);
    writeFigures('streams', 'Streams', text);
  } finally {
    for (const helper of helpers) helper.kill('SIGKILL');
    await world.close();
  }
}

async function prepare(
  world: World,
  { podSandboxId, containerId }: DaemonPod,
  helpers: ChildProcess[],
): Promise<readonly Transfer[]> {
  const client = await streamClient();
  await mkdir(join(world.logs, 'streams'), { recursive: true });
  const servers = join(import.meta.dirname, '../e2e/streaming/pod-servers.ts');
  const netns = join(world.instance.state, 'ns', podSandboxId, 'net');
  await said(helpers, ['nsenter', `--net=${netns}`, process.execPath, servers]);
  // the proxy is in the pod's network, too: loopback there and here are the same, and nothing is routed
  const proxy = await said(helpers, [
    'nsenter',
    `--net=${netns}`,
    process.execPath,
    join(import.meta.dirname, 'tcp-proxy.ts'),
    String(GIVING_PORT),
  ]);
  return [
    { name: PROXY, middle: () => proxy.pid, run: (bytes) => counted(netns, Number(proxy.line), bytes) },
    execThrough(world, client, containerId, ['spdy', 'v4.channel.k8s.io']),
    execThrough(world, client, containerId, ['websocket', 'v5.channel.k8s.io']),
    forwardThrough(world, client, podSandboxId, 'spdy'),
    forwardThrough(world, client, podSandboxId, 'websocket'),
  ];
}

function forwardThrough(world: World, client: string, podSandboxId: string, transport: string): Transfer {
  return {
    name: `port-forward, ${transport}`,
    middle: () => world.instance.pid(),
    run: async (bytes) => {
      const { url } = await world.client.runtime.portForward({ podSandboxId, port: [GIVING_PORT] });
      const flags = [
        '-transport',
        transport,
        '-port',
        String(GIVING_PORT),
        '-keep-stdin',
        '-abort-after',
        String(bytes),
      ];
      return seconds([client, '-mode', 'forward', '-url', url, ...flags], bytes);
    },
  };
}

function execThrough(
  world: World,
  client: string,
  containerId: string,
  [transport, protocol]: readonly [string, string],
): Transfer {
  return {
    name: `exec stdout, ${transport} ${protocol}`,
    middle: () => world.instance.pid(),
    run: async (bytes) => {
      const cmd = ['dd', 'if=/dev/zero', `bs=${BLOCK}`, `count=${Math.ceil(bytes / BLOCK)}`];
      const { url } = await world.client.runtime.exec({ containerId, cmd, stdout: true });
      return seconds([client, '-url', url, '-transport', transport, '-protocol', protocol, '-stdout'], bytes);
    },
  };
}

/** Starts a helper and waits for its first line. */
async function said(
  helpers: ChildProcess[],
  [program, ...args]: readonly [string, ...string[]],
): Promise<{ readonly pid: number; readonly line: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  helpers.push(child);
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { pid: child.pid ?? 0, line };
}

async function seconds(argv: readonly [string, ...string[]], bytes: number): Promise<number> {
  const { code, stdout, stderr } = await run(argv, { timeoutMs: CLIENT_MS });
  if (code !== 0) throw new Error(`the client ended with ${code}: ${stderr}`);
  const seen = JSON.parse(stdout) as {
    readonly stdout: { readonly bytes: number };
    readonly seconds: number;
    readonly error: string;
  };
  if (seen.stdout.bytes < bytes)
    throw new Error(`the client got ${seen.stdout.bytes} of ${bytes} bytes: ${seen.error} ${stderr}`);
  return seen.seconds;
}

/** A reader of its own in the pod's network. */
async function counted(netns: string, port: number, bytes: number): Promise<number> {
  const reader = [
    'nsenter',
    `--net=${netns}`,
    process.execPath,
    import.meta.filename,
    String(port),
    String(bytes),
  ] as const;
  const { code, stdout, stderr } = await run(reader, { timeoutMs: CLIENT_MS });
  if (code !== 0) throw new Error(`the reader ended with ${code}: ${stderr}`);
  return Number(stdout);
}

async function measure({ middle, run: transfer }: Transfer, megabytes: number): Promise<Speed> {
  const before = await cpuMs(middle());
  const took = await transfer(megabytes * MEGABYTE);
  return { rate: megabytes / took, cpu: ((await cpuMs(middle())) - before) / megabytes };
}

/** proc(5), /proc/pid/stat: utime and stime in ticks of 10 ms. */
async function cpuMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function reportText(
  speeds: ReadonlyMap<string, readonly Speed[]>,
  megabytes: number,
  rounds: number,
): string {
  const rateOf = (name: string): number => median((speeds.get(name) ?? []).map(({ rate }) => rate));
  const floor = rateOf(PROXY);
  const rows = [...speeds].map(([name, all]) => {
    const rate = rateOf(name);
    const verdict = name === PROXY ? '' : rate >= WANTED || rate >= floor / 2 ? 'yes' : 'NO';
    return `| ${name} | ${rate.toFixed(0)} | ${(floor / rate).toFixed(2)} | ${median(all.map(({ cpu }) => cpu)).toFixed(2)} | ${verdict} |`;
  });
  return [
    `${megabytes} MB each, ${rounds} rounds in turn, medians; the client is client-go's, which hashes what it gets; the time of an exec has its start in it. Wanted: ${WANTED} MB/s, or half of the proxy's rate.`,
    '',
    '| through | MB/s | times slower than the proxy | CPU ms per MB in the middle | as wanted |',
    '|---|---|---|---|---|',
    ...rows,
  ].join('\n');
}

/** Started as a program: reads so many bytes from a port, and prints the seconds. */
if (process.argv[1] === import.meta.filename) {
  const [port = 0, bytes = 0] = process.argv.slice(2).map(Number);
  const startedAt = performance.now();
  let left = bytes;
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left > 0) return;
    socket.destroy();
    process.stdout.write(String((performance.now() - startedAt) / 1000));
  });
}
