// When a command that follows a container takes it for ended: never because a daemon does not know it yet.
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import type { Command } from '../../../../src/daemon/cli/context.ts';
import { untilExited } from '../../../../src/daemon/cli/until-exited.ts';
import { parseCommandLine } from '../../../../src/daemon/config/command-line.ts';
import { ChangeSchema, ListResponseSchema } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import type { Change, ListResponse } from '../../../../src/gen/introspection/v1/introspection_pb.ts';
import type { IntrospectionClient } from '../../../../src/introspection/client.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';
import { container, id, pipe } from './stage.ts';

const running = container('c', 'app', 'a');
const exited = container('c', 'app', 'a', { state: 'exited', hasExited: true });
const other = container('d', 'side', 'a');
const away = new ConnectError('it was restarted', Code.Unavailable);

interface Answer {
  /** An error is thrown. */
  readonly list: MessageInitShape<typeof ListResponseSchema> | Error;
  /** The states that the stream after it shows until it ends. */
  readonly changes?: readonly string[];
}

/** How many of the answers were asked for until the container counts as ended, and what was noted. */
async function askedFor(answers: readonly Answer[]) {
  const { screen, lines } = pipe();
  const clock = new HandClock();
  const left = [...answers];
  let changes: readonly string[] = [];
  const list = (): Promise<ListResponse> => {
    const next = left.shift();
    if (next === undefined) return Promise.reject(new Error('asked after the last answer'));
    changes = next.changes ?? [];
    return next.list instanceof Error
      ? Promise.reject(next.list)
      : Promise.resolve(create(ListResponseSchema, next.list));
  };
  async function* watch(): AsyncGenerator<Change> {
    for (const to of changes)
      yield await Promise.resolve(
        create(ChangeSchema, { address: running.address, to, settled: !to.startsWith('stopping') }),
      );
  }
  const command: Command = {
    line: parseCommandLine(['logs', '-f', 'app']),
    screen,
    clock,
    json: false,
    socket: '/s',
    client: { list, watch } as Partial<IntrospectionClient> as IntrospectionClient,
    config: () => Promise.reject(new Error('not asked')),
    signal: new AbortController().signal,
  };
  let isDone = false;
  const done = untilExited(command, id('c'), command.signal).finally(() => (isDone = true));
  done.catch(() => undefined);
  for (await turns(); !isDone; await turns()) clock.fire();
  await done;
  return { asked: answers.length - left.length, noted: lines() };
}

describe('until a container has exited', () => {
  it.each<readonly [string, readonly Answer[]]>([
    ['it has exited already', [{ list: { actors: [exited] } }]],
    ['it is gone', [{ list: { actors: [other] } }]],
    ['it exits', [{ list: { actors: [running] }, changes: ['stopping.killing', 'exited'] }]],
    ['it is removed', [{ list: { actors: [running] }, changes: ['gone'] }]],
    ['the stream ends before it', [{ list: { actors: [running] } }, { list: { actors: [exited] } }]],
  ])('%s', async (_what, answers) => {
    expect(await askedFor(answers)).toEqual({ asked: answers.length, noted: [] });
  });

  it('F92 a daemon that has just started does not know it yet: it is asked again', async () => {
    const answers: readonly Answer[] = [
      { list: { actors: [running] } },
      { list: { recovering: true } },
      { list: { actors: [other], recovering: true } },
      { list: { actors: [running, other], recovering: true }, changes: ['exited'] },
    ];
    expect(await askedFor(answers)).toEqual({ asked: 4, noted: [] });
  });

  it('F01 the daemon was killed, and recovers: it is asked again, and that it did not answer is noted', async () => {
    const answers: readonly Answer[] = [
      { list: { actors: [running] } },
      { list: away },
      { list: away },
      { list: { recovering: true } },
      { list: { actors: [exited] } },
    ];
    expect(await askedFor(answers)).toEqual({
      asked: 5,
      noted: ['troupe logs: the daemon does not answer; the container goes on'],
    });
  });
});
