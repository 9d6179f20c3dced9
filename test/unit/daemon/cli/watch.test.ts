// Which changes `troupe watch WHAT` shows, and what it says of each.
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { changeName } from '../../../../src/daemon/cli/actor-text.ts';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';
import { changeLines, wantedChanges } from '../../../../src/daemon/cli/watch.ts';
import {
  ChangeSchema,
  ExplainResponseSchema,
} from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import type { Actor, Change } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import { container, id, pipe, pod } from './stage.ts';

const change = (fields: MessageInitShape<typeof ChangeSchema>): Change => create(ChangeSchema, fields);
const web = pod('a', 'web');
const app = container('c', 'app', 'a');
const of = (actor: Actor, related: readonly Actor[] = []) =>
  wantedChanges(create(ExplainResponseSchema, { actor, related: [...related] }));

describe('the changes of a pod', () => {
  const isWanted = of(web, [app]);
  it.each([
    ['its own', { address: web.address }, true],
    ['of its container', { address: app.address }, true],
    ['of a later container', { address: 'container/x', name: 'b', pod: 'web', namespace: 'shop' }, true],
    ['of its next attempt', { address: 'sandbox/x', name: 'web', namespace: 'shop' }, true],
    ['of a pod elsewhere', { address: 'sandbox/x', name: 'web', namespace: 'data' }, false],
    [
      'of a container elsewhere',
      { address: 'container/x', name: 'web', pod: 'db', namespace: 'shop' },
      false,
    ],
    ['of a pull', { address: 'pull/1', name: 'web' }, false],
  ])('%s', (_what, fields, expected) => expect(isWanted(change(fields))).toBe(expected));
});

describe('the changes of a container', () => {
  const isWanted = of(app, [web]);
  it.each([
    ['its own', { address: app.address }, true],
    ['of its next attempt', { address: 'container/x', name: 'app', pod: 'web', namespace: 'shop' }, true],
    ['of its pod', { address: web.address, name: 'web', namespace: 'shop' }, false],
    ['of its neighbour', { address: 'container/x', name: 'side', pod: 'web', namespace: 'shop' }, false],
  ])('%s', (_what, fields, expected) => expect(isWanted(change(fields))).toBe(expected));
});

describe('a change', () => {
  const fields = {
    address: app.address,
    name: 'app',
    pod: 'web',
    namespace: 'shop',
    from: 'running',
    to: 'exited',
    on: 'container.exited',
  };

  it('has the names of its actor, else the address', () => {
    expect(changeName(change(fields))).toBe('container shop/web/app');
    expect(changeName(change({ address: 'sandbox/x', name: 'web', namespace: 'shop' }))).toBe('pod shop/web');
    expect(changeName(change({ address: 'pull/p1', name: 'nginx:1' }))).toBe('pull nginx:1');
    expect(changeName(change({ address: web.address }))).toBe(`sandbox/${id('a').slice(0, 13)}`);
  });

  it('ends with the reason of an exit and of a failure', () => {
    const lines = (more: object) => changeLines('', change({ ...fields, ...more }), pipe().screen);
    expect(lines({})).toEqual(['running → exited  on container.exited']);
    expect(lines({ hasExited: true, exitCode: 137, exitReason: 'OOMKilled' })).toEqual([
      'running → exited  on container.exited: exit code 137, SIGKILL: OOMKilled',
    ]);
    expect(
      lines({ hasExited: true, exitCode: 128, exitReason: 'StartError', fault: 'no such file' }),
    ).toEqual(['running → exited  on container.exited: exit code 128: StartError, no such file']);
  });

  it('never has its reason cut: on a narrow terminal it stands below', () => {
    const silent = { isTTY: true, columns: 50, write: () => undefined };
    const narrow = makeScreen(silent, silent, { noColor: true, columns: 0 }, 'mark');
    const fault = 'word '.repeat(20).trim();
    expect(changeLines('', change({ ...fields, fault }), narrow)).toEqual([
      'running → exited  on container.exited',
      `    ${fault}`,
    ]);
  });
});
