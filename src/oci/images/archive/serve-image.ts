/**
 * Serves one image on a Unix socket by the pull part of the distribution spec, so that the daemon can pull it. The
 * daemon verifies all content. Checks here only give clearer messages, since both sides run as root.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { chmod } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { parseDigest } from '../../../base/ids.ts';
import { imageLimits } from '../../bounds.ts';
import type { OpenedSource, OfferedImage } from './image-source.ts';

export interface ServedImage {
  /** Whether a client has requested the manifest. */
  readonly wasAsked: () => boolean;
  /** Closes all connections and removes the socket. */
  close(): Promise<void>;
}

const PATH = /^\/v2\/.+\/(?<kind>manifests|blobs)\/(?<what>[^/]+)$/u;

/** Starts listening before it returns. The socket's directory must have mode 0700. */
export async function serveImage(
  socketPath: string,
  source: OpenedSource,
  image: OfferedImage,
): Promise<ServedImage> {
  let wasAsked = false;
  const server: Server = createServer((request, response) => {
    const { kind, what = '' } = PATH.exec(request.url ?? '')?.groups ?? {};
    wasAsked ||= kind === 'manifests';
    const answer =
      kind === 'manifests' ? manifest(source, image, what, response) : blob(source, what, request, response);
    answer.catch(() => {
      // the client disconnected or a file could not be read; a closed connection reports either to the client
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  await chmod(socketPath, 0o600);
  return {
    wasAsked: () => wasAsked,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

async function manifest(
  source: OpenedSource,
  image: OfferedImage,
  what: string,
  response: ServerResponse,
): Promise<void> {
  const digest = parseDigest(what);
  const found =
    digest === undefined ? image.bytes : await (await source.blob(digest))?.whole(imageLimits.documentBytes);
  if (found === undefined) return missing(response, 'MANIFEST_UNKNOWN', what);
  // the media type of a manifest below an index stands in the index, which the client has
  const type = digest === undefined && image.mediaType !== '' ? image.mediaType : 'application/json';
  response.writeHead(200, { 'content-type': type, 'content-length': found.byteLength }).end(found);
}

async function blob(
  source: OpenedSource,
  what: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const digest = parseDigest(what);
  const file = digest === undefined ? undefined : await source.blob(digest);
  if (file === undefined) return missing(response, 'BLOB_UNKNOWN', what);
  const from = Number(/^bytes=([0-9]{1,15})-$/u.exec(request.headers.range ?? '')?.[1] ?? 0);
  const head = {
    'content-type': 'application/octet-stream',
    'content-length': Math.max(0, file.size - from),
  };
  if (from > 0 && from < file.size)
    response.writeHead(206, { ...head, 'content-range': `bytes ${from}-${file.size - 1}/${file.size}` });
  else response.writeHead(200, { ...head, 'content-length': file.size });
  await pipeline(file.pieces(from < file.size ? from : 0), response);
}

async function missing(response: ServerResponse, code: string, what: string): Promise<void> {
  const body = JSON.stringify({ errors: [{ code, message: `the archive does not contain ${what}` }] });
  response.writeHead(404, { 'content-type': 'application/json' }).end(body);
}
