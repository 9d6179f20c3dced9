/** A streaming server with drivers of the test's own. */
import { createHash } from 'node:crypto';
import { createEmptyActor } from 'xstate';
import { onTestFinished } from 'vitest';
import { Activity } from '../../../src/actors/effects/activity.ts';
import { Directory } from '../../../src/actors/directory/directory.ts';
import type { ClientStreams, PortConnection, StreamsPort } from '../../../src/ports/streams.ts';
import { ByteQueue, pump } from '../../../src/base/byte-streams.ts';
import { fail } from '../../../src/base/fault.ts';
import { silentLog } from '../../../src/base/log.ts';
import { startStreaming } from '../../../src/cri/streaming/server.ts';
import { TokenTable } from '../../../src/cri/streaming/tokens.ts';
import type { StreamRequest } from '../../../src/cri/streaming/stream-request.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { containerId, containerView, sandboxId, sandboxView } from '../../unit/cri/stage.ts';
import { HandClock } from '../../support/hand-clock.ts';

export const container = containerId('c');
export const sandbox = sandboxId('a');

const text = async (source: ClientStreams['stdin']): Promise<string> => {
  let all = '';
  for (;;) {
    const bytes = await source?.read();
    if (bytes === undefined) return all;
    all += Buffer.from(bytes).toString();
  }
};

/** More than the kernel's buffers of a connection take. */
export const MUCH = 48 * 1024 * 1024;

/** An attached client without stdin: the output of a container that has just ended. */
async function writeMuch(client: ClientStreams, signal: AbortSignal): Promise<void> {
  const part = Buffer.alloc(64 * 1024, 'o');
  for (let bytes = 0; bytes < MUCH; bytes += part.length) {
    signal.throwIfAborted();
    await client.stdout?.write(part);
  }
}

/** `cat` to stdout, its argument's exit code; what was seen is kept. */
function drivers() {
  const seen: string[] = [];
  const aborted: string[] = [];
  const echoes: ByteQueue[] = [];
  const argvs: (readonly string[])[] = [];
  const late: { connect(): void; isClosed: boolean }[] = [];
  const closings: { readonly got: ByteQueue }[] = [];
  const streams: StreamsPort = {
    async exec({ argv, onArgvRead }, client, fx) {
      const [how = '', code = '0'] = argv;
      onArgvRead?.();
      argvs.push(argv);
      client.onResize(({ columns, rows }) => void seen.push(`${columns}x${rows}`));
      if (how === 'missing') return fail('outside', 'exec: no such program');
      if (how === 'hang') {
        seen.push('hangs');
        return new Promise((_resolve, reject) => {
          fx.signal.addEventListener('abort', () => {
            aborted.push((fx.signal.reason as Error).message);
            reject(fx.signal.reason as Error);
          });
        });
      }
      if (client.stdin !== undefined && client.stdout !== undefined) await pump(client.stdin, client.stdout);
      await client.stderr?.write(Buffer.from('warned'));
      return { exitCode: Number(code) };
    },
    async attach(_input, client, fx) {
      if (client.stdin === undefined) return writeMuch(client, fx.signal);
      seen.push(await text(client.stdin));
      await client.stdout?.write(Buffer.from('attached'));
    },
    dial({ port }): Promise<PortConnection> {
      if (port === 81) return fail('outside', 'nobody listens');
      if (port === 82) return lateConnection(late);
      if (port === 83) return Promise.resolve(closingConnection(closings));
      const queue = new ByteQueue();
      echoes.push(queue);
      const sink = {
        write: (bytes: Uint8Array) => Promise.resolve(queue.push(bytes)),
        end: () => queue.end(),
      };
      return Promise.resolve({ source: queue, sink, close: () => queue.end() });
    },
  };
  return { streams, seen, aborted, echoes, late, closings, argvs };
}

/** A server that says `bye`, closes its direction, and reads on. */
function closingConnection(closings: { readonly got: ByteQueue }[]): PortConnection {
  const [source, got] = [new ByteQueue(), new ByteQueue()];
  closings.push({ got });
  source.push(Buffer.from('bye'));
  source.end();
  const sink = { write: (bytes: Uint8Array) => Promise.resolve(got.push(bytes)), end: () => got.end() };
  return { source, sink, close: () => got.end() };
}

/** Connects when the test says so, whatever has become of the call. */
function lateConnection(late: { connect(): void; isClosed: boolean }[]): Promise<PortConnection> {
  return new Promise((resolve) => {
    const queue = new ByteQueue();
    const one = { connect: () => resolve(connection), isClosed: false };
    const sink = { write: () => Promise.resolve(), end: () => undefined };
    const connection = { source: queue, sink, close: () => void (one.isClosed = true) };
    late.push(one);
  });
}

/** A server with a running container and a ready sandbox; closed with the test. */
export async function serve(
  options: {
    readonly allowedHosts?: readonly string[];
    readonly warn?: (fields: Record<string, unknown>, message: string) => void;
  } = {},
) {
  const { warn } = options;
  const log =
    warn === undefined
      ? silentLog
      : {
          ...silentLog,
          warn: (fields: object, message: string) => warn(fields as Record<string, unknown>, message),
        };
  const clock = new HandClock();
  const directory = new Directory();
  directory.put(containerView(container), createEmptyActor());
  directory.put(sandboxView(sandbox), createEmptyActor());
  const fakes = drivers();
  const server = await startStreaming({
    directory,
    clock,
    streams: fakes.streams,
    activity: new Activity(clock),
    log,
    tokens: new TokenTable(clock, realRandom()),
    address: '127.0.0.1',
    port: 0,
    tls: undefined,
    allowedHosts: () => options.allowedHosts ?? [],
  });
  onTestFinished(() => {
    const closing = server.close();
    clock.fire();
    return closing;
  });
  const exec = (
    argv: readonly string[],
    more: Partial<StreamRequest & { readonly kind: 'exec' }> = {},
  ): Promise<string> =>
    server.urlFor({
      kind: 'exec',
      id: container,
      argv: [...argv],
      stdin: true,
      stdout: true,
      stderr: true,
      tty: false,
      ...more,
    });
  const forward = (...ports: readonly number[]): Promise<string> =>
    server.urlFor({ kind: 'portforward', id: sandbox, ports });
  return { server, clock, directory, exec, forward, ...fakes };
}

export const v4 = 'v4.channel.k8s.io';

export function realBytes(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
  return bytes;
}

export function digest(bytes: Uint8Array): string {
  return `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`;
}
