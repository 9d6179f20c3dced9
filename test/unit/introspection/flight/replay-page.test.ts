// `troupe replay`: the states at a time of the recording, and the server, which asks for a token.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { FlightEntry } from '../../../../src/introspection/flight/entries.ts';
import { recordingOf } from '../../../../src/introspection/flight/answer.ts';
import { startReplay } from '../../../../src/introspection/replay-server.ts';
import { wallClock } from '../stage.ts';

interface ShownActor {
  readonly actor: { readonly address: string; readonly title: string; readonly chart: string };
  readonly state: string;
  readonly isGone: boolean;
}

const page = join(import.meta.dirname, '../../../../src/introspection/page');
const { Recording } = (await import(join(page, 'replay-model.js'))) as {
  Recording: new (data: unknown) => {
    at(atMs: number): readonly ShownActor[];
    wallOf(atMs: number): number;
    progressOf(actor: string, atMs: number): readonly FlightEntry[];
    historyOf(actor: string, atMs: number): readonly FlightEntry[];
  };
};

const event = (atMs: number, actor: string, on: string, to: string, part: object = {}): FlightEntry => ({
  kind: 'event',
  atMs,
  actor,
  on,
  to,
  settled: to === 'ready',
  ...part,
});
const boot = (atMs: number): FlightEntry => ({
  kind: 'boot',
  atMs,
  wallNs: String(atMs * 1_000_000),
  version: '1',
  pid: 1,
});
const POD = 'sandbox/a';
const ENTRIES: readonly FlightEntry[] = [
  boot(1000),
  event(1010, POD, 'xstate.init', 'recordingIntent', {
    payload: { spec: { key: { name: 'web', namespace: 'shop' } } },
  }),
  { kind: 'effect', atMs: 1010, endMs: 1020, actor: POD, effect: 'recordIntent', outcome: 'ok' },
  event(1020, POD, 'xstate.done.actor.x', 'ready'),
  boot(2000),
  event(2010, POD, 'xstate.init', 'recovering'),
];

async function serve() {
  const server = await startReplay({
    address: '127.0.0.1:0',
    token: 'secret',
    clock: wallClock(),
    recording: recordingOf(ENTRIES),
  });
  const get = (path: string, token?: string): Promise<Response> =>
    fetch(
      `${server.origin}${path}`,
      token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
    );
  return { server, get };
}

describe('the server of a replay', () => {
  test('serves its page to anyone, and the recording only with the token', async () => {
    const { server, get } = await serve();
    try {
      expect(await (await get('/')).text()).toContain('troupe replay');
      for (const name of ['replay.js', 'replay-model.js', 'replay.css', 'chart-draw.js'])
        expect((await get(`/${name}`)).status).toBe(200);
      expect((await get('/recording.json')).status).toBe(401);
      expect((await get('/recording.json', 'wrong')).status).toBe(401);
      expect((await get('/other', 'secret')).status).toBe(404);
    } finally {
      await server.close();
    }
  });

  test('gives the page what it needs for the states at any time', async () => {
    const { server, get } = await serve();
    try {
      const recording = new Recording(await (await get('/recording.json', 'secret')).json());
      const states = (atMs: number) =>
        recording.at(atMs).map(({ actor, state }) => `${actor.title} ${state}`);
      expect(states(1005)).toEqual([]);
      expect(states(1015)).toEqual(['pod shop/web recordingIntent']);
      expect(states(1025)).toEqual(['pod shop/web ready']);
      // the next instance of the daemon knows nothing until it has recovered
      expect(states(2005)).toEqual([]);
      expect(states(2010)).toEqual(['pod shop/web recovering']);
      expect(recording.progressOf(POD, 1015)).toMatchObject([{ effect: 'recordIntent' }]);
      expect(recording.progressOf(POD, 1020)).toEqual([]);
      expect(recording.historyOf(POD, 1025)).toMatchObject([{ to: 'ready' }, { to: 'recordingIntent' }]);
      expect(recording.wallOf(1010)).toBe(1010);
    } finally {
      await server.close();
    }
  });
});
