// The answer of ExecSync, encoded by hand: the library reads what we mean, and nothing of an output is held twice.
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { ByteBlocks } from '../../../../src/base/byte-blocks.ts';
import type { MovedMessage } from '../../../../src/cri/call/moved-message.ts';
import { execSyncMessage } from '../../../../src/cri/present/exec-sync.ts';
import { ExecSyncResponseSchema } from '../../../../src/gen/runtime/v1/api_pb.ts';

const MIB = 1024 * 1024;
/** Of the head that the library writes before a message. */
const HEAD_BYTES = 5;
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

function kept(length: number, value: number): ByteBlocks {
  const blocks = new ByteBlocks('test', 16 * MIB);
  for (let at = 0; at < length; at += 10_000) blocks.appendCopy(filled(Math.min(10_000, length - at), value));
  return blocks;
}

/** As the library makes a frame of it. */
function framed(message: MovedMessage): Uint8Array {
  const frame = filled(HEAD_BYTES + message.byteLength, 0xff);
  message.copy(frame, HEAD_BYTES);
  expect(frame.subarray(0, HEAD_BYTES)).toEqual(filled(HEAD_BYTES, 0xff));
  return frame.subarray(HEAD_BYTES);
}

describe('the answer of ExecSync', () => {
  it.each([
    [0, 0, 0],
    [0, 1, 0],
    [127, 128, 1],
    [16_383, 16_384, 255],
    [3 * MIB, 0, 137],
    [0, 16 * MIB, 0],
    [2, 3, -1],
  ])('decodes to the given %i bytes of stdout, %i of stderr, exit code %i', (out, err, exitCode) => {
    for (const output of [filled, kept]) {
      const read = fromBinary(
        ExecSyncResponseSchema,
        framed(execSyncMessage({ exitCode, stdout: output(out, 1), stderr: output(err, 2) })),
      );
      expect(read.exitCode).toBe(exitCode);
      expect(Buffer.compare(read.stdout, filled(out, 1))).toBe(0);
      expect(Buffer.compare(read.stderr, filled(err, 2))).toBe(0);
      expect(read.$unknown).toBeUndefined();
    }
  });

  it('S85: is held in its frame only, and the outputs’ buffers are freed', () => {
    const [stdout, stderr, blocks] = [filled(8 * MIB, 1), filled(8 * MIB, 2), kept(8 * MIB, 3)];
    const before = process.memoryUsage().arrayBuffers;
    const messages = [
      execSyncMessage({ exitCode: 0, stdout, stderr }),
      execSyncMessage({ exitCode: 0, stdout: blocks, stderr: new Uint8Array(0) }),
    ];
    // not even for a moment
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MIB);
    for (const message of messages) framed(message);
    expect([stdout.length, stderr.length, blocks.size]).toEqual([0, 0, 0]);
  });

  it('does not free a view of a larger buffer', () => {
    const whole = filled(MIB, 7);
    framed(
      execSyncMessage({ exitCode: 0, stdout: whole.subarray(0, MIB / 2), stderr: whole.subarray(MIB / 2) }),
    );
    expect(Buffer.compare(whole, filled(MIB, 7))).toBe(0);
  });
});
