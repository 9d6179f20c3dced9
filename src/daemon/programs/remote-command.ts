/** Connects this process's input, output and terminal with a program in a container, behind a URL of Exec or Attach. */
import { readRegularFile } from '../../host/files/regular-file.ts';
import { within } from '../../host/clock/wait.ts';
import { fail, toFault } from '../../base/fault.ts';
import { jsonObject } from '../../base/json-object.ts';
import { dialWebSocket } from '../../cri/streaming/ws-dial.ts';
import type { Dialed, DialTls } from '../../cri/streaming/ws-dial.ts';
import { CLIENT_PROTOCOL, commandClient } from '../../cri/streaming/ws-client.ts';
import type { ClientEnd, ClientOutput, ProgramClient } from '../../cri/streaming/ws-client.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { RandomPort } from '../../ports/random.ts';
import { programLimits } from '../bounds.ts';
import { followSize, makeRaw } from './terminal.ts';
import type { InputTerminal, OutputTerminal } from './terminal.ts';

/** What is used of `process.stdin`. */
export interface Input extends InputTerminal {
  readonly readableEnded: boolean;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  on(event: 'end' | 'error', listener: () => void): unknown;
  off(event: 'data', listener: (chunk: Buffer) => void): unknown;
  off(event: 'end' | 'error', listener: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

export interface RemoteParts {
  readonly clock: ClockPort;
  readonly random: RandomPort;
  /** The daemon's configuration, as Status has it. */
  readonly configJson: string;
  /** undefined: the program gets no input from here. */
  readonly input: Input | undefined;
  readonly output: ClientOutput;
  /** Asked for their size while the program has a terminal; empty if it has none. */
  readonly terminals: readonly OutputTerminal[];
  /** Ends the connection. */
  readonly signal: AbortSignal;
  /** Called with each piece of the input. */
  readonly onInput?: (bytes: Buffer) => void;
}

/** Runs to the end of the program or the connection; `lost` after an abort. Rejects if nobody answers at the URL. */
export async function runRemote(url: string, parts: RemoteParts): Promise<ClientEnd> {
  const { clock, random, input, output, terminals, signal } = parts;
  const dialed = await dial(url, parts);
  const client = commandClient(dialed, clock, () => Buffer.from(random.token(4), 'hex'), output);
  const close = (): void => client.close();
  signal.addEventListener('abort', close, { once: true });
  if (signal.aborted) close();
  const stopSize = followSize(terminals, (size) => client.resize(size));
  const restore = input === undefined || terminals.length === 0 ? undefined : makeRaw(input);
  const stopInput = input === undefined ? undefined : passInput(input, client, parts.onInput);
  try {
    return await client.ended;
  } finally {
    stopInput?.();
    restore?.();
    stopSize();
    signal.removeEventListener('abort', close);
  }
}

/** Sends the input as fast as it is taken. */
function passInput(
  input: Input,
  client: ProgramClient,
  onInput: ((bytes: Buffer) => void) | undefined,
): () => void {
  const onData = (chunk: Buffer): void => {
    input.pause();
    onInput?.(chunk);
    client.write(chunk).then(
      () => input.resume(),
      () => undefined,
    );
  };
  const onEnd = (): void => client.endInput();
  input.on('data', onData);
  input.on('end', onEnd);
  // a terminal that has gone: its reader gets no more, as at the end of a file
  input.on('error', onEnd);
  if (input.readableEnded) onEnd();
  else input.resume();
  return () => {
    input.off('data', onData);
    input.off('end', onEnd);
    input.pause();
  };
}

async function dial(url: string, { clock, random, configJson, signal }: RemoteParts): Promise<Dialed> {
  const { tls, asksClients } = url.startsWith('https:')
    ? await tlsOf(configJson)
    : { tls: undefined, asksClients: false };
  const given = new AbortController();
  const dialed = dialWebSocket(url, {
    key: Buffer.from(random.token(16), 'hex').toString('base64'),
    protocol: CLIENT_PROTOCOL,
    tls,
    signal: AbortSignal.any([signal, given.signal]),
  });
  const dialing = asksClients ? dialed.catch(notAccepted) : dialed;
  // where the wait below has ended first
  dialing.catch(() => undefined);
  const outcome = await within({ clock, timeoutMs: programLimits.dialMs, signal }, dialing);
  if (outcome !== 'timedOut' && outcome !== 'cancelled') return outcome;
  given.abort();
  return outcome === 'cancelled'
    ? fail('cancelled', 'open a stream: no longer wanted')
    : fail('timedOut', `open a stream: timed out after ${programLimits.dialMs / 1000} s`);
}

/** TLS only says that the handshake failed. */
function notAccepted(thrown: unknown): never {
  const { kind, message } = toFault(thrown);
  return fail(
    kind,
    `${message}; streaming.tls_client_ca must have signed streaming.tls_cert, which commands of this node show`,
  );
}

/**
 * The daemon's own certificate and key, which a command of this node's administrator can read; and whether clients must
 * show one.
 */
async function tlsOf(configJson: string): Promise<{ readonly tls: DialTls; readonly asksClients: boolean }> {
  const streaming = jsonObject(configJson)?.['streaming'];
  const {
    tls_cert: cert,
    tls_key: key,
    tls_client_ca: clientCa = '',
  } = typeof streaming === 'object' && streaming !== null
    ? (streaming as Readonly<Record<string, unknown>>)
    : {};
  if (typeof cert !== 'string' || typeof key !== 'string')
    return fail('bug', 'open a stream: the daemon did not report its certificate');
  const read = (path: string): Promise<Buffer> => readRegularFile(path, programLimits.pemBytes);
  return { tls: { cert: await read(cert), key: await read(key) }, asksClients: clientCa !== '' };
}
