// Who answers a call while another daemon takes over (F92).
import { create, toBinary } from '@bufbuild/protobuf';
import { expect, it } from 'vitest';
import { FaultError, fault } from '../../../../src/base/fault.ts';
import { CallSwitch } from '../../../../src/cri/call/call-switch.ts';
import type { Onward } from '../../../../src/cri/call/call-switch.ts';
import { RpcError } from '../../../../src/cri/call/status.ts';
import {
  ContainerStatusResponseSchema,
  StartContainerRequestSchema,
} from '../../../../src/gen/runtime/v1/api_pb.ts';
import type { CallContext } from '../../../../src/cri/call/server.ts';
import { never, turns } from '../../../support/turns.ts';

const START = 'runtime.v1.RuntimeService/StartContainer';
const [CREATE, LIST, STATUS, EXEC, EVENTS] = [
  'CreateContainer',
  'ListContainers',
  'ContainerStatus',
  'ExecSync',
  'GetContainerEvents',
].map((rpc) => `runtime.v1.RuntimeService/${rpc}`) as [string, string, string, string, string];
const REQUEST = Buffer.from('asks');

/** The outcomes of one handler, one after the other; what it is asked is counted. */
class Handler {
  asked = 0;
  readonly #outcomes: Promise<Uint8Array>[];

  constructor(...outcomes: Promise<Uint8Array>[]) {
    this.#outcomes = outcomes;
  }

  handle = (): Promise<Uint8Array> => {
    this.asked += 1;
    return this.#outcomes.shift() ?? never();
  };
}

const says = (text: string): Promise<Uint8Array> => Promise.resolve(Buffer.from(text));
const call = (signal = new AbortController().signal): CallContext => ({ signal });

/** Begins one call, and notes its outcome. */
function begin(
  calls: CallSwitch,
  name: string,
  { handle }: Handler,
  context = call(),
  request: Uint8Array = REQUEST,
) {
  const asked = calls.methods({ [name]: handle })[name]?.(request, context);
  const seen: { outcome: string | undefined } = { outcome: undefined };
  void asked?.then(
    (bytes) => (seen.outcome = Buffer.from(bytes as Uint8Array).toString()),
    (thrown: unknown) => (seen.outcome = thrown instanceof Error ? `failed: ${thrown.message}` : 'failed'),
  );
  return seen;
}

/** Another daemon, which answers each unary call with its name and request. */
const other: Onward = {
  unary: (name, request) =>
    says(`${name.slice(name.indexOf('/') + 1)} ${Buffer.from(request).toString()} there`),
  stream: async (name, _request, _call, write) => write(Buffer.from(`${name} there`)),
};

it('F92 calls that change something wait while a hand-over is under way; reads are answered', async () => {
  const calls = new CallSwitch();
  calls.hold();
  const [creation, list] = [new Handler(says('created')), new Handler(says('listed'))];
  const [created, listed] = [begin(calls, CREATE, creation), begin(calls, LIST, list)];
  await turns();
  expect([created.outcome, listed.outcome, creation.asked]).toEqual([undefined, 'listed', 0]);
  calls.resume();
  await turns();
  expect(created.outcome).toBe('created');
});

it('F92 a call that ends before the hand-over keeps its result; one in flight is asked of the other daemon', async () => {
  const calls = new CallSwitch();
  const ends = Promise.withResolvers<Uint8Array>();
  const [first, second] = [
    begin(calls, CREATE, new Handler(ends.promise)),
    begin(calls, CREATE, new Handler()),
  ];
  await turns();
  calls.hold();
  ends.resolve(Buffer.from('created here'));
  await turns();
  expect(first.outcome).toBe('created here');
  calls.pass(other);
  await turns();
  expect(second.outcome).toBe('CreateContainer asks there');
});

it('F92 an error during the hand-over is not answered: the other daemon is asked', async () => {
  const calls = new CallSwitch();
  const ends = Promise.withResolvers<Uint8Array>();
  const status = begin(calls, STATUS, new Handler(ends.promise));
  await turns();
  calls.hold();
  ends.reject(new Error('another daemon takes over'));
  await turns();
  expect(status.outcome).toBeUndefined();
  calls.pass(other);
  await turns();
  expect(status.outcome).toBe('ContainerStatus asks there');
});

it('F92 when this daemon goes on, a call whose effect was aborted is asked again, however late it says so', async () => {
  const calls = new CallSwitch();
  const [early, late] = [Promise.withResolvers<Uint8Array>(), Promise.withResolvers<Uint8Array>()];
  const handlers = [
    new Handler(early.promise, says('again')),
    new Handler(late.promise, says('again')),
  ] as const;
  const [first, second] = [begin(calls, CREATE, handlers[0]), begin(calls, CREATE, handlers[1])];
  await turns();
  calls.hold();
  early.reject(new Error('another daemon takes over'));
  await turns();
  calls.resume();
  await turns();
  late.reject(new Error('another daemon takes over'));
  await turns();
  expect([first.outcome, second.outcome]).toEqual(['again', 'again']);
  expect(handlers.map(({ asked }) => asked)).toEqual([2, 2]);
});

it('F92 an error of the second attempt is its own, as is one of a call after the hold', async () => {
  const calls = new CallSwitch();
  const handler = new Handler(Promise.reject(new Error('first')), Promise.reject(new Error('no such image')));
  calls.hold();
  const held = begin(calls, STATUS, handler);
  await turns();
  calls.resume();
  await turns();
  expect(held.outcome).toBe('failed: no such image');
  const after = begin(calls, CREATE, new Handler(Promise.reject(new Error('wrong'))));
  await turns();
  expect(after.outcome).toBe('failed: wrong');
});

it('F92 a call after the hold that joined what the hand-over had aborted is asked again, once', async () => {
  const calls = new CallSwitch();
  const aborted = (): Promise<Uint8Array> =>
    Promise.reject(new RpcError({ code: 'cancelled', message: 'aborted' }, true));
  const [joins, fails] = [new Handler(aborted(), says('anew')), new Handler(aborted(), aborted(), never())];
  calls.hold();
  calls.resume();
  const [first, second] = [begin(calls, CREATE, joins), begin(calls, CREATE, fails)];
  await turns();
  expect([first.outcome, joins.asked]).toEqual(['anew', 2]);
  expect([second.outcome, fails.asked]).toEqual(['failed: aborted', 2]);
});

it('F92 a command of ExecSync ends where it began, with its own error', async () => {
  const calls = new CallSwitch();
  const [works, fails] = [Promise.withResolvers<Uint8Array>(), Promise.withResolvers<Uint8Array>()];
  const [first, second] = [
    begin(calls, EXEC, new Handler(works.promise)),
    begin(calls, EXEC, new Handler(fails.promise)),
  ];
  await turns();
  calls.hold();
  calls.pass(other);
  const third = begin(calls, EXEC, new Handler());
  works.resolve(Buffer.from('output'));
  fails.reject(new Error('timed out'));
  await turns();
  expect([first.outcome, second.outcome]).toEqual(['output', 'failed: timed out']);
  expect(third.outcome).toBe('ExecSync asks there');
});

it('F92 a caller that goes does not wait for the end of the hand-over', async () => {
  const calls = new CallSwitch();
  calls.hold();
  const caller = new AbortController();
  const creation = new Handler();
  const created = begin(calls, CREATE, creation, call(caller.signal));
  await turns();
  caller.abort(new FaultError(fault('timedOut', 'deadline passed')));
  await turns();
  expect(created.outcome).toContain('deadline passed');
  calls.resume();
  await turns();
  expect(creation.asked).toBe(0);
});

it('F92 a stream of events goes on with those of the other daemon, in order, until one is missing', async () => {
  const calls = new CallSwitch();
  const got: string[] = [];
  const write = async (message: Uint8Array): Promise<void> => void got.push(Buffer.from(message).toString());
  const stream = calls.streams({
    [EVENTS]: async (_request, _call, send) => {
      await send(Buffer.from('1'));
      return never();
    },
  })[EVENTS];
  const ended = stream?.(REQUEST, call(), write).catch((thrown: unknown) => String(thrown));
  await turns();
  calls.hold();
  calls.pass(other);
  for (const event of ['2', '3']) calls.event(Buffer.from(event));
  await turns();
  expect(got).toEqual(['1', '2', '3']);
  calls.endEvents('events are missing');
  expect(await ended).toContain('events are missing');
  calls.event(Buffer.from('4'));
  await turns();
  expect(got).toEqual(['1', '2', '3']);
});

it('F92 a stream that begins after the hand-over is the other daemon’s from its begin', async () => {
  const calls = new CallSwitch();
  calls.pass(other);
  const got: string[] = [];
  await calls.streams({ [EVENTS]: never })[EVENTS]?.(REQUEST, call(), async (message) => {
    got.push(Buffer.from(message).toString());
  });
  expect(got).toEqual([`${EVENTS} there`]);
});

it('F92 reads are answered here until the other daemon has answered, and then there', async () => {
  const calls = new CallSwitch();
  calls.hold();
  const reached = Promise.withResolvers<void>();
  calls.pass(other, reached.promise);
  const [created, listed] = [
    begin(calls, CREATE, new Handler()),
    begin(calls, LIST, new Handler(says('listed'))),
  ];
  const absent = begin(calls, STATUS, new Handler(Promise.reject(new FaultError(fault('notFound', 'no')))));
  await turns();
  expect([created.outcome, listed.outcome]).toEqual(['CreateContainer asks there', 'listed']);
  // the other daemon may know it by now
  expect(absent.outcome).toBeUndefined();
  reached.resolve();
  await turns();
  const later = begin(calls, LIST, new Handler());
  await turns();
  expect([absent.outcome, later.outcome]).toEqual([
    'ContainerStatus asks there',
    'ListContainers asks there',
  ]);
});

it('F92 a start that was begun here and has happened is answered, though the other daemon refuses it', async () => {
  const refusing = (startedAt: bigint): Onward => ({
    ...other,
    unary: async (name) => {
      if (name === START)
        throw new RpcError({ code: 'failedPrecondition', message: 'the container is running, not created' });
      return toBinary(
        ContainerStatusResponseSchema,
        create(ContainerStatusResponseSchema, { status: { startedAt } }),
      );
    },
  });
  const start = toBinary(
    StartContainerRequestSchema,
    create(StartContainerRequestSchema, { containerId: 'c' }),
  );
  const outcomes: (string | undefined)[] = [];
  for (const startedAt of [7n, 0n]) {
    const calls = new CallSwitch();
    const begun = begin(calls, START, new Handler(), call(), start);
    await turns();
    calls.hold();
    const later = begin(calls, START, new Handler(), call(), start);
    calls.pass(refusing(startedAt));
    await turns();
    outcomes.push(begun.outcome, later.outcome);
  }
  const refused = 'failed: the container is running, not created';
  expect(outcomes).toEqual(['', refused, refused, refused]);
});
