import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blob, Image } from '../../../scripts/support/image.ts';
import { debianTree, inTree } from '../tools/debian.ts';
import { EVENT_MS } from '../patience.ts';

/** Debian's docker-registry, the reference implementation, running for a test. */
export interface DockerRegistry {
  /** host:port on loopback, plain HTTP. */
  readonly address: string;
  /** Ends the process; the storage below `root` stays for its owner to remove. */
  readonly stop: () => Promise<void>;
}

export interface RegistryOptions {
  /** Directory for its configuration and storage; made when missing. */
  readonly root: string;
  /** 0, or nothing, takes a free one. */
  readonly port?: number;
  /** Where its images are, when they are another's, too; below `root` otherwise. */
  readonly storage?: string;
  /** More of the section `http`, such as `tls`. */
  readonly http?: object;
  /** Other sections of its configuration. */
  readonly sections?: object;
}

const START_TIMEOUT_MS = EVENT_MS;

/** Starts an empty registry on loopback. */
export async function startRegistry({
  root,
  port = 0,
  storage = join(root, 'storage'),
  http = {},
  sections = {},
}: RegistryOptions): Promise<DockerRegistry> {
  for (const directory of [root, storage]) await mkdir(directory, { recursive: true });
  const config = join(root, 'config.yml');
  const settings = {
    version: '0.1',
    log: { level: 'info', formatter: 'json' },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}`, ...http },
    ...sections,
  };
  // JSON is YAML.
  await writeFile(config, JSON.stringify(settings));
  const program = inTree(debianTree('docker-registry'), 'usr/bin/docker-registry');
  const child = spawn(program, ['serve', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { OTEL_TRACES_EXPORTER: 'none' },
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  try {
    return { address: `127.0.0.1:${await listeningPort(child)}`, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The port from its log line `listening on 127.0.0.1:PORT`. */
async function listeningPort(child: ChildProcess): Promise<number> {
  return await new Promise<number>((resolve, reject) => {
    let log = '';
    const timer = setTimeout(
      () => reject(new Error(`docker-registry did not listen within ${START_TIMEOUT_MS} ms: ${log}`)),
      START_TIMEOUT_MS,
    );
    const read = (chunk: Buffer): void => {
      log = (log + chunk.toString()).slice(-64 * 1024);
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(log)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      // Later lines are of no interest, but must be read, or the pipe fills and the registry stands still.
      for (const stream of [child.stdout, child.stderr]) stream?.removeListener('data', read).resume();
      resolve(Number(port));
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', reject);
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`docker-registry ended with ${code}: ${log}`));
    });
  });
}

async function request(method: string, url: string, body?: Blob): Promise<Response> {
  const init: RequestInit = { method };
  if (body !== undefined) {
    init.body = new Uint8Array(body.bytes);
    init.headers = { 'content-type': body.mediaType };
  }
  const response = await fetch(url, init);
  if (!response.ok && response.status !== 404) {
    throw new Error(`${method} ${url} was answered with ${response.status}: ${await response.text()}`);
  }
  return response;
}

async function pushBlob(base: string, blob: Blob): Promise<void> {
  const known = await request('HEAD', `${base}/blobs/${blob.digest}`);
  if (known.ok) return;
  const started = await request('POST', `${base}/blobs/uploads/`);
  const location = new URL(started.headers.get('location') ?? '', base);
  location.searchParams.set('digest', blob.digest);
  await request('PUT', location.href, { ...blob, mediaType: 'application/octet-stream' });
}

/**
 * Pushes an image to a registry on plain HTTP, as the distribution spec says: blobs, then the manifest. What is there
 * isn't sent again.
 * @param name `repository:tag`
 */
export async function pushImage(address: string, name: string, image: Image): Promise<void> {
  const colon = name.lastIndexOf(':');
  const base = `http://${address}/v2/${name.slice(0, colon)}`;
  for (const blob of [image.config, ...image.layers.map((layer) => layer.blob)]) await pushBlob(base, blob);
  const response = await request('PUT', `${base}/manifests/${name.slice(colon + 1)}`, image.manifest);
  if (!response.ok) throw new Error(`push of ${name} to ${address} was answered with ${response.status}`);
}

/** Pushes all of them. */
export async function pushImages(address: string, images: ReadonlyMap<string, Image>): Promise<void> {
  for (const [name, image] of images) await pushImage(address, name, image);
}
