// A shim of our own, as the runtime sees that of a virtual machine: version 2 of the Task service, a bare address, one
// process id for everything in the pod (the machine's), figures and OOM kills by its own word. Its "guest" is this
// machine: what a container runs is started here as it is. The pod's name says how it misbehaves.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createReadStream, createWriteStream, readFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Events, TaskOOMSchema } from '../../../src/gen/shim/events_pb.ts';
import { MetricsSchema } from '../../../src/gen/shim/metrics2_pb.ts';
import { DeleteResponseSchema, Status, Task } from '../../../src/gen/shim/task_pb.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { encodeMessage } from '../../../src/ttrpc/protocol.ts';
import { TtrpcClient, connectUnix } from '../../../src/ttrpc/client.ts';
import { TtrpcServer, ttrpcRoute } from '../../../src/ttrpc/server.ts';
import type { TtrpcRoute } from '../../../src/ttrpc/server.ts';
import { fail } from '../../../src/base/fault.ts';
import { EVENT_MS } from '../../support/patience.ts';

/** SIGUSR2: kills for want of memory, and says so. */
const OOM = 12;

interface Spec {
  readonly process: { readonly args: string[] };
  readonly annotations: Readonly<Record<string, string>>;
}

interface FakeProcess {
  readonly args: readonly string[];
  readonly stdio: { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  child: ChildProcess | undefined;
  status: Status;
  exitStatus: number;
  atMs: number;
  readonly waiters: (() => void)[];
}

const argv = process.argv.slice(2);
const option = (name: string): string => argv[argv.indexOf(name) + 1] ?? '';
const action = argv.at(-1) ?? '';
const id = option('-id');
const specIn = (directory: string): Spec =>
  JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Spec;
const podName = (): string => specIn('.').annotations['io.kubernetes.cri.sandbox-name'] ?? '';

function start(): void {
  const socket = join(option('-address'), '..', `${id}.sock`);
  switch (podName()) {
    case 'refuses':
      process.stderr.write('no virtual machines on this one\n');
      process.exit(3);
      break;
    case 'grpc':
      process.stdout.write(JSON.stringify({ version: 3, address: `unix://${socket}`, protocol: 'grpc' }));
      return;
    case 'silent':
      return;
    default: {
      const server = spawn(
        process.execPath,
        [...process.execArgv, import.meta.filename, ...argv.slice(0, -1), 'serve'],
        {
          detached: true,
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      );
      server.stdout.once('data', () => {
        process.stdout.write(`unix://${socket}`);
        process.exit(0);
      });
    }
  }
}

/** As gVisor's shim: before start a container has no process, so that a kill ends nothing; it can be deleted. */
const keepsCreated = action === 'serve' && podName() === 'unstarted';
/** As gVisor's of 2026: such a kill leaves a stopped task without a time, which nobody can wait for or delete. */
const losesCreated = action === 'serve' && podName() === 'lost';

/** What is in the machine. */
class Guest {
  readonly machine = spawn('sleep', ['86400'], { stdio: 'ignore' });
  /** What every task is reported with. */
  readonly pid = this.machine.pid ?? 0;
  readonly #processes = new Map<string, FakeProcess>();

  add(request: Named, args: readonly string[], stdio: FakeProcess['stdio']): void {
    this.#processes.set(keyOf(request), {
      args,
      stdio,
      child: undefined,
      status: Status.CREATED,
      exitStatus: 0,
      atMs: 0,
      waiters: [],
    });
  }

  of(request: Named): FakeProcess {
    return this.#processes.get(keyOf(request)) ?? fail('notFound', 'process does not exist');
  }

  delete(request: Named): FakeProcess {
    const one = this.of(request);
    const isDeletable = one.status === Status.STOPPED || (keepsCreated && one.status === Status.CREATED);
    if (!isDeletable) fail('wrongState', 'it has not ended');
    this.#processes.delete(keyOf(request));
    return one;
  }

  shutdown(): void {
    if (this.#processes.size > 0) return;
    this.machine.kill('SIGKILL');
    process.exit(0);
  }
}

interface Named {
  readonly id: string;
  readonly execId?: string;
}

function keyOf({ id: task, execId }: Named): string {
  return `${task}/${execId ?? ''}`;
}

function ended(one: FakeProcess, code: number): void {
  Object.assign(one, {
    status: Status.STOPPED,
    exitStatus: code,
    atMs: performance.timeOrigin + performance.now(),
  });
  for (const wake of one.waiters) wake();
}

function exitOf({ exitStatus, atMs }: FakeProcess) {
  return {
    exitStatus,
    exitedAt: { seconds: BigInt(Math.floor(atMs / 1000)), nanos: Math.floor(atMs % 1000) * 1_000_000 },
  };
}

function serve(): void {
  const guest = new Guest();
  const clock = realClock();
  const routes = [...lives(guest, podName()), ...words(guest)];
  const server = createServer((socket) => void new TtrpcServer(socket, { clock, routes }));
  server.listen(join(option('-address'), '..', `${id}.sock`), () => writeSync(1, 'up'));
  process.on('exit', () => guest.machine.kill('SIGKILL'));
}

/** From Create to Delete. */
function lives(guest: Guest, name: string): TtrpcRoute[] {
  const { pid } = guest;
  return [
    ttrpcRoute(Task.method.create, async (request) => {
      if (name === 'mute') await new Promise(() => undefined);
      if (name === 'full' && request.id !== id) fail('exhausted', 'the guest has no memory left');
      guest.add({ id: request.id }, specIn(request.bundle).process.args, request);
      return { pid };
    }),
    ttrpcRoute(Task.method.exec, (request) => {
      const { args } = JSON.parse(Buffer.from(request.spec?.value ?? []).toString()) as { args: string[] };
      guest.add(request, args, request);
      return Promise.resolve({});
    }),
    ttrpcRoute(Task.method.start, (request) => {
      const one = guest.of(request);
      one.status = Status.RUNNING;
      if (request.id !== id) run(one, (code) => ended(one, code));
      return Promise.resolve({ pid });
    }),
    ttrpcRoute(Task.method.wait, async (request) => {
      const one = guest.of(request);
      if (one.status !== Status.STOPPED || one.atMs === 0)
        await new Promise<void>((resolve) => one.waiters.push(resolve));
      return exitOf(one);
    }),
    ttrpcRoute(Task.method.kill, async (request) => {
      const one = guest.of(request);
      if (one.status === Status.STOPPED) fail('notFound', 'process already finished');
      if (request.signal === OOM) await reportOom(request.id);
      if (keepsCreated && one.status === Status.CREATED) return {};
      if (losesCreated && one.status === Status.CREATED) {
        one.status = Status.STOPPED;
        return {};
      }
      if (one.child === undefined) ended(one, 137);
      else process.kill(-(one.child.pid ?? 0), request.signal === OOM ? 'SIGKILL' : request.signal);
      return {};
    }),
    ttrpcRoute(Task.method.delete, async (request) => {
      if (losesCreated && guest.of(request).atMs === 0) await new Promise(() => undefined);
      return exitOf(guest.delete(request));
    }),
  ];
}

function words(guest: Guest): TtrpcRoute[] {
  const figures = { cpu: { usageUsec: 42n }, memory: { usage: 1000n, inactiveFile: 200n } };
  return [
    ttrpcRoute(Task.method.connect, () => Promise.resolve({ shimPid: process.pid, taskPid: guest.pid })),
    ttrpcRoute(Task.method.state, (request) => {
      const one = guest.of(request);
      return Promise.resolve({ id: request.id, pid: guest.pid, status: one.status, ...exitOf(one) });
    }),
    ttrpcRoute(Task.method.stats, () =>
      Promise.resolve({
        stats: { typeUrl: MetricsSchema.typeName, value: encodeMessage(MetricsSchema, figures) },
      }),
    ),
    ttrpcRoute(Task.method.shutdown, () => {
      guest.shutdown();
      return Promise.resolve({});
    }),
  ];
}

/** Streams are opened as a shim does: both ends, so that they outlive whoever is at the other one. */
function run(one: FakeProcess, onEnd: (code: number) => void): void {
  const [program = '', ...args] = one.args;
  const child = spawn(program, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  one.child = child;
  for (const [path, stream] of [
    [one.stdio.stdout, child.stdout],
    [one.stdio.stderr, child.stderr],
  ] as const) {
    if (path !== '') stream.pipe(createWriteStream(path, { flags: 'r+' }));
  }
  if (one.stdio.stdin !== '') createReadStream(one.stdio.stdin).pipe(child.stdin);
  child.once('error', () => onEnd(127));
  child.once('close', (code, signal) => onEnd(code ?? (signal === 'SIGKILL' ? 137 : 143)));
}

async function reportOom(container: string): Promise<void> {
  const clock = realClock();
  const client = new TtrpcClient(
    await connectUnix(process.env['TTRPC_ADDRESS'] ?? '', { clock, timeoutMs: EVENT_MS }),
    { clock, peer: 'troupe' },
  );
  const event = {
    typeUrl: 'containerd.events.TaskOOM',
    value: encodeMessage(TaskOOMSchema, { containerId: container }),
  };
  await client.call(Events.method.forward, {
    envelope: { namespace: option('-namespace'), topic: '/tasks/oom', event },
  });
  client.close();
}

switch (action) {
  case '-v':
    process.stdout.write('fake shim\n');
    break;
  case 'start':
    start();
    break;
  case 'delete':
    process.stdout.write(encodeMessage(DeleteResponseSchema, { exitStatus: 137 }));
    break;
  default:
    serve();
}
