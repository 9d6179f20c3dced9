/** Serves an upgraded connection: runs the request that its token stands for, with the client's streams. */
import type { Duplex } from 'node:stream';
import type { Activity } from '../../actors/effects/activity.ts';
import type { Directory } from '../../actors/directory/directory.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { ClientStreams, PortConnection, StreamsPort } from '../../ports/streams.ts';
import { isAlive } from '../../actors/directory/phases.ts';
import type { ContainerView } from '../../actors/directory/views.ts';
import { onAbort } from '../../base/abort.ts';
import { FaultError, fail, fault, toFault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import type { Log } from '../../base/log.ts';
import type { CommandChannels } from './command-channels.ts';
import type { CommandEnd } from './command-status.ts';
import type { Protocol } from './handshake.ts';
import { spdyCommand } from './spdy-command.ts';
import { spdyForward } from './spdy-forward.ts';
import type { StreamRequest } from './stream-request.ts';
import { wsCommand } from './ws-command.ts';
import { WsConnection, tunnel } from './ws-connection.ts';
import { wsForward } from './ws-forward.ts';

export interface SessionOptions {
  readonly directory: Pick<Directory, 'container' | 'sandbox' | 'listen'>;
  readonly activity: Activity;
  readonly streams: StreamsPort;
  readonly clock: ClockPort;
  readonly log: Log;
}

/** A connection after its upgrade. */
export interface Upgraded {
  readonly transport: Duplex;
  readonly head: Buffer;
  readonly protocol: Protocol;
  /** Ports of the request's query, for port-forward over WebSocket. */
  readonly queryPorts: readonly number[];
  /** Takes a slot for one forwarded connection; throws `exhausted`. The returned function frees the slot. */
  readonly claim: () => () => void;
  /** Called once the command line of an exec is no longer needed. */
  onArgvRead(): void;
}

type CommandRequest = StreamRequest & { readonly kind: 'exec' | 'attach' };
type ForwardRequest = StreamRequest & { readonly kind: 'portforward' };

/** Serves the connection to its end; an abort of the controller ends it. Never rejects. */
export async function serveSession(
  options: SessionOptions,
  request: StreamRequest,
  upgraded: Upgraded,
  controller: AbortController,
): Promise<void> {
  try {
    if (request.kind === 'portforward') await serveForward(options, request, upgraded, controller);
    else await serveCommand(options, request, upgraded, controller);
  } catch (error) {
    options.log.debug(
      { kind: request.kind, id: request.id, fault: toFault(error) },
      'serve a stream: failed',
    );
    upgraded.transport.destroy();
  }
}

async function serveCommand(
  options: SessionOptions,
  request: CommandRequest,
  upgraded: Upgraded,
  controller: AbortController,
): Promise<void> {
  const { clock } = options;
  const { protocol } = upgraded;
  const onGone = (why: Fault): void => controller.abort(new FaultError(why));
  const client = { transport: upgraded.transport, head: upgraded.head, wanted: request, clock, onGone };
  let channels: CommandChannels;
  if (protocol.over === 'spdy') channels = await spdyCommand({ ...client, version: protocol.version });
  else if (protocol.over === 'websocket')
    channels = await wsCommand({ ...client, version: protocol.version, isBase64: protocol.isBase64 });
  else return fail('bug', `serve ${request.kind}: in protocol ${protocol.name}`);
  // an exec must not outlive the container, even while its client is still reading
  const isReading = (): boolean => request.kind === 'attach' && upgraded.transport.writableLength > 0;
  const end = await runCommand(
    options,
    request,
    { streams: channels.streams, isReading, onArgvRead: () => upgraded.onArgvRead() },
    controller,
  );
  options.log.debug({ kind: request.kind, id: request.id, end }, 'stream ended');
  await channels.finish(end);
}

async function runCommand(
  { directory, activity, streams, clock }: SessionOptions,
  request: CommandRequest,
  {
    streams: client,
    isReading,
    onArgvRead,
  }: { readonly streams: ClientStreams; isReading(): boolean; onArgvRead(): void },
  controller: AbortController,
): Promise<CommandEnd> {
  let stopWatching = (): void => undefined;
  try {
    const view = runningContainer(directory, request);
    const { id, handler, spec, init } = view;
    stopWatching = endWithContainer({ directory, clock }, view, controller, isReading);
    return await activity.run(
      view.address,
      request.kind,
      portLimits.graceMaxMs,
      controller.signal,
      async (fx): Promise<CommandEnd> => {
        if (request.kind === 'attach') {
          await streams.attach({ id, handler, spec }, client, fx);
          return { kind: 'detached' };
        }
        const { argv, tty } = request;
        const { exitCode } = await streams.exec(
          { id, handler, spec, init, argv, tty, onArgvRead },
          client,
          fx,
        );
        return { kind: 'exited', exitCode };
      },
    );
  } catch (error) {
    return { kind: 'failed', fault: toFault(error) };
  } finally {
    client.stdin?.cancel();
    stopWatching();
  }
}

type Running = ContainerView & { readonly init: NonNullable<ContainerView['init']> };

/** The running container of a request. It may have ended since the RPC. */
function runningContainer(directory: SessionOptions['directory'], { kind, id }: CommandRequest): Running {
  const view = directory.container(id);
  if (view === undefined || !view.listed)
    return fail('notFound', `${kind} ${id}: container not found`, { subject: id });
  const { init } = view;
  if (!isAlive(view) || init === undefined) {
    return fail('wrongState', `${kind} ${id}: the container is ${view.path}, not running`, { subject: id });
  }
  return { ...view, init };
}

/**
 * Ends the session when its container has ended: with a shared PID namespace, an exec'd process may outlive the
 * container's init, but must not outlive the container. While `isReading`, it waits: an attached client still receives
 * the last output.
 */
function endWithContainer(
  { directory, clock }: Pick<SessionOptions, 'directory' | 'clock'>,
  { address, id }: ContainerView,
  controller: AbortController,
  isReading: () => boolean,
): () => void {
  let timer: ReturnType<ClockPort['setTimeout']> | undefined;
  const endSoon = (): void => {
    timer = clock.setTimeout(() => {
      if (isReading()) endSoon();
      else controller.abort(new FaultError(fault('cancelled', `container ${id} has ended`, { subject: id })));
    }, streamLimits.endWithContainerMs);
  };
  const stop = directory.listen(address, (now, gone) => {
    if (timer !== undefined || (!gone && now.kind === 'container' && now.criState === 'running')) return;
    endSoon();
  });
  return () => {
    stop();
    if (timer !== undefined) clock.clearTimeout(timer);
  };
}

async function serveForward(
  options: SessionOptions,
  request: ForwardRequest,
  upgraded: Upgraded,
  controller: AbortController,
): Promise<void> {
  const { directory, clock } = options;
  const { signal } = controller;
  const ended = new Promise<void>((resolve) => {
    onAbort(signal, resolve);
  });
  const view = directory.sandbox(request.id);
  const stopWatching =
    view === undefined
      ? (): void => undefined
      : endWithSandbox(directory, view.address, request.id, controller);
  const onGone = (why: Fault): void => controller.abort(new FaultError(why));
  const dial = (port: number): Promise<PortConnection> => dialFor(options, request, port, signal);
  const session = openForward(request, upgraded, { clock, dial, onGone });
  await ended;
  stopWatching();
  await session.close();
}

function endWithSandbox(
  directory: SessionOptions['directory'],
  address: string,
  id: string,
  controller: AbortController,
): () => void {
  return directory.listen(address, (now, gone) => {
    if (!gone && now.kind === 'sandbox' && now.ready) return;
    controller.abort(new FaultError(fault('cancelled', `sandbox ${id} has ended`, { subject: id })));
  });
}

function dialFor(
  { directory, activity, streams }: SessionOptions,
  { id }: ForwardRequest,
  port: number,
  signal: AbortSignal,
): Promise<PortConnection> {
  const view = directory.sandbox(id);
  const attempted = `forward port ${port} of sandbox ${id}`;
  if (view === undefined || !view.listed)
    return fail('notFound', `${attempted}: sandbox not found`, { subject: id });
  if (!view.ready)
    return fail('wrongState', `${attempted}: the sandbox is ${view.path}, not ready`, { subject: id });
  const { namespaces, runtime } = view.spec;
  const { network } = namespaces;
  const guestAddresses = runtime?.needsPause === true ? view.ips : [];
  return activity.run(view.address, 'portForward', 3 * portLimits.dialMs, signal, async (fx) => {
    const connection = await streams.dial({ sandboxId: id, network, port, guestAddresses }, fx);
    // the caller no longer waits for it
    if (fx.signal.aborted) connection.close();
    return connection;
  });
}

/** A dial whose connections keep their slot until they are closed. */
function claiming(dial: ForwardParts['dial'], claim: Upgraded['claim']): ForwardParts['dial'] {
  return async (port) => {
    const release = claim();
    try {
      const connection = await dial(port);
      return {
        ...connection,
        close: () => {
          release();
          connection.close();
        },
      };
    } catch (error) {
      release();
      throw error;
    }
  };
}

interface ForwardParts {
  readonly clock: ClockPort;
  readonly dial: (port: number) => Promise<PortConnection>;
  onGone(why: Fault): void;
}

function openForward(
  request: ForwardRequest,
  upgraded: Upgraded,
  parts: ForwardParts,
): { close(): Promise<void> } {
  const { transport, head, protocol, claim } = upgraded;
  const { ports } = request;
  if (protocol.over === 'spdy') return spdyForward({ transport, head, ports, claim, ...parts });
  if (protocol.over === 'tunnel') {
    const inner = tunnel(new WsConnection(transport, head, parts.clock));
    return spdyForward({ transport: inner, head: Buffer.alloc(0), ports, claim, ...parts });
  }
  const wanted = ports.length > 0 ? ports : upgraded.queryPorts;
  return wsForward({
    transport,
    head,
    isBase64: protocol.isBase64,
    ports: wanted,
    ...parts,
    dial: claiming(parts.dial, claim),
  });
}
