import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { fail, fault, FaultError } from '../../../src/base/fault.ts';
import { edgeLimits } from '../../../src/cri/bounds.ts';
import type { Log } from '../../../src/base/log.ts';
import type { EdgeOptions, RpcContext } from '../../../src/cri/call/edge.ts';
import { deadlineMarginMs, edgeMethods } from '../../../src/cri/call/edge.ts';
import type { CallContext, UnaryHandler } from '../../../src/cri/call/server.ts';
import { RpcError } from '../../../src/cri/call/status.ts';
import {
  ImageStatusRequestSchema,
  ListContainersRequestSchema,
  RunPodSandboxRequestSchema,
  RunPodSandboxResponseSchema,
  StopContainerRequestSchema,
  VersionResponseSchema,
} from '../../../src/gen/runtime/v1/api_pb.ts';
import { wholeBytes } from '../../support/whole-bytes.ts';

const runPod = 'runtime.v1.RuntimeService/RunPodSandbox';
const version = 'runtime.v1.RuntimeService/Version';
const none = new Uint8Array();
const at = (overrides: Partial<CallContext> = {}): CallContext => ({
  signal: new AbortController().signal,
  ...overrides,
});

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

function recorder(): { log: Log; lines: Line[] } {
  const lines: Line[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields: { ...fields } });
  return {
    lines,
    log: {
      trace: write('trace'),
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
    },
  };
}

/** An edge at wall time 1000 s, monotonic 50 ms, 4 ms later at each read; ids count up. */
function edge(
  handlers: Pick<EdgeOptions, 'runtime' | 'image'>,
  notReadyReason: () => string | undefined = () => undefined,
) {
  const { log, lines } = recorder();
  let polls = 0;
  let ids = 0;
  const methods = edgeMethods({
    clock: { monoMs: () => 50 + 4 * polls++ },
    random: { token: (bytes) => (++ids).toString(16).padStart(2 * bytes, '0') },
    log,
    notReadyReason,
    ...handlers,
  });
  const call = (
    name: string,
    request: Uint8Array = none,
    context: CallContext = at(),
  ): ReturnType<UnaryHandler> => {
    const method = methods[name];
    if (method === undefined) throw new Error(`no method ${name}`);
    return method(request, context);
  };
  return { methods, call, lines };
}

async function statusOf(work: Promise<unknown>): Promise<RpcError['status']> {
  const thrown = await work.then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  );
  if (!(thrown instanceof RpcError)) throw thrown;
  return thrown.status;
}

describe('the edge', () => {
  test('methods have full names; one without a handler is absent', () => {
    const { methods } = edge({
      runtime: { version: () => Promise.resolve({}), stopContainer: () => Promise.resolve({}) },
      image: { imageStatus: () => Promise.resolve({}) },
    });
    expect(Object.keys(methods)).toEqual([
      version,
      'runtime.v1.RuntimeService/StopContainer',
      'runtime.v1.ImageService/ImageStatus',
    ]);
  });

  test('F88 a call that the stopping server aborts is answered Unavailable, one whose caller goes Cancelled', async () => {
    const { call } = edge({
      runtime: {
        stopContainer: (_request, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () =>
              reject(new FaultError(fault('cancelled', 'exec: cancelled'))),
            );
          }),
      },
    });
    for (const [kind, code] of [
      ['notReady', 'unavailable'],
      ['cancelled', 'cancelled'],
    ] as const) {
      const controller = new AbortController();
      const answer = statusOf(
        call('runtime.v1.RuntimeService/StopContainer', none, at({ signal: controller.signal })),
      );
      controller.abort(new FaultError(fault(kind, 'troupe is stopping')));
      expect(await answer).toMatchObject({ code });
    }
  });

  test('a request is decoded, fields become the answer, int64 stays exact (S62)', async () => {
    const seen: bigint[] = [];
    const { call } = edge({
      runtime: {
        runPodSandbox: (request) => Promise.resolve({ podSandboxId: request.config?.metadata?.name ?? '' }),
        stopContainer: (request) => {
          seen.push(request.timeout);
          return Promise.resolve({});
        },
      },
    });
    const request = create(RunPodSandboxRequestSchema, { config: { metadata: { name: 'web' } } });
    const answer = await call(runPod, toBinary(RunPodSandboxRequestSchema, request));
    expect(fromBinary(RunPodSandboxResponseSchema, wholeBytes(answer)).podSandboxId).toBe('web');
    for (const timeout of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]) {
      await call(
        'runtime.v1.RuntimeService/StopContainer',
        toBinary(StopContainerRequestSchema, create(StopContainerRequestSchema, { timeout })),
      );
    }
    expect(seen).toEqual([2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n]);
  });

  test('encoded bytes are sent unchanged', async () => {
    const bytes = toBinary(VersionResponseSchema, create(VersionResponseSchema, { runtimeName: 'troupe' }));
    const { call } = edge({ runtime: { version: () => Promise.resolve(bytes) } });
    expect(await call(version)).toBe(bytes);
  });

  test.each([
    ['cut short', new Uint8Array([0x0a, 0x7f, 0x00])],
    ['a wire type that does not exist', new Uint8Array([0x0f])],
    ['a string that is not UTF-8', new Uint8Array([0x12, 0x02, 0xc3, 0x28])],
    ['a varint without end', new Uint8Array(11).fill(0xff)],
  ])('a malformed request (%s) is InvalidArgument and never reaches the handler', async (_what, bytes) => {
    let calls = 0;
    const { call } = edge({
      runtime: { runPodSandbox: () => Promise.resolve({ podSandboxId: String(++calls) }) },
    });
    const status = await statusOf(call(runPod, bytes));
    expect(status.code).toBe('invalidArgument');
    expect(status.message).toMatch(/^RunPodSandbox: the request is not a valid RunPodSandboxRequest: ./u);
    expect(calls).toBe(0);
  });

  test('S61 map keys such as __proto__ are ordinary entries', async () => {
    const { call } = edge({
      image: {
        imageStatus: (request) => {
          expect(Object.entries(request.image?.annotations ?? {})).toEqual([['__proto__', 'x']]);
          return Promise.resolve({});
        },
      },
    });
    const annotations = Object.defineProperty({}, '__proto__', {
      value: 'x',
      enumerable: true,
      configurable: true,
      writable: true,
    });
    await call(
      'runtime.v1.ImageService/ImageStatus',
      toBinary(ImageStatusRequestSchema, create(ImageStatusRequestSchema, { image: { annotations } })),
    );
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
});

describe('readiness and bounds', () => {
  test('before the daemon is ready only Version and Status pass', async () => {
    let reason: string | undefined = 'recovering, 12 of 40 containers';
    const { call } = edge(
      {
        runtime: {
          version: () => Promise.resolve({}),
          status: () => Promise.resolve({}),
          runPodSandbox: () => Promise.resolve({}),
        },
      },
      () => reason,
    );
    await call(version);
    await call('runtime.v1.RuntimeService/Status');
    expect(await statusOf(call(runPod))).toEqual({
      code: 'unavailable',
      message: 'RunPodSandbox: troupe is not ready: recovering, 12 of 40 containers',
    });
    reason = undefined;
    await call(runPod);
  });

  test('a call beyond the bound is ResourceExhausted, Version still passes, and slots are released', async () => {
    const gate = Promise.withResolvers<void>();
    const { call } = edge({
      runtime: {
        version: () => Promise.resolve({}),
        runPodSandbox: async () => {
          await gate.promise;
          return {};
        },
      },
    });
    const calls = Array.from({ length: edgeLimits.inFlightCalls }, () => call(runPod));
    expect(await statusOf(call(runPod))).toMatchObject({ code: 'resourceExhausted' });
    await call(version);
    gate.resolve();
    await Promise.all(calls);
    await call(runPod);
  });

  test('an answer beyond the bound fails by name', async () => {
    const { call } = edge({
      runtime: { version: () => Promise.resolve(new Uint8Array(edgeLimits.sendBytes + 1)) },
    });
    expect(await statusOf(call(version))).toMatchObject({ code: 'resourceExhausted' });
  });
});

describe('context', () => {
  async function contextOf(call: CallContext): Promise<RpcContext> {
    const seen: RpcContext[] = [];
    const it = edge({
      runtime: {
        runPodSandbox: (_request, context) => {
          seen.push(context);
          return Promise.resolve({});
        },
      },
    });
    await it.call(runPod, none, call);
    if (seen[0] === undefined) throw new Error('the handler was not called');
    return seen[0];
  }

  test('the cause names request, RPC and a valid traceparent', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect((await contextOf(at({ traceparent }))).cause).toEqual({
      requestId: '0000000000000001',
      origin: 'RunPodSandbox',
      traceparent,
    });
  });

  test.each([
    'x'.repeat(55),
    'ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
    '00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n',
  ])('an invalid traceparent is left out: %j', async (traceparent) => {
    expect((await contextOf(at({ traceparent }))).cause).not.toHaveProperty('traceparent');
  });

  test('the signal is the call’s own', async () => {
    const call = at();
    expect((await contextOf(call)).signal).toBe(call.signal);
  });

  test('the deadline is the client’s less the margin, on the monotonic clock', async () => {
    expect((await contextOf(at({ deadlineMonoMs: 10_050 }))).deadlineMonoMs).toBe(50 + 10_000 - 500);
    expect((await contextOf(at())).deadlineMonoMs).toBeUndefined();
  });

  test('a call that comes after its deadline does not run', async () => {
    const { call } = edge({ runtime: { runPodSandbox: () => Promise.reject(new Error('it ran')) } });
    expect(await statusOf(call(runPod, none, at({ deadlineMonoMs: 50 })))).toEqual({
      code: 'deadlineExceeded',
      message: "RunPodSandbox: the caller's deadline had passed when the call arrived",
    });
  });

  test.each([
    [10, 5],
    [100, 50],
    [1000, 50],
    [4000, 200],
    [20_000, 1000],
    [240_000, 1000],
  ])('of %d ms left the margin is %d ms', (leftMs, marginMs) => {
    expect(deadlineMarginMs(leftMs)).toBe(marginMs);
  });
});

describe('log and faults', () => {
  test('each RPC is logged in one line: at info, but reads at trace and ExecSync at debug', async () => {
    const { call, lines } = edge({
      runtime: {
        version: () => Promise.resolve({}),
        containerStatus: () => Promise.resolve({}),
        execSync: () => Promise.resolve({}),
        listContainers: () => Promise.resolve({}),
        runPodSandbox: () => Promise.resolve({ podSandboxId: 'ab' }),
      },
    });
    await call(version);
    await call(
      'runtime.v1.RuntimeService/ListContainers',
      toBinary(ListContainersRequestSchema, create(ListContainersRequestSchema)),
    );
    await call(runPod);
    for (const name of ['ContainerStatus', 'ExecSync']) await call(`runtime.v1.RuntimeService/${name}`);
    expect(lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'trace Version',
      'trace ListContainers',
      'info RunPodSandbox',
      'trace ContainerStatus',
      'debug ExecSync',
    ]);
    expect(lines[2]?.fields).toEqual({
      requestId: '0000000000000003',
      origin: 'RunPodSandbox',
      code: 'ok',
      bytes: 4,
      latencyMs: 4,
    });
  });

  test('a fault is answered by the table and logged as a warning, for lists, too', async () => {
    const { call, lines } = edge({
      runtime: {
        listContainers: () =>
          Promise.resolve(
            fail('exhausted', 'list containers: the directory is full', { subject: 'directory' }),
          ),
      },
    });
    expect(await statusOf(call('runtime.v1.RuntimeService/ListContainers'))).toEqual({
      code: 'resourceExhausted',
      message: 'list containers: the directory is full',
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: 'warn',
      message: 'ListContainers',
      fields: { code: 'resourceExhausted', fault: { subject: 'directory' } },
    });
  });

  test('a bug is answered with the request id only, and logged in full', async () => {
    const { call, lines } = edge({
      runtime: {
        runPodSandbox: () => {
          throw new TypeError('config.metadata is undefined');
        },
      },
    });
    const status = await statusOf(call(runPod));
    expect(status.code).toBe('internal');
    expect(status.message).toContain('0000000000000001');
    expect(status.message).not.toContain('metadata');
    expect(lines[0]).toMatchObject({
      level: 'error',
      fields: { fault: { kind: 'bug', message: 'config.metadata is undefined' } },
    });
    expect(String(lines[0]?.fields['stack'])).toContain('edge.test.ts');
  });

  test('a handler that stops for its signal is answered by the reason', async () => {
    const abort = new AbortController();
    const { call } = edge({
      runtime: {
        runPodSandbox: (_request, { signal }) => {
          abort.abort(new FaultError(fault('cancelled', 'RunPodSandbox: the caller has gone')));
          signal.throwIfAborted();
          return Promise.resolve({});
        },
      },
    });
    expect(await statusOf(call(runPod, none, at({ signal: abort.signal })))).toMatchObject({
      code: 'cancelled',
    });
  });
});
