import { describe, expect, test } from 'vitest';
import {
  clockText,
  eventText,
  Model,
  msOf,
  rowsOf,
  shortId,
  spanText,
  toneOf,
  waitText,
} from './page-modules.ts';
import type { PageActor } from './page-modules.ts';

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

function rows(actors: readonly PageActor[], text = '', mode = 'all'): readonly string[] {
  const model = new Model();
  model.replace({ actors });
  return rowsOf(model, { text, mode }).map(({ actor, depth }) => `${'  '.repeat(depth)}${actor?.name ?? ''}`);
}

describe('rows', () => {
  const actors = [
    pod('web'),
    pod('db', { namespace: 'shop' }),
    pod('api'),
    box('nginx', 'web'),
    box('log', 'web', { state: 'stopping.killing', settled: false }),
    box('pg', 'db', { fault: 'exit 1' }),
    box('lost', 'nowhere'),
    { address: 'pull/1', kind: 'pull', name: 'busybox:1', state: 'fetching' },
  ];

  test('pulls, pods by namespace and name, containers below their pod, those without one last', () => {
    expect(rows(actors)).toEqual(['busybox:1', 'api', 'web', '  log', '  nginx', 'db', '  pg', 'lost']);
  });

  test('a pod that matches shows its containers; a container that matches shows its pod', () => {
    expect(rows(actors, 'web')).toEqual(['web', '  log', '  nginx']);
    expect(rows(actors, 'NGINX')).toEqual(['web', '  nginx']);
    expect(rows(actors, 'stopping kill')).toEqual(['web', '  log']);
    expect(rows(actors, 'shop')).toEqual(['db', '  pg']);
    expect(rows(actors, 'no such')).toEqual([]);
  });

  test('moving and trouble filter the rows', () => {
    expect(rows(actors, '', 'moving')).toEqual(['busybox:1', 'web', '  log']);
    expect(rows(actors, '', 'trouble')).toEqual(['db', '  pg']);
  });

  test('waits can be searched', () => {
    expect(
      rows([pod('web', { settled: false, waits: [{ on: 'CNI ADD bridge' }] }), pod('db')], 'cni'),
    ).toEqual(['web']);
  });
});

describe('changes', () => {
  test('move an actor on at once; the newest number stands', () => {
    const model = new Model();
    model.replace({ actors: [], recovering: true });
    expect(model.isRecovering).toBe(true);
    model.replace({ actors: [pod('web')], seq: '7' });
    expect(model.isRecovering).toBe(false);
    model.apply({ seq: '8', address: 'sandbox/web', from: 'ready', to: 'stopping.leaving', atNs: '5' });
    expect(model.actors.get('sandbox/web')).toMatchObject({ state: 'stopping.leaving', settled: false });
    expect(model.seq).toBe(8n);
    // a List that was asked for before this change does not take the number back
    model.replace({ actors: [], seq: '7' });
    expect(model.seq).toBe(8n);
    model.rewind();
    model.replace({ actors: [], seq: '2' });
    expect(model.seq).toBe(2n);
  });
});

test('a single fetched actor replaces its row; a removed one disappears', () => {
  const model = new Model();
  model.put(pod('web'));
  model.put(pod('db'));
  model.put({ ...pod('web'), state: 'gone', removedNs: '5' });
  const before = model.count('sandbox');
  model.remove('sandbox/db');
  expect([model.count('sandbox') - before, model.count('pull')]).toEqual([-1, 0]);
  model.put(pod('api', { debts: ['network'] }));
  expect([...model.actors.values()]).toEqual([pod('api', { debts: ['network'] })]);
});

test('the tone of an actor', () => {
  const now = 100_000;
  const since = (ms: number): string => `${ms}000000`;
  expect(toneOf(pod('a'), now)).toBe('good');
  expect(toneOf(pod('a', { state: 'notReady' }), now)).toBe('quiet');
  expect(toneOf(pod('a', { settled: false, waits: [{ sinceNs: since(99_000) }] }), now)).toBe('moving');
  expect(toneOf(pod('a', { settled: false, waits: [{ sinceNs: since(90_000) }] }), now)).toBe('slow');
  expect(toneOf(pod('a', { debts: ['network'] }), now)).toBe('bad');
  expect(toneOf(pod('a', { state: 'quarantined' }), now)).toBe('bad');
});

test('words for people', () => {
  expect([0, 999, 1500, 12_345, 61_000, 3_700_000, 90_000_000, -5].map(spanText)).toEqual([
    '0 ms',
    '999 ms',
    '1.5 s',
    '12 s',
    '1 m 1 s',
    '1 h 1 m',
    '1 d 1 h',
    '0 s',
  ]);
  expect(
    [
      'xstate.init',
      'xstate.done.actor.0.a.b',
      'xstate.error.actor.0.a',
      'xstate.after.grace.a.b',
      'sandbox.stop',
    ].map(eventText),
  ).toEqual(['start', 'done', 'failed', 'after grace', 'sandbox.stop']);
  expect(msOf('1700000000123456789')).toBe(1_700_000_000_123);
  expect(msOf(undefined)).toBe(0);
  expect(clockText(1_700_000_000_123)).toMatch(/^\d\d:\d\d:20\.123$/u);
  expect(shortId('ab'.repeat(32))).toBe('ab'.repeat(6) + 'a');
  expect(shortId('busybox:1')).toBe('busybox:1');
  expect(waitText(pod('a', { waits: [{ on: '', effect: 'addNetwork' }] }))).toBe('addNetwork');
});
