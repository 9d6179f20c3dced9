import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import type { View } from '../../../src/actors/directory/views.ts';
import { findView } from '../../../src/introspection/find-view.ts';
import { containerId, containerSpec, containerView, podSpec, sandboxId, sandboxView } from '../cri/stage.ts';

const pod = (digit: string, name: string, more = {}): View =>
  sandboxView(sandboxId(digit), {
    spec: { ...podSpec, key: { ...podSpec.key, namespace: 'shop', name, uid: `u-${digit}` } },
    ...more,
  });
const container = (digit: string, name: string, of: string, attempt = 0): View =>
  containerView(containerId(digit), {
    spec: { ...containerSpec, key: { sandboxId: sandboxId(of), name, attempt } },
    createdAtNs: BigInt(attempt),
  });

const codeOf = (query: string, groups: readonly (readonly View[])[], isRecovering = false): Code => {
  try {
    findView(query, groups, isRecovering);
  } catch (thrown) {
    return ConnectError.from(thrown).code;
  }
  throw new Error(`${query} was found`);
};

describe('the actor that a word names', () => {
  const living = [
    pod('a', 'web'),
    pod('b', 'cc'),
    container('c', 'app', 'a'),
    container('d', 'app', 'b'),
    container('e', 'db', 'a'),
  ];

  it.each([
    [`sandbox/${sandboxId('a')}`, 'sandbox/a'],
    [containerId('c'), 'container/c'],
    ['ccc', 'container/c'],
    ['web', 'sandbox/a'],
    ['shop/web', 'sandbox/a'],
    ['web/app', 'container/c'],
    ['shop/cc/app', 'container/d'],
  ])('%s', (query, meant) => {
    expect(findView(query, [living]).address.slice(0, meant.length)).toBe(meant);
  });

  it('what is missing while the daemon recovers is not called absent', () => {
    expect(codeOf('gone', [living])).toBe(Code.NotFound);
    expect(codeOf('gone', [living], true)).toBe(Code.FailedPrecondition);
    expect(findView('web', [living], true).address).toBe(`sandbox/${sandboxId('a')}`);
  });

  it('a name comes before an id prefix: cc names the pod called cc', () => {
    expect(findView('cc', [living]).address).toBe(`sandbox/${sandboxId('b')}`);
  });

  it('the latest attempt of a name is found, and the pod where pod and container share a name', () => {
    const attempts = [
      pod('a', 'web'),
      container('c', 'app', 'a'),
      container('d', 'app', 'a', 2),
      container('e', 'app', 'a', 1),
      container('f', 'web', 'a'),
    ];
    expect(findView('app', [attempts]).address).toBe(`container/${containerId('d')}`);
    expect(findView('web', [attempts]).address).toBe(`sandbox/${sandboxId('a')}`);
  });

  it('an existing actor comes before a removed one of the same name', () => {
    const removed = [pod('f', 'web')];
    expect(findView('web', [living, removed]).address).toBe(`sandbox/${sandboxId('a')}`);
    expect(findView('f', [living, removed]).address).toBe(`sandbox/${sandboxId('f')}`);
  });

  it('no match, several matches and an empty word are refused', () => {
    expect(codeOf('nobody', [living])).toBe(Code.NotFound);
    expect(() => findView('app', [living])).toThrow(
      'explain app: ambiguous: container shop/web/app (ccccccccccccc), container shop/cc/app (ddddddddddddd)',
    );
    expect(codeOf('app', [living])).toBe(Code.InvalidArgument);
    expect(codeOf('', [living])).toBe(Code.InvalidArgument);
  });
});
