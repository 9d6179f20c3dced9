/**
 * `crictl port-forward`: both transports, both loopback addresses, the host's network, half-close, many connections.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectSpdy } from '../../integration/streaming/clients.ts';
import { Crictl, containerJson, describePods } from '../support/crictl.ts';
import { openForOthers } from '../support/descriptors.ts';
import { makeWorld } from '../support/world.ts';
import type { World } from '../support/world.ts';
import { crictlStarted } from './support.ts';
import { until } from '../../support/eventually.ts';
import { injects } from '../../support/faults/injects.ts';

const CONNECTIONS = 30;
/** A connection of 127.0.0.1 with port 7001, either end of it (proc_pid_net(5)). */
const ESTABLISHED = /0100007F:(1B59 0100007F:[0-9A-F]{4}|[0-9A-F]{4} 0100007F:1B59) 01 /u;

const killed = injects('F11', 'SIGKILL of the daemon while a connection is forwarded');

describePods('crictl port-forward', () => {
  let world: World;
  let crictl: Crictl;
  let pod: Awaited<ReturnType<Crictl['runPod']>>;
  let servers: ChildProcess;

  beforeAll(async () => {
    world = await makeWorld({ name: 'strf' });
    crictl = new Crictl(world);
    pod = await crictl.runPod('forward');
    await crictl.runContainer(pod, containerJson('main', await world.pull(), ['sleep', '3600']));
    const netns = join(world.instance.state, 'ns', pod.id, 'net');
    servers = spawn(
      'nsenter',
      [`--net=${netns}`, process.execPath, join(import.meta.dirname, 'pod-servers.ts')],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise<void>((resolve, reject) => {
      servers.stdout?.once('data', () => resolve());
      servers.once('exit', (code) => reject(new Error(`the pod's servers ended with ${code}`)));
    });
  });
  afterAll(async () => {
    servers.kill('SIGKILL');
    await world.instance.crictl(['rmp', '-f', '-a']);
    const left = await world.leftovers();
    await world.close();
    expect(left).toEqual([]);
  });

  /** Local ports of a running `crictl port-forward`, and its end. */
  const forward = async (
    id: string,
    transport: string,
    ...ports: readonly number[]
  ): Promise<{ readonly local: readonly number[]; stop(): Promise<void> }> => {
    const started = await crictlStarted(world, [
      'port-forward',
      '--transport',
      transport,
      id,
      ...ports.map((port) => `:${port}`),
    ]);
    const local = (): number[] =>
      ports.map((port) =>
        Number(new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${port}`, 'u').exec(started.text())?.[1] ?? 0),
      );
    await until(() => Promise.resolve(local().every((port) => port > 0) || started.child.exitCode !== null));
    if (started.child.exitCode !== null) throw new Error(`crictl ended: ${started.text()}`);
    return {
      local: local(),
      stop: async () => {
        started.child.kill('SIGKILL');
        await started.ended;
      },
    };
  };

  it.each([['spdy'], ['websocket']])(
    '%s: reaches 127.0.0.1 and ::1 of the pod, 10 MiB each way',
    async (transport) => {
      const session = await forward(pod.id, transport, 7001, 7002);
      const bytes = randomBytes(10 * 1024 * 1024);
      for (const port of session.local) expect(sha(await talk(port, bytes))).toBe(sha(bytes));
      await session.stop();
    },
  );

  it('a half-close reaches the pod, and the answer comes back', async () => {
    const session = await forward(pod.id, 'spdy', 7003);
    expect((await talk(session.local[0] ?? 0, Buffer.alloc(123_456))).toString().trim()).toBe('123456');
    await session.stop();
  });

  it('many connections at once each get their own answer', async () => {
    const session = await forward(pod.id, 'spdy', 7001);
    const all = await Promise.all(
      Array.from({ length: CONNECTIONS }, (_none, index) =>
        talk(session.local[0] ?? 0, Buffer.from(`connection ${index}`)),
      ),
    );
    expect(all.map(String)).toEqual(
      Array.from({ length: CONNECTIONS }, (_none, index) => `connection ${index}`),
    );
    await session.stop();
  });

  it('port-forward to a pod on the host network connects on the host, not on a pod’s loopback', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.end('from the host'));
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const onHost = await crictl.runPod('onhost', {
      hostname: '',
      linux: { security_context: { namespace_options: { network: 2, pid: 1, ipc: 0 } } },
    });
    const session = await forward(onHost.id, 'websocket', port);
    expect((await talk(session.local[0] ?? 0, Buffer.alloc(0))).toString()).toBe('from the host');
    await session.stop();
    const { url } = await world.client.runtime.portForward({ podSandboxId: pod.id });
    const { client } = await connectSpdy(url, 'portforward.k8s.io');
    const error = await client.open({ streamType: 'error', port: String(port), requestID: '1' });
    await client.open({ streamType: 'data', port: String(port), requestID: '1' });
    expect((await error.all).toString()).toMatch(
      /connect to port \d+ of [0-9a-f]{64}: 127\.0\.0\.1:\d+: ECONNREFUSED.*\[::1\]:\d+: ECONNREFUSED/u,
    );
    client.close();
    server.close();
  });

  it('F11 after a SIGKILL a forwarded connection is closed at both ends, and the next instance forwards anew', async () => {
    const { url } = await world.client.runtime.portForward({ podSandboxId: pod.id });
    const { client } = await connectSpdy(url, 'portforward.k8s.io');
    await client.open({ streamType: 'error', port: '7001', requestID: '1' });
    const data = await client.open({ streamType: 'data', port: '7001', requestID: '1' });
    data.write('x');
    await until(() => Promise.resolve(data.size() > 0));
    const connections = async (): Promise<number> => {
      const tcp = await readFile(`/proc/${servers.pid}/net/tcp`, 'utf8');
      return tcp.split('\n').filter((line) => ESTABLISHED.test(line)).length;
    };
    await until(async () => (await connections()) === 2);
    await world.instance.kill();
    killed.happened();
    await expect(data.all).rejects.toThrow('the connection has closed');
    await until(async () => (await connections()) === 0);
    await world.instance.start();
    const session = await forward(pod.id, 'spdy', 7001);
    expect(String(await talk(session.local[0] ?? 0, Buffer.from('again')))).toBe('again');
    await session.stop();
  });

  it('connections that are reset leave nothing', async () => {
    const files = (): Promise<number> => openForOthers(world.instance);
    const some = async (): Promise<void> => {
      const { url } = await world.client.runtime.portForward({ podSandboxId: pod.id });
      const { client } = await connectSpdy(url, 'portforward.k8s.io');
      for (let id = 0; id < 10; id += 1) {
        await client.open({ streamType: 'error', port: '7001', requestID: String(id) });
        const data = await client.open({ streamType: 'data', port: '7001', requestID: String(id) });
        data.write('x');
        if (id % 3 === 0) data.end();
        if (id % 3 === 1) data.reset();
        if (id % 3 === 2) await until(() => Promise.resolve(data.size() > 0));
      }
      client.socket.destroy();
    };
    await some();
    const before = await files();
    for (let round = 0; round < 10; round += 1) await some();
    await until(async () => (await files()) <= before);
  });
});

/** Sends all, ends its direction, and gives what came back. */
function talk(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.end(bytes);
  });
}

function sha(bytes: Buffer): string {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;
}
