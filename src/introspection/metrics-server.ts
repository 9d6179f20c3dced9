/**
 * Serves /metrics and nothing else, for a Prometheus on another machine: over TLS, to clients with a certificate of one
 * authority. Without certificates of clients it is for this machine only, under the rules of the page's server.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server as TlsServer, ServerOptions } from 'node:https';
import type { ClockPort, TimerHandle } from '../ports/clock.ts';
import { fail } from '../base/fault.ts';
import { halfOpenLimits } from '../base/bounds.ts';
import { metricsLimits, webLimits } from './bounds.ts';
import { boundConnections } from './half-open-http.ts';
import { answer, boundAnswer, keptScrape, listenOn, METRICS_TYPE, refuseToken } from './http-answers.ts';
import { isToken, refusal, tokenOf } from './web-guard.ts';

/** Certificate, key and authority of the clients, from files that are watched. */
export interface MetricsTls {
  options(): Promise<ServerOptions & { readonly requestCert: boolean }>;
  /** Uses changed files for new connections. Never rejects. */
  refresh(server: TlsServer): Promise<void>;
}

export interface MetricsServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Only loopback is served without certificates of clients. */
  readonly isLoopback: boolean;
  readonly tls: MetricsTls | undefined;
  /** Needed by clients without a certificate, unless `isOpen`. */
  readonly token: string;
  readonly isOpen: () => boolean;
  readonly metrics: () => Promise<string>;
  readonly clock: ClockPort;
}

export interface MetricsServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves until closed. Throws FaultError when the address is not available, or a file can't be used. */
export async function startMetrics(options: MetricsServerOptions): Promise<MetricsServer> {
  const { host, port, tls, clock } = options;
  const secure = await tls?.options();
  const hasClients = secure?.requestCert === true;
  const attempted = `serve the metrics on ${host}`;
  if (!options.isLoopback && !hasClients)
    fail('invalidRequest', `${attempted}: not a loopback address, and clients need no certificate`);
  const scrape = keptScrape(options.metrics, clock);
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    serve(options, hasClients, scrape, request, response).catch(() => {
      if (!response.headersSent) answer(response, 500, 'read the metrics: failed\n');
      else response.destroy();
    });
  };
  const server = secure === undefined ? createServer(handle) : createTlsServer(secure, handle);
  const dropAll = boundConnections(server as Server, {
    clock,
    connections: webLimits.connections,
    halfOpen: halfOpenLimits.pageConnections,
  });
  const bound = await listenOn(server as Server, host, port, attempted);
  const stopRefreshing = refreshing(options, server as TlsServer);
  return {
    port: bound,
    close: async () => {
      stopRefreshing();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      dropAll();
      await closed;
    },
  };
}

/** Uses renewed certificates for the connections that follow. */
function refreshing({ tls, clock }: MetricsServerOptions, server: TlsServer): () => void {
  if (tls === undefined) return () => undefined;
  let timer: TimerHandle;
  let isStopped = false;
  const arm = (): void => {
    timer = clock.setTimeout(() => {
      void tls.refresh(server).then(() => {
        if (!isStopped) arm();
      });
    }, metricsLimits.certificateMs);
  };
  arm();
  return () => {
    isStopped = true;
    clock.clearTimeout(timer);
  };
}

/** A client's certificate was checked in the handshake; others need the token, as at the page's server. */
async function serve(
  { clock, token, isOpen }: MetricsServerOptions,
  hasClients: boolean,
  scrape: () => Promise<string>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  boundAnswer(clock, request, response);
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  const target = request.url ?? '';
  if (!URL.canParse(target, 'http://host')) return answer(response, 400, 'invalid URL\n');
  const url = new URL(target, 'http://host');
  const why = hasClients ? undefined : refusal(request.headers);
  if (why !== undefined) return answer(response, 403, `refused: ${why}\n`);
  const reads = request.method === 'GET' || request.method === 'HEAD';
  if (!reads || url.pathname !== '/metrics') return answer(response, 404, 'not found\n');
  if (!hasClients && !isOpen() && !isToken(tokenOf(request.headers, url), token))
    return refuseToken(response);
  answer(response, 200, await scrape(), METRICS_TYPE);
}
