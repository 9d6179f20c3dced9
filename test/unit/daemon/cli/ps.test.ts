// Which lines `troupe ps` prints for its options.
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import type { Command } from '../../../../src/daemon/cli/context.ts';
import { ps } from '../../../../src/daemon/cli/ps.ts';
import { isStuck } from '../../../../src/daemon/cli/stuck.ts';
import { parseCommandLine } from '../../../../src/daemon/config/command-line.ts';
import { ActorSchema, ListResponseSchema } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import type { Actor, ListResponse } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import type { IntrospectionClient } from '../../../../src/introspection/client.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';
import { container, id, NOW, pipe, pod, S, waits } from './stage.ts';

const pull = create(ActorSchema, {
  address: 'pull/p1',
  kind: 'pull',
  id: 'p1',
  name: 'docker.io/library/nginx:1',
  state: 'fetching',
  sinceNs: NOW - 30n * S,
  layers: [
    { digest: 'sha256:a', sizeBytes: 10n << 20n, present: true },
    { digest: 'sha256:b', sizeBytes: 30n << 20n, downloadedBytes: 5n << 20n, bytesPerSecond: 5n << 20n },
  ],
  waits: [{ effect: 'fetch', on: 'registry', sinceNs: NOW - 30n * S, deadlineNs: NOW + 30n * S }],
});
const actors = [
  pod('a', 'web'),
  pod('b', 'db', { namespace: 'data', createdNs: NOW - 900n * S }),
  container('c', 'app', 'a', waits(8, 20)),
  container('d', 'side', 'a'),
  container('e', 'store', 'b', waits(2, 20)),
  container('f', 'lost', '9', { state: 'exited', hasExited: true, exitCode: 3, pid: 0n }),
  pull,
];

/** What the daemon answers, a list for each call. An error is thrown. Ctrl-C comes after the last. */
async function lines(
  argv: readonly string[],
  answers: readonly (readonly Actor[] | Error | 'recovering')[] = [actors],
): Promise<readonly string[]> {
  const { screen, lines: written } = pipe();
  const clock = new HandClock(Number(NOW / 1_000_000n));
  const ended = new AbortController();
  const left = [...answers];
  const list = (): Promise<ListResponse> => {
    const next = left.shift();
    if (next === undefined) ended.abort();
    if (next instanceof Error) return Promise.reject(next);
    const recovering = next === 'recovering';
    const listed = recovering ? [] : [...(next ?? [])];
    return Promise.resolve(create(ListResponseSchema, { actors: listed, recovering, seq: 7n }));
  };
  const line = parseCommandLine(['ps', ...argv]);
  const command: Command = {
    line,
    screen,
    clock,
    json: line.flags.has('json'),
    socket: '/s',
    client: { list } as Partial<IntrospectionClient> as IntrospectionClient,
    config: () => Promise.reject(new Error('not asked')),
    signal: ended.signal,
  };
  let isDone = false;
  const done = ps(command).finally(() => (isDone = true));
  done.catch(() => undefined);
  for (; !isDone; clock.fire()) await turns();
  expect(await done).toBe(0);
  return written();
}

const firstWords = (texts: readonly string[]): readonly string[] =>
  texts.slice(1).map((text) => text.replace(/^(?:[├└]─ )?(\S+ ?\S*) .*$/u, '$1').trim());

describe('ps', () => {
  it('says that there is nothing', async () => {
    expect(await lines([], [[]])).toEqual(['no pods, no containers, no pulls']);
    expect(await lines(['--stuck'], [[pod('a', 'web')]])).toEqual(['nothing hangs']);
  });

  it('a daemon that recovers has pods that it does not list yet: once that is noted, and a watch keeps what it shows', async () => {
    expect(await lines([], ['recovering'])).toEqual([
      'troupe ps: the daemon has started, and recovers pods and containers that are not shown',
      'no pods, no containers, no pulls',
    ]);
    const one = [pod('a', 'web')];
    const watched = ['--watch', '-o', 'name'];
    expect(await lines(watched, [one, 'recovering', one])).toEqual(await lines(watched, [one]));
  });

  it('-n shows the pods of one namespace with their containers', async () => {
    expect(await lines(['-n', 'data', '-o', 'name'])).toEqual(['data/db', 'data/db/store']);
    expect(await lines(['--namespace=none', '-o', 'name'])).toEqual([]);
  });

  it('-o name prints what why finds, attempts once', async () => {
    expect(await lines(['-oname'])).toEqual([
      'shop/web',
      'shop/web/app',
      'shop/web/side',
      'data/db',
      'data/db/store',
      'lost',
      'docker.io/library/nginx:1',
    ]);
    const attempts = [pod('a', 'web'), pod('b', 'web', { attempt: 1 })];
    expect(await lines(['-o', 'name'], [attempts])).toEqual(['shop/web']);
  });

  it('--stuck shows what hangs, below its pod', async () => {
    expect(await lines(['--stuck', '-o', 'name'])).toEqual(['shop/web', 'shop/web/app']);
  });

  it.each([
    ['age', ['data/db', 'shop/web', 'lost', 'docker.io/library/nginx:1']],
    ['name', ['data/db', 'docker.io/library/nginx:1', 'lost', 'shop/web']],
    ['state', ['lost', 'docker.io/library/nginx:1', 'data/db', 'shop/web']],
    ['wait', ['docker.io/library/nginx:1', 'shop/web', 'data/db', 'lost']],
  ])('--sort %s orders pods, and their containers below them', async (key, order) => {
    const names = await lines(['--sort', key, '-o', 'name']);
    const below = /^(?:shop\/web|data\/db)\/./u;
    expect(names.filter((name) => !below.test(name))).toEqual(order);
    expect(names.indexOf('data/db/store')).toBe(names.indexOf('data/db') + 1);
    expect(names[names.indexOf('shop/web') + 1]).toMatch(/^shop\/web\//u);
  });

  it('-o wide has age and process, and cuts nothing', async () => {
    const [head = '', ...rows] = await lines(['-o', 'wide']);
    expect(head).toMatch(/^POD +ID +STATE +FOR +AGE +PID +WAITS ON$/u);
    expect(rows[1]).toMatch(/^├─ app +c{13} +stopping\.killing +2\.0s +5m +4711 +runc kill, 20s left$/u);
  });

  it('shows how far a pull is, in MiB, with rate and time left', async () => {
    expect((await lines([])).at(-1)).toMatch(
      / fetching +30s +15\.0 MiB of 40\.0 MiB, 5\.0 MiB\/s, 5\.0s left, registry, 30s left$/u,
    );
  });

  it('--json and -o json keep the order of the answer, and have what is shown only', async () => {
    const all = JSON.parse((await lines(['-o', 'json'])).join('\n')) as {
      actors: { address: string }[];
      tree: { address: string; below: string[] }[];
      seq: number;
    };
    expect(all.seq).toBe(7);
    expect(all.actors.map(({ address }) => address)).toEqual(actors.map(({ address }) => address));
    const stuck = JSON.parse((await lines(['--json', '--stuck'])).join('\n')) as typeof all;
    expect(stuck.tree).toEqual([{ address: `sandbox/${id('a')}`, below: [`container/${id('c')}`] }]);
    expect(stuck.actors).toHaveLength(2);
  });
});

describe('ps --watch in a pipe', () => {
  it('prints a block for each change, over a restart of the daemon', async () => {
    const away = new ConnectError('gone', Code.Unavailable);
    const [one, two] = [[pod('a', 'web')], [pod('a', 'web', { state: 'stopping', settled: false })]];
    const texts = await lines(['--watch'], [one, one, away, two, two, []]);
    expect(firstWords(texts)).toEqual(['shop/web', '', 'POD', 'shop/web', '', 'no pods,']);
    const documents = await lines(['--watch', '--json'], [one, one, two]);
    expect(documents.map((text) => (JSON.parse(text) as { actors: object[] }).actors.length)).toEqual([1, 1]);
  });

  it('ends with the error of a daemon that refuses', async () => {
    const refused = new ConnectError('no', Code.Internal);
    await expect(lines(['--watch'], [[], refused, []])).rejects.toThrow('no');
  });
});

describe('what hangs', () => {
  it.each([
    ['a settled one', pod('a', 'web'), false],
    ['a wait of a few seconds', container('c', 'app', 'a', waits(4, 20)), false],
    ['a slow wait', container('c', 'app', 'a', waits(6, 20)), true],
    ['a wait beyond its deadline', container('c', 'app', 'a', waits(2, -1)), true],
    ['a grace period', container('c', 'app', 'a', waits(60, 20, 'grace')), false],
    ['a command of a user', container('c', 'app', 'a', waits(60, 20, 'execSync')), false],
    ['a command beyond its deadline', container('c', 'app', 'a', waits(60, -1, 'execSync')), true],
    ['pending cleanup', pod('a', 'web', { debts: ['network'] }), true],
    ['a quarantined one', pod('a', 'web', { state: 'quarantined' }), true],
    ['a container that failed', container('c', 'app', 'a', { fault: 'no such file' }), false],
    ['a pull that gets bytes', pull, false],
    ['a pull that gets none', { ...pull, layers: [] }, true],
  ])('%s', (_what, actor, hangs) => expect(isStuck(actor, NOW)).toBe(hangs));
});
