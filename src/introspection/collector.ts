/** The collector of traces: its address, the files that a request to it needs, and the time that it has. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { fail, toFault } from '../base/fault.ts';
import type { Log } from '../base/log.ts';
import type { ClockPort } from '../ports/clock.ts';
import { tracesLimits as limits } from './bounds.ts';
import type { Sent } from './traces-otlp.ts';

/** Attributes of whoever sends the spans. */
export type Resource = Readonly<Record<'service.name' | 'service.version' | 'host.name', string>>;

/** What a request takes with it. */
export interface CollectorAccess {
  readonly headers: Readonly<Record<string, string>>;
  /** PEM of the authorities that may have signed the collector's certificate; undefined: the machine's own. */
  readonly ca: Buffer | undefined;
}

export interface Collector {
  readonly endpoint: string;
  readonly resource: Resource;
  readonly access: () => Promise<CollectorAccess>;
  readonly clock: ClockPort;
  readonly log: Log;
}

/** Runs one request for at most `requestMs`; one that fails or is late may be sent again. Never rejects. */
export function bounded(
  { clock, log, endpoint }: Collector,
  request: (signal: AbortSignal) => Promise<Sent>,
): Promise<Sent> {
  return new Promise<Sent>((resolve) => {
    const abort = new AbortController();
    const failed = (thrown: unknown): void => {
      clock.clearTimeout(timer);
      log.debug({ endpoint: new URL(endpoint).origin, reason: toFault(thrown).message }, 'send spans');
      resolve('later');
    };
    const timer = clock.setTimeout(() => {
      const late = new Error(`timed out after ${limits.requestMs / 1000}s waiting for the trace collector`);
      abort.abort(late);
      // also where the files of the request don't answer
      failed(late);
    }, limits.requestMs);
    request(abort.signal).then((sent) => {
      clock.clearTimeout(timer);
      resolve(sent);
    }, failed);
  });
}

/** Files of `tracing`; empty: not configured. */
export interface CollectorFiles {
  readonly headersFile: string;
  readonly caFile: string;
}

/**
 * Reads the files anew for each request, so that a rotated secret counts at once. Throws FaultError that names the
 * file, never what it holds (S92).
 */
export async function readAccess(
  { headersFile, caFile }: CollectorFiles,
  uid: number,
): Promise<CollectorAccess> {
  const [headers, ca] = await Promise.all([
    headersFile === '' ? {} : readSmall(headersFile, uid).then((text) => headersOf(text, headersFile)),
    caFile === '' ? undefined : readSmall(caFile),
  ]);
  return { headers, ca };
}

/** @param owner of a file that holds secrets: nobody else may be allowed to read or write it */
async function readSmall(path: string, owner?: number): Promise<Buffer> {
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const handle = await open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY).catch((thrown: unknown) =>
    fail('outside', `read ${path}: ${toFault(thrown).message}`, { subject: path }),
  );
  try {
    const found = await handle.stat();
    const { mode, uid, size } = found;
    if (!found.isFile() || size > limits.fileBytes)
      fail('outside', `read ${path}: not a regular file of at most ${limits.fileBytes} bytes`, {
        subject: path,
      });
    if (owner !== undefined && ((mode & 0o077) !== 0 || (uid !== owner && uid !== 0)))
      fail('denied', `read ${path}: it must belong to root or the daemon's user, with mode 0600 or less`, {
        subject: path,
      });
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** RFC 9110 5.1 and 5.5: a token, and visible ASCII with blanks; gRPC's metadata allows no more. */
const HEADER = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([\x20-\x7e]*)$/u;

/** Headers that belong to the request itself; `-bin` marks binary values in gRPC. */
const OURS = /^(?:host|te|connection|content-.*|transfer-encoding|upgrade|grpc-.*|connect-.*|.*-bin)$/u;

/** One header on each line; empty lines and those that begin with `#` are left out. */
function headersOf(text: Buffer, path: string): Readonly<Record<string, string>> {
  const headers = new Map<string, string>();
  for (const [at, line] of text.toString('latin1').split('\n').entries()) {
    const plain = line.trim();
    if (plain === '' || plain.startsWith('#')) continue;
    const [, name = '', value = ''] = HEADER.exec(plain) ?? [];
    const refuse = (reason: string): never =>
      fail('outside', `read ${path}: line ${at + 1}: ${reason}`, { subject: path });
    if (name === '') refuse('must be "name: value" in ASCII');
    const key = name.toLowerCase();
    if (OURS.test(key)) refuse('the header is set by troupe');
    headers.set(key, value);
  }
  return Object.fromEntries(headers);
}
