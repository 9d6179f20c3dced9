/**
 * Serves the page, its data and the metrics over HTTP on a loopback address, read-only. The page's files contain no
 * data.
 */
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fail } from '../base/fault.ts';
import { halfOpenLimits } from '../base/bounds.ts';
import { introspectionLimits, webLimits } from './bounds.ts';
import { boundConnections } from './half-open-http.ts';
import { answer, boundAnswer, keptScrape, listenOn, METRICS_TYPE, refuseToken } from './http-answers.ts';
import { withListText } from './list-text.ts';
import { introspectionRoutes } from './service.ts';
import type { IntrospectionOptions } from './service.ts';
import { isToken, parseLoopback, refusal, tokenOf } from './web-guard.ts';

export interface WebOptions {
  /** Such as `127.0.0.1:9095`; port 0 means any free port. */
  readonly address: string;
  readonly token: string;
  /** Path of the bundle's file with the page; without one the sources'. */
  readonly page?: string | undefined;
  readonly introspection: IntrospectionOptions;
  /** The text of a scrape. */
  readonly metrics: () => Promise<string>;
  /** Scrapes need no token: every user of the machine may read the metrics, which contain no names of pods. */
  readonly metricsAreOpen: () => boolean;
}

export interface WebServer {
  /** `http://127.0.0.1:9095` */
  readonly origin: string;
  /** Opens the page with its token, in the fragment, which browsers never send. */
  readonly url: string;
  close(): Promise<void>;
}

interface Asset {
  readonly type: string;
  readonly bytes: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** The files of the page; no other file is served. */
const FILES = [
  'index.html',
  'style.css',
  'icon.svg',
  'main.js',
  'address.js',
  'api.js',
  'auth.js',
  'chart-draw.js',
  'chart-layout.js',
  'chart-reduce.js',
  'detail.js',
  'detail-parts.js',
  'dom.js',
  'format.js',
  'keys.js',
  'list.js',
  'model.js',
  'overview.js',
  'rows.js',
  'timeline.js',
  'trouble.js',
  'waterfall.js',
  'waterfall.css',
];

/** Headers of every answer. */
export const HEADERS = {
  'content-security-policy':
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

/** Serves until closed. Throws FaultError when the address is not loopback or not available. */
export async function startWeb(options: WebOptions): Promise<WebServer> {
  const address =
    parseLoopback(options.address) ??
    fail('invalidRequest', `serve the page on ${options.address}: not a loopback address with a port`);
  const assets = await loadAssets(options.page);
  const connect = connectNodeAdapter({
    routes: introspectionRoutes(options.introspection),
    readMaxBytes: introspectionLimits.requestBytes,
    grpc: false,
    grpcWeb: false,
  });
  const rpc = withListText(options.introspection, connect);
  const metrics = keptScrape(options.metrics, options.introspection.clock);
  const server = createServer((request, response) => {
    route({ ...options, metrics }, assets, rpc, request, response).catch(() => {
      if (!response.headersSent) answer(response, 500, 'read the metrics: failed\n');
      else response.destroy();
    });
  });
  const dropAll = boundConnections(server, {
    clock: options.introspection.clock,
    connections: webLimits.connections,
    halfOpen: halfOpenLimits.pageConnections,
  });
  const port = await listenOn(server, address.host, address.port, `serve the page on ${options.address}`);
  const origin = `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}`;
  return {
    origin,
    url: `${origin}/#token=${options.token}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      dropAll();
      await closed;
    },
  };
}

type HttpHandler = (request: IncomingMessage, response: ServerResponse) => void;

async function route(
  options: WebOptions,
  assets: ReadonlyMap<string, Asset>,
  rpc: HttpHandler,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const takeTime = boundAnswer(options.introspection.clock, request, response);
  const why = refusal(request.headers);
  if (why !== undefined) return answer(response, 403, `refused: ${why}\n`);
  const target = request.url ?? '';
  if (!URL.canParse(target, 'http://host')) return answer(response, 400, 'invalid URL\n');
  const url = new URL(target, 'http://host');
  const reads = request.method === 'GET' || request.method === 'HEAD';
  const asset = assets.get(url.pathname);
  if (reads && asset !== undefined) {
    response.setHeader('content-type', asset.type);
    response.end(request.method === 'HEAD' ? undefined : asset.bytes);
    return;
  }
  const isMetrics = reads && url.pathname === '/metrics';
  if (
    !isMetrics &&
    !(request.method === 'POST' && url.pathname.startsWith('/introspection.v1.Introspection/'))
  ) {
    return answer(response, 404, 'not found\n');
  }
  const isOpen = isMetrics && options.metricsAreOpen();
  if (!isOpen && !isToken(tokenOf(request.headers, url), options.token)) return refuseToken(response);
  if (isMetrics) return answer(response, 200, await options.metrics(), METRICS_TYPE);
  takeTime();
  rpc(request, response);
}

/**
 * Reads the files of the page.
 * @param packed path of the bundle's file that has them all, by their names; without one they are beside this module
 */
export async function loadAssets(
  packed: string | undefined,
  more: readonly string[] = [],
): Promise<ReadonlyMap<string, Asset>> {
  const assets = new Map<string, Asset>();
  const texts =
    packed === undefined
      ? undefined
      : (JSON.parse(await readFile(packed, 'utf8')) as Readonly<Record<string, string | undefined>>);
  for (const name of [...FILES, ...more]) {
    const type = TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream';
    const bytes =
      texts === undefined
        ? await readFile(join(import.meta.dirname, 'page', name))
        : Buffer.from(texts[name] ?? fail('notFound', `read the page: ${name} not found in the bundle`));
    assets.set(`/${name}`, { type, bytes });
  }
  const index = assets.get('/index.html');
  if (index !== undefined) assets.set('/', index);
  return assets;
}
