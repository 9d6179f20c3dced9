// What the tests of commands share: a screen that keeps what is written, actors, and a daemon that answers lists.
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { makeScreen } from '../../../../src/daemon/cli/screen.ts';
import type { Screen } from '../../../../src/daemon/cli/screen.ts';
import { ActorSchema } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import type { Actor } from '../../../../src/gen/introspection/v1/introspection_pb.ts';

export const S = 1_000_000_000n;
export const NOW = 1000n * S;

type Fields = Extract<MessageInitShape<typeof ActorSchema>, { readonly $typeName?: never }>;

export const id = (digit: string): string => digit.repeat(64);

export const pod = (digit: string, name: string, more: Fields = {}): Actor =>
  create(ActorSchema, {
    address: `sandbox/${id(digit)}`,
    kind: 'sandbox',
    id: id(digit),
    name,
    namespace: 'shop',
    state: 'ready',
    settled: true,
    listed: true,
    createdNs: NOW - 600n * S,
    sinceNs: NOW - 60n * S,
    ...more,
  });

export const container = (digit: string, name: string, of: string, more: Fields = {}): Actor =>
  create(ActorSchema, {
    address: `container/${id(digit)}`,
    kind: 'container',
    id: id(digit),
    name,
    sandboxId: id(of),
    state: 'running',
    settled: true,
    listed: true,
    createdNs: NOW - 300n * S,
    sinceNs: NOW - 2n * S,
    pid: 4711n,
    ...more,
  });

/** Fields of an actor that waits for this many seconds, with this many left. */
export const waits = (seconds: number, left: number, effect = 'destroy'): Fields => ({
  state: 'stopping.killing',
  settled: false,
  waits: [
    {
      effect,
      on: 'runc kill',
      sinceNs: NOW - BigInt(seconds) * S,
      deadlineNs: NOW + BigInt(left) * S,
    },
  ],
});

/** A screen in a pipe, and its lines. */
export function pipe(): { readonly screen: Screen; readonly lines: () => readonly string[] } {
  let text = '';
  const output = { write: (more: string) => (text += more) };
  return {
    screen: makeScreen(output, output, { noColor: true, columns: 0 }, 'mark'),
    lines: () => text.split('\n').slice(0, -1),
  };
}
