/**
 * Serves a recording of the flight recorder with the page's statecharts: the states of all actors at any time of it.
 * Nothing of this machine is shown. As the page, it listens on loopback and asks for a token.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fail } from '../base/fault.ts';
import { halfOpenLimits } from '../base/bounds.ts';
import type { ClockPort } from '../ports/clock.ts';
import { webLimits } from './bounds.ts';
import { troupeCharts } from './charts.ts';
import { recordedTitle } from './flight/names.ts';
import type { Recording } from './flight/waterfall.ts';
import { boundConnections } from './half-open-http.ts';
import { answer, listenOn, refuseToken } from './http-answers.ts';
import { isToken, parseLoopback, refusal, tokenOf } from './web-guard.ts';
import { HEADERS, loadAssets } from './web-server.ts';
import type { WebServer } from './web-server.ts';

export interface ReplayOptions {
  /** Such as `127.0.0.1:9095`; port 0 means any free port. */
  readonly address: string;
  readonly token: string;
  /** As in `WebOptions`. */
  readonly page?: string | undefined;
  readonly clock: ClockPort;
  readonly recording: Recording;
}

/** Chart of the actors by the kind in their addresses. */
const CHART_OF: Readonly<Record<string, string>> = {
  sandbox: 'sandbox',
  container: 'container',
  pull: 'image-pull',
};

/** Serves until closed. Throws FaultError when the address is not loopback or not available. */
export async function startReplay({
  address,
  token,
  page,
  clock,
  recording,
}: ReplayOptions): Promise<WebServer> {
  const place =
    parseLoopback(address) ??
    fail('invalidRequest', `serve the recording on ${address}: not a loopback address with a port`);
  const assets = await loadAssets(page, ['replay.html', 'replay.css', 'replay.js', 'replay-model.js']);
  const data = JSON.stringify(shown(recording));
  const server = createServer((request, response) => route(request, response));
  const route = (request: IncomingMessage, response: ServerResponse): void => {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const why = refusal(request.headers);
    if (why !== undefined) return answer(response, 403, `refused: ${why}\n`);
    const target = request.url ?? '';
    if (request.method !== 'GET' || !URL.canParse(target, 'http://host'))
      return answer(response, 404, 'not found\n');
    const url = new URL(target, 'http://host');
    const asset = assets.get(url.pathname === '/' ? '/replay.html' : url.pathname);
    if (asset !== undefined) {
      response.setHeader('content-type', asset.type);
      response.end(asset.bytes);
    } else if (url.pathname !== '/recording.json') answer(response, 404, 'not found\n');
    else if (!isToken(tokenOf(request.headers, url), token)) refuseToken(response);
    else answer(response, 200, data, 'application/json');
  };
  const dropAll = boundConnections(server, {
    clock,
    connections: webLimits.connections,
    halfOpen: halfOpenLimits.pageConnections,
  });
  const port = await listenOn(server, place.host, place.port, `serve the recording on ${address}`);
  const origin = `http://${place.host.includes(':') ? `[${place.host}]` : place.host}:${port}`;
  return {
    origin,
    url: `${origin}/#token=${token}`,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      dropAll();
      await closed;
    },
  };
}

/** What the page needs: charts, names, and the entries. */
function shown(recording: Recording): object {
  const { entries, actors, nowMs, nowNs } = recording;
  const seen = new Set(entries.flatMap((entry) => (entry.kind === 'event' ? [entry.actor] : [])));
  return {
    charts: troupeCharts(),
    actors: [...seen].map((address) => ({
      address,
      title: recordedTitle(address, actors),
      chart: CHART_OF[address.slice(0, address.indexOf('/'))] ?? '',
    })),
    nowMs,
    wallMs: Number(nowNs / 1_000_000n),
    entries: entries.filter(({ kind }) => kind !== 'dropped' && kind !== 'clock'),
  };
}
