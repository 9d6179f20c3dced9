/**
 * Fetches signatures from a lookaside store: a directory or a web server (containers/image, signature-protocols.md).
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail } from '../../../base/fault.ts';
import type { Digest } from '../../../base/ids.ts';
import { distributionLimits, signatureLimits } from '../bounds.ts';
import { readCapped } from '../registry/read-capped.ts';
import { hostnameOf } from '../registry/host-policy.ts';
import { unavailable } from '../registry/registry-fault.ts';
import { TransportError } from '../registry/transport-error.ts';
import type { Transport } from '../registry/transport.ts';
import type { Signature } from './signature.ts';

export interface Lookaside {
  /** URL with the scheme http, https or file, from registries.d. */
  readonly base: string;
  /** Without the host. */
  readonly repository: string;
  readonly digest: Digest;
}

/** Fetches `signature-1`, `signature-2` and so on, until one does not exist. */
export async function fetchLookaside(
  { base, repository, digest }: Lookaside,
  transport: Pick<Transport, 'send'>,
  isInsecure: (host: string) => boolean,
  attempted: string,
  signal: AbortSignal,
): Promise<readonly Signature[]> {
  const directory = `${repository}@${digest.replace(':', '=')}`;
  const found: Signature[] = [];
  let bytes = 0;
  for (let index = 1; index <= signatureLimits.signatures; index += 1) {
    const name = `${directory}/signature-${index}`;
    const message = base.startsWith('file:')
      ? await readCapped(join(fileURLToPath(base), name), signatureLimits.signatureBytes)
      : await fetched(
          new URL(`${base.replace(/\/+$/u, '')}/${name}`),
          transport,
          isInsecure,
          attempted,
          signal,
        );
    if (message === undefined) break;
    bytes += message.byteLength;
    if (bytes > signatureLimits.allBytes)
      fail(
        'outside',
        `${attempted}: the signatures have more than the ${signatureLimits.allBytes} bytes allowed`,
      );
    found.push({ kind: 'simple', message });
  }
  return found;
}

/**
 * One file of a web server; undefined for 404. Sends no credentials: as in the peers, the store must be public to the
 * nodes.
 */
async function fetched(
  url: URL,
  transport: Pick<Transport, 'send'>,
  isInsecure: (host: string) => boolean,
  attempted: string,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const named = `${attempted}: ${url.host}${url.pathname.slice(-distributionLimits.errorChars)}`;
  const policy = {
    // the operator configured the URL, so plain http is allowed to its host, but not after a redirect to another one
    isInsecure: (host: string) => (url.protocol === 'http:' && host === url.host) || isInsecure(host),
    mayBeLocal: (other: URL) => hostnameOf(other) === hostnameOf(url),
  };
  try {
    const response = await transport.send({
      method: 'GET',
      url,
      headers: {},
      authorization: undefined,
      policy,
      signal,
      attempted: named,
    });
    if (response.status === 200) return await response.body.whole(signatureLimits.signatureBytes);
    response.body.discard();
    // only 404 means that there is no signature; some stores answer 403 instead, which is an error here
    return response.status === 404
      ? undefined
      : unavailable(named, `${response.host} answered ${response.status}`);
  } catch (error) {
    if (error instanceof TransportError) unavailable(named, error.message);
    throw error;
  }
}
