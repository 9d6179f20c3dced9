// The page's list: grouping, sorting, collapsing; and which actors are in trouble.
import { describe, expect, it } from 'vitest';
import { collapsible, failureText, Model, rowsOf, troublesOf } from './page-modules.ts';
import type { PageActor } from './page-modules.ts';

const NOW = 1_000_000;
const at = (ms: number): string => `${ms}000000`;

const pod = (id: string, part: Partial<PageActor> = {}): PageActor => ({
  address: `sandbox/${id}`,
  kind: 'sandbox',
  id,
  name: id,
  namespace: 'default',
  state: 'ready',
  settled: true,
  ...part,
});
const box = (id: string, sandboxId: string, part: Partial<PageActor> = {}): PageActor => ({
  address: `container/${id}`,
  kind: 'container',
  id,
  name: id,
  sandboxId,
  state: 'running',
  settled: true,
  ...part,
});
const exited = (exitCode: number, exitReason = 'Error'): Partial<PageActor> => ({
  state: 'exited',
  hasExited: true,
  exitCode,
  exitReason,
  sinceNs: at(NOW - 1000),
});

const ACTORS = [
  pod('web', { createdNs: at(5), startMs: '300' }),
  pod('db', { namespace: 'shop', createdNs: at(70), startMs: '1200', state: 'notReady' }),
  pod('api', { createdNs: at(600) }),
  box('nginx', 'web'),
  box('pg', 'db'),
  { address: 'pull/1', kind: 'pull', name: 'busybox:1', state: 'fetching' },
];

function shown(view: Parameters<typeof rowsOf>[1], actors: readonly PageActor[] = ACTORS): readonly string[] {
  const model = new Model();
  model.replace({ actors });
  return rowsOf(model, { nowMs: NOW, ...view }).map(
    ({ title, count, actor, depth }) =>
      `${'  '.repeat(depth)}${title === undefined ? (actor?.name ?? '') : `${title} (${count})`}`,
  );
}

describe('groups', () => {
  it('by namespace and by state have their pods below them, image pulls first', () => {
    expect(shown({ group: 'namespace' })).toEqual([
      'Image pulls (1)',
      '  busybox:1',
      'default (2)',
      '  api',
      '  web',
      '    nginx',
      'shop (1)',
      '  db',
      '    pg',
    ]);
    expect(shown({ group: 'state' }).filter((row) => !row.startsWith(' '))).toEqual([
      'Image pulls (1)',
      'notReady (1)',
      'ready (2)',
    ]);
  });

  it('collapsed groups and pods keep their row; a filter shows what they hide', () => {
    const model = new Model();
    model.replace({ actors: ACTORS });
    const keys = new Set(collapsible(rowsOf(model, { group: 'namespace' })));
    expect(shown({ group: 'namespace', collapsed: keys })).toEqual([
      'Image pulls (1)',
      'default (2)',
      'shop (1)',
    ]);
    expect(shown({ group: 'namespace', collapsed: keys, text: 'pg' })).toEqual([
      'shop (1)',
      '  db',
      '    pg',
    ]);
    expect(shown({ collapsed: new Set(collapsible(rowsOf(model, {}))) })).toEqual([
      'busybox:1',
      'api',
      'web',
      'db',
    ]);
  });
});

describe('places', () => {
  it('of a row are counted among the rows below the same parent', () => {
    const model = new Model();
    model.replace({ actors: [...ACTORS, box('sidecar', 'web')] });
    expect(
      rowsOf(model, { group: 'namespace' }).map(
        ({ title, actor, place, among }) => `${title ?? actor?.name} ${place}/${among}`,
      ),
    ).toEqual([
      'Image pulls 1/3',
      'busybox:1 1/1',
      'default 2/3',
      'api 1/2',
      'web 2/2',
      'nginx 1/2',
      'sidecar 2/2',
      'shop 3/3',
      'db 1/1',
      'pg 1/1',
    ]);
  });
});

describe('sorting', () => {
  it.each([
    ['newest', ['api', 'db', 'web']],
    ['slowest start', ['db', 'web', 'api']],
    ['state', ['db', 'api', 'web']],
  ])('by %s', (sort, expected) => {
    expect(shown({ sort }).filter((row) => ['api', 'db', 'web'].includes(row))).toEqual(expected);
  });
});

describe('trouble', () => {
  const kinds = (...actors: readonly PageActor[]): object =>
    Object.fromEntries(troublesOf(new Map(actors.map((actor) => [actor.address, actor])), NOW));

  it('has failed and OOM-killed containers, pending cleanup, quarantine', () => {
    expect(
      kinds(
        pod('web'),
        box('a', 'web', exited(137, 'OOMKilled')),
        box('b', 'web', exited(1)),
        box('c', 'web', exited(0, 'Completed')),
        pod('d', { debts: ['network'] }),
        pod('e', { state: 'quarantined' }),
        pod('f', { fault: 'no space' }),
      ),
    ).toEqual({
      'container/a': 'oom',
      'container/b': 'failed',
      'sandbox/d': 'cleanup',
      'sandbox/e': 'quarantined',
      'sandbox/f': 'failed',
    });
  });

  it('has slow waits, and a grace period that is over, but not one that goes on', () => {
    const grace = (deadlineMs: number): Partial<PageActor> => ({
      state: 'stopping.waiting.grace',
      settled: false,
      waits: [{ effect: 'grace', sinceNs: at(NOW - 60_000), deadlineNs: at(deadlineMs) }],
    });
    expect(
      kinds(
        pod('web', {
          waits: [{ effect: 'addNetwork', sinceNs: at(NOW - 6000), deadlineNs: at(NOW + 9000) }],
        }),
        pod('db', { waits: [{ effect: 'addNetwork', sinceNs: at(NOW - 100), deadlineNs: at(NOW + 9000) }] }),
        box('a', 'web', grace(NOW + 5000)),
        box('b', 'web', grace(NOW - 1)),
        box('c', 'web', { state: 'stopping.unkillable', settled: false }),
      ),
    ).toEqual({ 'sandbox/web': 'slow', 'container/b': 'grace', 'container/c': 'grace' });
  });

  it('leaves out exits of a stopped pod, and of attempts that others have followed for long', () => {
    const app = (attempt: number, part: Partial<PageActor>): PageActor =>
      box(`app-${attempt}`, 'web', { name: 'app', attempt, ...part });
    expect(kinds(pod('web', { state: 'notReady' }), box('a', 'web', exited(143)))).toEqual({});
    expect(
      kinds(pod('web'), app(0, exited(1)), app(1, exited(137, 'OOMKilled')), app(2, { state: 'running' })),
    ).toEqual({ 'container/app-1': 'oom' });
    expect(kinds(pod('web'), app(0, { ...exited(1), sinceNs: at(0) }), app(1, { state: 'running' }))).toEqual(
      {},
    );
  });

  it('groups its rows by kind, the worst first', () => {
    const actors = [
      pod('web'),
      box('a', 'web', exited(1)),
      pod('db'),
      box('b', 'db', exited(137, 'OOMKilled')),
      pod('fine'),
    ];
    expect(shown({ mode: 'trouble', group: 'trouble' }, actors)).toEqual([
      'OOM killed (1)',
      '  db',
      '    b',
      'Failed (1)',
      '  web',
      '    a',
    ]);
  });
});

describe('failures of removed actors', () => {
  it('come from the list and from explained actors, each once, the newest first', () => {
    const model = new Model();
    const failed = (id: string): PageActor & { readonly removedNs: string } => ({
      ...pod(id, { fault: `${id} failed` }),
      removedNs: '7',
    });
    model.replace({ actors: [], failures: [failed('old')] });
    model.put(failed('new'));
    model.put(failed('new'));
    model.put({ ...pod('fine'), removedNs: '8' });
    expect(model.failures.map(failureText)).toEqual(['new failed', 'old failed']);
    expect(failureText(box('a', 'b', exited(137, 'OOMKilled')))).toBe('OOMKilled, exit code 137');
    expect(failureText(box('a', 'b', exited(3)))).toBe('exit code 3');
  });
});
