// A registry that only serves, from memory: what the demo pulls from. OCI distribution-spec v1.1, sections "Pulling
// manifests" and "Pulling blobs"; nothing of pushing, listing or deleting.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Blob, Image } from './image.ts';

export interface TinyRegistry {
  /** host:port on loopback, plain HTTP. */
  readonly address: string;
  /** Ends all connections. */
  readonly stop: () => Promise<void>;
}

interface Content {
  /** `repository@tag` and `repository@digest`. */
  readonly manifests: ReadonlyMap<string, Blob>;
  /** By digest. Which repository a blob was asked for in doesn't matter here. */
  readonly blobs: ReadonlyMap<string, Blob>;
}

function contentOf(images: ReadonlyMap<string, Image>): Content {
  const manifests = new Map<string, Blob>();
  const blobs = new Map<string, Blob>();
  for (const [name, image] of images) {
    const colon = name.lastIndexOf(':');
    const repository = name.slice(0, colon);
    manifests.set(`${repository}@${name.slice(colon + 1)}`, image.manifest);
    manifests.set(`${repository}@${image.manifest.digest}`, image.manifest);
    for (const blob of [image.config, ...image.layers.map((layer) => layer.blob)])
      blobs.set(blob.digest, blob);
  }
  return { manifests, blobs };
}

function find(content: Content, path: string): Blob | undefined {
  const [, repository, kind, reference] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
  if (repository === undefined || reference === undefined) return undefined;
  return kind === 'manifests'
    ? content.manifests.get(`${repository}@${reference}`)
    : content.blobs.get(reference);
}

function answer(content: Content, request: IncomingMessage, response: ServerResponse): void {
  const path = decodeURIComponent(new URL(request.url ?? '/', 'http://registry').pathname);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response
      .writeHead(405, { 'content-type': 'application/json' })
      .end('{"errors":[{"code":"UNSUPPORTED"}]}');
    return;
  }
  if (path === '/v2/' || path === '/v2') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    return;
  }
  const blob = find(content, path);
  if (blob === undefined) {
    const code = path.includes('/manifests/') ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN';
    response
      .writeHead(404, { 'content-type': 'application/json' })
      .end(JSON.stringify({ errors: [{ code, message: path }] }));
    return;
  }
  response.writeHead(200, {
    'content-type': path.includes('/manifests/') ? blob.mediaType : 'application/octet-stream',
    'content-length': blob.bytes.length,
    'docker-content-digest': blob.digest,
  });
  response.end(request.method === 'HEAD' ? undefined : blob.bytes);
}

/**
 * Serves the images on a free loopback port.
 * @param images by `repository:tag`
 */
export async function startTinyRegistry(images: ReadonlyMap<string, Image>): Promise<TinyRegistry> {
  const content = contentOf(images);
  const server = createServer((request, response) => answer(content, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    stop: async () => {
      await new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      });
    },
  };
}
