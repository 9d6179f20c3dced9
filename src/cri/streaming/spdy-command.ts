/** Exec and attach over SPDY: one stream per role, which its header `streamtype` names. */
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../../ports/clock.ts';
import { FaultError, fail, fault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { portLimits } from '../../ports/bounds.ts';
import { Resizes, pacedSizes } from './command-channels.ts';
import type { CommandChannels, WantedStreams } from './command-channels.ts';
import { statusBytes } from './command-status.ts';
import type { CommandVersion } from './command-status.ts';
import { SpdySession } from './spdy-session.ts';
import type { SpdyStream } from './spdy-stream.ts';
import { upTo } from './transport.ts';

type Role = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize';

/** The streams that a client opens. The resize stream was introduced by version 3. */
export function expectedRoles(wanted: WantedStreams, version: CommandVersion): readonly Role[] {
  const roles: Role[] = ['error'];
  for (const role of ['stdin', 'stdout', 'stderr'] as const) if (wanted[role]) roles.push(role);
  if (wanted.tty && version >= 3) roles.push('resize');
  return roles;
}

export interface CommandClient {
  readonly transport: Duplex;
  /** Bytes received together with the upgrade request. */
  readonly head: Buffer;
  readonly wanted: WantedStreams;
  readonly version: CommandVersion;
  readonly clock: ClockPort;
  /** Called once when the client has disconnected or violated the protocol, also after `finish`. */
  onGone(why: Fault): void;
}

/**
 * Waits until the client has opened all its streams. Rejects after `streamLimits.setupMs`, and when the client
 * disconnects.
 */
export async function spdyCommand(client: CommandClient): Promise<CommandChannels> {
  const { wanted, version, clock } = client;
  const roles = expectedRoles(wanted, version);
  const found = new Map<string, SpdyStream>();
  const { promise: complete, resolve, reject } = Promise.withResolvers<void>();
  const session = new SpdySession(client.transport, client.head, clock, {
    onStream(stream): void {
      const role = stream.headers.get('streamtype') ?? '';
      if (found.has(role) || !roles.some((one) => one === role)) return stream.reset();
      found.set(role, stream);
      if (found.size === roles.length) resolve();
    },
    onClose(why): void {
      reject(new FaultError(why));
      client.onGone(why);
    },
  });
  const timer = clock.setTimeout(() => {
    const missing = roles.filter((role) => !found.has(role)).join(', ');
    reject(
      new FaultError(
        fault(
          'timedOut',
          `timed out after ${streamLimits.setupMs / 1000}s waiting for the client's streams: ${missing}`,
        ),
      ),
    );
  }, streamLimits.setupMs);
  try {
    await complete;
  } catch (error) {
    void session.close();
    throw error;
  } finally {
    clock.clearTimeout(timer);
  }
  return channels(session, found, version, clock);
}

function channels(
  session: SpdySession,
  found: ReadonlyMap<string, SpdyStream>,
  version: CommandVersion,
  clock: ClockPort,
): CommandChannels {
  const resizes = new Resizes();
  const resize = found.get('resize');
  if (resize !== undefined) void readSizes(resize, resizes);
  const error = found.get('error') ?? fail('bug', 'serve a command: no error stream');
  // clients send nothing on the error stream
  error.source.cancel();
  const outputs = [found.get('stdout'), found.get('stderr')];
  for (const output of outputs) output?.source.cancel();
  return {
    streams: {
      stdin: found.get('stdin')?.source,
      stdout: outputs[0],
      stderr: outputs[1],
      onResize: (listener) => resizes.onResize(pacedSizes(clock, listener)),
    },
    async finish(end): Promise<void> {
      for (const output of outputs) output?.end();
      const bytes = statusBytes(end, version);
      const isPatient = end.kind !== 'failed';
      if (bytes.length > 0)
        await upTo(clock, isPatient ? streamLimits.idleMs : portLimits.streamDrainMs, error.write(bytes));
      error.end();
      await session.close(isPatient);
    },
  };
}

async function readSizes(stream: SpdyStream, resizes: Resizes): Promise<void> {
  try {
    for (;;) {
      const bytes = await stream.source.read();
      if (bytes === undefined) return;
      resizes.push(bytes);
    }
  } catch {
    // the session has ended
  }
}
