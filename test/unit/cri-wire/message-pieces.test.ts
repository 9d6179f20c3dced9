import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { edgeLimits, requestLimits } from '../../../src/cri/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { edgeMethods } from '../../../src/cri/call/edge.ts';
import { InFlight } from '../../../src/cri/call/in-flight.ts';
import { messagePieces } from '../../../src/base/message-pieces.ts';
import { Plugin, Runtime } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { CreateContainerRequestSchema } from '../../../src/gen/runtime/v1/api_pb.ts';
import { Task } from '../../../src/gen/shim/task_pb.ts';
import { decodeMessage } from '../../../src/ttrpc/protocol.ts';

const encoded = (
  config: NonNullable<MessageInitShape<typeof CreateContainerRequestSchema>['config']>,
): Uint8Array => toBinary(CreateContainerRequestSchema, create(CreateContainerRequestSchema, { config }));

/** A CreateContainerRequest (config is its field 2) with so many empty mounts (field 7 of a config), two bytes each. */
function emptyMounts(count: number): Uint8Array {
  const config = new Uint8Array(2 * count);
  for (let at = 0; at < config.length; at += 2) config[at] = (7 << 3) | 2;
  const head: number[] = [(2 << 3) | 2];
  let length = config.length;
  for (; length >= 0x80; length = Math.floor(length / 0x80)) head.push((length % 0x80) + 0x80);
  return Buffer.concat([Uint8Array.from([...head, length]), config]);
}

describe('a request’s objects in memory', () => {
  test('S85 counts fields and elements at every level, also packed numbers', () => {
    const mounts = Array.from({ length: 1000 }, () => ({}));
    // the config, and the mounts in it
    expect(messagePieces(CreateContainerRequestSchema, encoded({ mounts }))).toBe(1001);
    const envs = Array.from({ length: 1000 }, (_none, at) => ({ key: `K${at}`, value: new Uint8Array(3) }));
    expect(messagePieces(CreateContainerRequestSchema, encoded({ envs }))).toBe(3001);
    const labels = Object.fromEntries(Array.from({ length: 1000 }, (_none, at) => [`k${at}`, 'v']));
    expect(messagePieces(CreateContainerRequestSchema, encoded({ labels }))).toBeGreaterThanOrEqual(1001);
    const supplementalGroups = Array.from({ length: 5000 }, (_none, at) => BigInt(at));
    expect(
      messagePieces(
        CreateContainerRequestSchema,
        encoded({ linux: { securityContext: { supplementalGroups } } }),
      ),
    ).toBe(5004);
  });

  test('S85 a request of empty messages is refused before it is decoded', async () => {
    let served = 0;
    const methods = edgeMethods({
      clock: { monoMs: () => 0 },
      random: { token: () => '0' },
      log: silentLog,
      notReadyReason: () => undefined,
      runtime: { createContainer: () => Promise.resolve({ containerId: String(++served) }) },
    });
    const create = (bytes: Uint8Array): Promise<unknown> | undefined =>
      methods['runtime.v1.RuntimeService/CreateContainer']?.(bytes, { signal: new AbortController().signal });
    await expect(create(emptyMounts(edgeLimits.requestPieces))).rejects.toThrow(
      /the request has 393217 fields, more than 393216/u,
    );
    expect(served).toBe(0);
    await create(emptyMounts(2000));
    expect(served).toBe(1);
  });

  test('S85 requests at work are bounded in total; the largest accepted one is accepted alone', () => {
    const calls = new InFlight();
    const releases = [1, 2].map(() => calls.admit('CreateContainer', 1, () => edgeLimits.requestPieces));
    expect(() =>
      calls.admit('CreateContainer', 1, () => edgeLimits.inFlightPieces - 2 * edgeLimits.requestPieces + 1),
    ).toThrow(/requests in flight have 786432 fields/u);
    calls.admit('CreateContainer', 1, () => 1000)();
    for (const release of releases) release();
    calls.admit('CreateContainer', 1, () => edgeLimits.requestPieces)();
  });

  test('S85 containers with some thousand variables are bounded by their bytes before their pieces', () => {
    for (const count of [1000, 7000]) {
      const envs = Array.from({ length: count }, (_none, at) => ({
        key: `VARIABLE_${at}`.padEnd(16, '_'),
        value: Buffer.from('v'.repeat(30)),
      }));
      const request = encoded({ envs });
      const calls = new InFlight();
      const fit = Math.floor(edgeLimits.inFlightBytes / request.length);
      expect(fit).toBeGreaterThan(40);
      for (let at = 0; at < fit; at += 1)
        calls.admit('CreateContainer', request.length, () =>
          messagePieces(CreateContainerRequestSchema, request),
        );
      expect(() => calls.admit('CreateContainer', request.length)).toThrow(
        /requests in flight have \d+ bytes/u,
      );
    }
  });

  test('the largest container that validation accepts is accepted', () => {
    const envs = Array.from({ length: requestLimits.arguments }, (_none, at) => ({
      key: `K${at}`,
      value: new Uint8Array(1),
    }));
    const args = Array.from({ length: requestLimits.arguments }, () => 'a');
    const labels = Object.fromEntries(
      Array.from({ length: requestLimits.mapEntries }, (_none, at) => [`k${at}`, 'v']),
    );
    expect(
      messagePieces(CreateContainerRequestSchema, encoded({ envs, args, labels, annotations: labels })),
    ).toBeLessThan(edgeLimits.requestPieces);
  });

  /** 20 000 times env (field 6) of a config, each empty, in a config that comes after `head`. */
  const envsBehind = (...head: readonly number[]): Uint8Array => {
    const envs = Uint8Array.from({ length: 40_000 }, (_none, at) => (at % 2 === 0 ? (6 << 3) | 2 : 0));
    return Buffer.concat([Uint8Array.from(head), Uint8Array.of((2 << 3) | 2, 0xc0, 0xb8, 0x02), envs]);
  };
  /** The decoder takes all of these. */
  const unfollowed: readonly [string, Uint8Array][] = [
    ['a group of an unknown number in front', envsBehind(0x7b, 0x7c)],
    ['a mount that ends two bytes beyond its config', envsBehind((2 << 3) | 2, 2, (7 << 3) | 2, 2, 0x0a, 0)],
    [
      'a label whose key ends beyond its entry and the config',
      envsBehind((2 << 3) | 2, 4, (9 << 3) | 2, 2, 0x0a, 2, 0x41, 0x41),
    ],
    ['a number that ends beyond its config', envsBehind((2 << 3) | 2, 1, 12 << 3, 0)],
    ['a config with the wire type of a number', envsBehind(2 << 3, 0)],
  ];

  test.each(unfollowed)(
    'S85 what the walk cannot follow is refused before it is decoded: %s',
    async (_title, bytes) => {
      expect(fromBinary(CreateContainerRequestSchema, bytes).config?.envs).toHaveLength(20_000);
      expect(messagePieces(CreateContainerRequestSchema, bytes)).toBe(Infinity);
      const methods = edgeMethods({
        clock: { monoMs: () => 0 },
        random: { token: () => '0' },
        log: silentLog,
        notReadyReason: () => undefined,
        runtime: { createContainer: () => Promise.resolve({ containerId: 'served' }) },
      });
      const call = methods['runtime.v1.RuntimeService/CreateContainer']?.(bytes, {
        signal: new AbortController().signal,
      });
      await expect(call).rejects.toThrow(/the request has fields that cannot be counted/u);
    },
  );

  test('S85 a message of ttrpc and of NRI is counted the same way', () => {
    const group = Buffer.concat([
      Uint8Array.of(0x7b, 0x7c),
      Buffer.alloc(2000, Uint8Array.of((1 << 3) | 2, 0)),
    ]);
    const update = Plugin.method.createContainer.output;
    for (const schema of [Task.method.state.input, Runtime.method.updateContainers.input, update]) {
      expect(() => decodeMessage(schema, group)).toThrow(/fields that cannot be counted/u);
    }
    // an update that ends two bytes beyond the message around it
    const inner = Uint8Array.of((1 << 3) | 2, 2, (2 << 3) | 2, 2, 0x0a, 0);
    const overrun = Buffer.concat([inner, Buffer.alloc(2000, Uint8Array.of((1 << 3) | 2, 0))]);
    expect(() => decodeMessage(Runtime.method.updateContainers.input, overrun)).toThrow(
      /fields that cannot be counted/u,
    );
  });

  test('unknown fields of a newer contract are accepted, whatever their type', async () => {
    const unknown = Uint8Array.of(
      0xc0,
      0x3e,
      0x96,
      0x01, // 1000: a varint
      0xc9,
      0x3e,
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      8, // 1001: 64 bits
      0xd2,
      0x3e,
      3,
      0x7b,
      0x7c,
      0xff, // 1002: three bytes
      0xdd,
      0x3e,
      1,
      2,
      3,
      4, // 1003: 32 bits
    );
    const known = encoded({
      args: ['a'.repeat(2000)],
      labels: { a: 'b' },
      linux: { resources: { cpuShares: -1n } },
      tty: true,
    });
    const bytes = Buffer.concat([unknown, known, unknown]);
    expect(messagePieces(CreateContainerRequestSchema, bytes)).toBe(17);
    const methods = edgeMethods({
      clock: { monoMs: () => 0 },
      random: { token: () => '0' },
      log: silentLog,
      notReadyReason: () => undefined,
      runtime: {
        createContainer: (request) => Promise.resolve({ containerId: request.config?.args[0] ?? '' }),
      },
    });
    const call = methods['runtime.v1.RuntimeService/CreateContainer']?.(bytes, {
      signal: new AbortController().signal,
    });
    expect(Buffer.from((await call) as Uint8Array).toString()).toContain('aaa');
  });

  test('S85 bytes that are not a message, or a truncated one, exceed any bound', () => {
    expect(messagePieces(CreateContainerRequestSchema, new Uint8Array(4096).fill(0xff))).toBe(Infinity);
    expect(messagePieces(CreateContainerRequestSchema, new Uint8Array(4096))).toBe(Infinity);
    expect(
      messagePieces(CreateContainerRequestSchema, encoded({ args: ['a'.repeat(4000)] }).subarray(0, 2000)),
    ).toBe(Infinity);
  });
});
