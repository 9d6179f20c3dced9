import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { edgeLimits, requestLimits } from '../../../src/base/limits.ts';
import { silentLog } from '../../../src/base/log.ts';
import { edgeMethods } from '../../../src/cri/edge.ts';
import { InFlight } from '../../../src/cri/in-flight.ts';
import { messagePieces } from '../../../src/base/message-pieces.ts';
import { CreateContainerRequestSchema } from '../../../src/gen/runtime/v1/api_pb.ts';

const encoded = (config: NonNullable<MessageInitShape<typeof CreateContainerRequestSchema>['config']>): Uint8Array =>
  toBinary(CreateContainerRequestSchema, create(CreateContainerRequestSchema, { config }));

/** A CreateContainerRequest (config is its field 2) with so many empty mounts (field 7 of a config), two bytes each. */
function emptyMounts(count: number): Uint8Array {
  const config = new Uint8Array(2 * count);
  for (let at = 0; at < config.length; at += 2) config[at] = (7 << 3) | 2;
  const head: number[] = [(2 << 3) | 2];
  let length = config.length;
  for (; length >= 0x80; length = Math.floor(length / 0x80)) head.push((length % 0x80) + 0x80);
  return Buffer.concat([Uint8Array.from([...head, length]), config]);
}

describe('what a request becomes in memory', () => {
  test('S85 counts fields and elements at every level, numbers in one piece too', () => {
    const mounts = Array.from({ length: 1000 }, () => ({}));
    // the config, and the mounts in it
    expect(messagePieces(CreateContainerRequestSchema, encoded({ mounts }))).toBe(1001);
    const envs = Array.from({ length: 1000 }, (_none, at) => ({ key: `K${at}`, value: new Uint8Array(3) }));
    expect(messagePieces(CreateContainerRequestSchema, encoded({ envs }))).toBe(3001);
    const labels = Object.fromEntries(Array.from({ length: 1000 }, (_none, at) => [`k${at}`, 'v']));
    expect(messagePieces(CreateContainerRequestSchema, encoded({ labels }))).toBeGreaterThanOrEqual(1001);
    const supplementalGroups = Array.from({ length: 5000 }, (_none, at) => BigInt(at));
    expect(messagePieces(CreateContainerRequestSchema, encoded({ linux: { securityContext: { supplementalGroups } } }))).toBe(5004);
  });

  test('S85 a request of empty messages is refused before it is decoded', async () => {
    let served = 0;
    const methods = edgeMethods({
      clock: { monoMs: () => 0 }, random: { token: () => '0' }, log: silentLog, notReadyReason: () => undefined,
      runtime: { createContainer: () => Promise.resolve({ containerId: String(++served) }) },
    });
    const create = (bytes: Uint8Array): Promise<unknown> | undefined =>
      methods['runtime.v1.RuntimeService/CreateContainer']?.(bytes, { signal: new AbortController().signal });
    await expect(create(emptyMounts(edgeLimits.requestPieces))).rejects.toThrow(/the request has 393217 fields, more than 393216/u);
    expect(served).toBe(0);
    await create(emptyMounts(2000));
    expect(served).toBe(1);
  });

  test('S85 those at work are bounded together; the largest that is taken is taken alone', () => {
    const calls = new InFlight();
    const release = calls.admit('CreateContainer', 1, () => edgeLimits.requestPieces);
    expect(() => calls.admit('CreateContainer', 1, () => edgeLimits.inFlightPieces - edgeLimits.requestPieces + 1)).toThrow(/requests at work have 393216 fields/u);
    calls.admit('CreateContainer', 1, () => 1000)();
    release();
    calls.admit('CreateContainer', 1, () => edgeLimits.requestPieces)();
  });

  test('the largest container that validation takes is taken', () => {
    const envs = Array.from({ length: requestLimits.arguments }, (_none, at) => ({ key: `K${at}`, value: new Uint8Array(1) }));
    const args = Array.from({ length: requestLimits.arguments }, () => 'a');
    const labels = Object.fromEntries(Array.from({ length: requestLimits.mapEntries }, (_none, at) => [`k${at}`, 'v']));
    expect(messagePieces(CreateContainerRequestSchema, encoded({ envs, args, labels, annotations: labels }))).toBeLessThan(edgeLimits.requestPieces);
  });

  test('what is no message ends the count', () => {
    const garbage = new Uint8Array(4096).fill(0xff);
    expect(messagePieces(CreateContainerRequestSchema, garbage)).toBeLessThan(4096);
    expect(messagePieces(CreateContainerRequestSchema, encoded({ args: ['a'.repeat(4000)] }).subarray(0, 2000))).toBeLessThan(10);
  });
});
