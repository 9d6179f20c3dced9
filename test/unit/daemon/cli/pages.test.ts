// What people see: tree, explanation, changes.
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import {
  ActorSchema,
  ChangeSchema,
  ExplainResponseSchema,
} from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import type { Actor } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import { changeText, summary } from '../../../../src/daemon/cli/actor-text.ts';
import { psLines } from '../../../../src/daemon/cli/ps.ts';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';
import { whyLines } from '../../../../src/daemon/cli/why.ts';
import { plainOf } from '../../../../src/introspection/client.ts';

const S = 1_000_000_000n;
const NOW = 1000n * S;
const id = (digit: string): string => digit.repeat(64);
const silent = { write: () => undefined };
const screen = makeScreen(silent, silent, { noColor: true, columns: 80 }, 'mark');

type Fields = Extract<MessageInitShape<typeof ActorSchema>, { readonly $typeName?: never }>;
const pod = (digit: string, name: string, more: Fields = {}): Actor =>
  create(ActorSchema, {
    address: `sandbox/${id(digit)}`,
    kind: 'sandbox',
    id: id(digit),
    name,
    namespace: 'shop',
    state: 'ready',
    settled: true,
    listed: true,
    sinceNs: NOW - 60n * S,
    ...more,
  });
const container = (digit: string, name: string, of: string, more: Fields = {}): Actor =>
  create(ActorSchema, {
    address: `container/${id(digit)}`,
    kind: 'container',
    id: id(digit),
    name,
    sandboxId: id(of),
    state: 'running',
    settled: true,
    listed: true,
    sinceNs: NOW - 2n * S,
    ...more,
  });
const waiting: Fields = {
  state: 'stopping.killing',
  settled: false,
  waits: [
    {
      effect: 'destroy',
      on: 'runc kill',
      argv: ['/usr/sbin/runc', 'kill', 'a b'],
      pid: 4711n,
      processState: 'D',
      kernelStack: '[<0>] rpc_wait\n[<0>] nfs_wait',
      sinceNs: NOW - 3n * S,
      deadlineNs: NOW + 27n * S,
    },
  ],
};

describe('ps', () => {
  it('shows a tree with what each waits on, orphans and pulls last', () => {
    const pull = create(ActorSchema, {
      address: 'pull/p1',
      kind: 'pull',
      id: 'p1',
      name: 'docker.io/library/nginx:1',
      state: 'fetching',
      sinceNs: NOW - 4n * S,
    });
    const lines = psLines(
      [
        pull,
        pod('a', 'web'),
        pod('b', 'db', { attempt: 2 }),
        container('c', 'app', 'a'),
        container('d', 'side', 'a', waiting),
        container('e', 'lost', 'f', { state: 'exited', hasExited: true, exitCode: 3 }),
      ],
      NOW,
      screen,
    );
    expect(lines).toEqual([
      'POD                      ID             STATE             FOR   WAITS ON',
      'shop/web                 aaaaaaaaaaaaa  ready             60s',
      '├─ app                   ccccccccccccc  running           2.0s',
      '└─ side                  ddddddddddddd  stopping.killing  2.0s  runc kill (pid …',
      'shop/db #2               bbbbbbbbbbbbb  ready             60s',
      'container lost           eeeeeeeeeeeee  exited            2.0s  exit code 3',
      'pull docker.io/library…  p1             fetching          4.0s  its next step',
    ]);
  });
});

describe('an actor’s summary line', () => {
  it.each([
    ['its wait with what is left', container('c', 'app', 'a', waiting), 'runc kill (pid 4711), 27s left'],
    [
      'a wait beyond its time',
      container('c', 'app', 'a', {
        settled: false,
        waits: [{ effect: 'recordExit', sinceNs: 0n, deadlineNs: NOW - 2n * S }],
      }),
      'recordExit, 2.0s over its time',
    ],
    [
      'its pending cleanup with the reason',
      pod('a', 'web', { debts: ['network'], fault: 'CNI DEL: no plugin' }),
      'cleanup pending: network: CNI DEL: no plugin',
    ],
    ['its fault', pod('a', 'web', { fault: 'no space' }), 'no space'],
    [
      'its end',
      container('c', 'app', 'a', { hasExited: true, exitCode: 3, exitReason: 'Error' }),
      'exit code 3',
    ],
    [
      'its end by a signal',
      container('c', 'app', 'a', { hasExited: true, exitCode: 137, exitReason: 'OOMKilled' }),
      'exit code 137, SIGKILL: OOMKilled',
    ],
    ['nothing', pod('a', 'web'), ''],
  ])('%s', (_what, actor, text) => expect(summary(actor, NOW)).toBe(text));
});

describe('why', () => {
  const change = (at: number, from: string, to: string, on: string, cause = '') =>
    create(ChangeSchema, { seq: BigInt(at), atNs: NOW - BigInt(20 - at) * S, from, to, on, cause });

  it('shows state, since when, on what, until when and the history, in 80 columns', () => {
    const history = Array.from({ length: 12 }, (_, at) =>
      change(
        at,
        `s${at}`,
        `s${at + 1}`,
        'xstate.done.actor.0.container.x',
        at === 11 ? 'StopContainer 9f3a' : '',
      ),
    );
    const answer = create(ExplainResponseSchema, {
      actor: container('d', 'side', 'a', { ...waiting, pid: 99n, fault: 'word '.repeat(30) }),
      history,
      related: [pod('a', 'web')],
    });
    const lines = whyLines(answer, NOW, screen).map((line) => line.replace(/\d\d:\d\d:\d\d\.\d{3}/u, 'TIME'));
    expect(lines).toEqual([
      'container side (ddddddddddddd)',
      '  state     stopping.killing for 2.0s, since TIME',
      `  id        ${id('d')}`,
      '  pid       99',
      `  fault     ${'word '.repeat(13).trim()}`,
      `            ${'word '.repeat(13).trim()}`,
      `            ${'word '.repeat(4).trim()}`,
      '  waits on  runc kill (destroy)',
      '            for 3.0s, until TIME (27s left)',
      '            pid 4711, waits in the kernel and cannot be killed',
      '            /usr/sbin/runc kill "a b"',
      '            [<0>] rpc_wait',
      '            [<0>] nfs_wait',
      '  before    4 more: troupe history',
      ...[4, 5, 6, 7, 8, 9, 10].map(
        (at) => `  ${`${at < 11 ? `${20 - at}s` : ''} ago`.padStart(10)}  s${at} → s${at + 1}  on success`,
      ),
      '    9.0s ago  s11 → s12  on success [StopContainer 9f3a]',
      '  pod',
      '    shop/web: ready',
    ]);
    for (const line of whyLines(answer, NOW, screen)) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('shows the fault once where the sentence quotes it', () => {
    const failed = pod('a', 'web', { fault: 'CNI ADD: no plugin' });
    const text = (sentence: string): string =>
      whyLines(create(ExplainResponseSchema, { actor: failed, sentence }), NOW, screen).join('\n');
    expect(text('Failed: CNI ADD: no plugin').match(/no plugin/gu)).toHaveLength(1);
    expect(text('Stopped.')).toContain('  fault     CNI ADD: no plugin');
  });

  it('says that a removed actor is gone, and that a settled one waits on nothing', () => {
    const text = (more: Fields): string =>
      whyLines(create(ExplainResponseSchema, { actor: pod('a', 'web', more) }), NOW, screen).join('\n');
    expect(text({ removedNs: NOW - 5n * S, state: 'gone' })).toMatch(/ {2}removed {3}5\.0s ago, at /u);
    expect(text({})).toContain('  waits     on nothing: it is settled');
    expect(text({ debts: ['network'] })).toContain('  cleanup   network: pending, tried again');
  });
});

describe('a change', () => {
  const text = (from: string, to: string, on: string): string =>
    changeText(create(ChangeSchema, { from, to, on }));
  it.each([
    ['', 'begun', 'xstate.init', 'new → begun  on birth'],
    ['a', 'b', 'xstate.after.killAgain.container.stopping', 'a → b  on after killAgain'],
    ['a', 'b', 'xstate.error.actor.0.x', 'a → b  on failure'],
    [
      'provisioning.{files.making,network.pinning}',
      'provisioning.{files.making,network.adding}',
      'x',
      'provisioning: network.pinning → network.adding  on x',
    ],
    [
      'recordingIntent',
      'provisioning.{files.making,network.pinning}',
      'x',
      'recordingIntent → provisioning  on x',
    ],
  ])('%s → %s', (from, to, on, expected) => expect(text(from, to, on)).toBe(expected));
});

describe('JSON for scripts', () => {
  it('has times as texts, other integers as numbers, and no fields of the library', () => {
    const plain = plainOf(container('c', 'app', 'a', waiting)) as Readonly<Record<string, unknown>>;
    expect(plain).toMatchObject({
      sinceNs: String(NOW - 2n * S),
      pid: 0,
      settled: false,
      waits: [{ pid: 4711, deadlineNs: String(NOW + 27n * S) }],
    });
    expect(JSON.stringify(plain)).not.toContain('$');
  });
});
