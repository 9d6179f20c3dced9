/** What the page's server and the metrics' listener have in common: answers, their time, and the text of a scrape. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { ClockPort } from '../ports/clock.ts';
import { fail } from '../base/fault.ts';
import { webLimits } from './bounds.ts';

/** Prometheus' exposition format. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Sends a whole answer. */
export function answer(
  response: ServerResponse,
  code: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.statusCode = code;
  response.setHeader('content-type', type);
  response.end(text);
}

/** Refuses a request without its token. */
export function refuseToken(response: ServerResponse): void {
  response.setHeader('www-authenticate', 'Bearer');
  answer(
    response,
    401,
    'authentication required: the token is in introspection.token in the state directory\n',
  );
}

/**
 * Closes a connection whose answer is not read in time: clients without a token could otherwise occupy all connections.
 * The returned function removes the limit, for calls of the service: a Watch lasts for hours.
 */
export function boundAnswer(
  clock: Pick<ClockPort, 'setTimeout' | 'clearTimeout'>,
  { socket }: IncomingMessage,
  response: ServerResponse,
): () => void {
  const timer = clock.setTimeout(() => socket.destroy(), webLimits.answerMs);
  const lift = (): void => clock.clearTimeout(timer);
  response.once('close', lift);
  return lift;
}

/** Runs one scrape at a time, and reuses its text until it is `metricsAgeMs` old. */
export function keptScrape(
  scrape: () => Promise<string>,
  clock: Pick<ClockPort, 'monoMs'>,
): () => Promise<string> {
  let last: { readonly text: string; readonly atMs: number } | undefined;
  let running: Promise<string> | undefined;
  const make = async (): Promise<string> => {
    try {
      const text = await scrape();
      last = { text, atMs: clock.monoMs() };
      return text;
    } finally {
      running = undefined;
    }
  };
  return () => {
    if (last !== undefined && clock.monoMs() - last.atMs < webLimits.metricsAgeMs)
      return Promise.resolve(last.text);
    return (running ??= make());
  };
}

/** Listens, and resolves to the port. Rejects with a FaultError that begins with `attempted`. */
export function listenOn(server: Server, host: string, port: number, attempted: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      try {
        fail('outside', `${attempted}: ${error.message}`);
      } catch (thrown) {
        reject(thrown instanceof Error ? thrown : error);
      }
    });
    server.listen(port, host, () => {
      const bound = server.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
    });
  });
}
