// The answer of ExecSync, encoded by hand: the library reads what we mean, and nothing of an output is held twice.
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { execSyncBytes } from '../../../src/cri/present/exec-sync.ts';
import { ExecSyncResponseSchema } from '../../../src/gen/runtime/v1/api_pb.ts';

const MIB = 1024 * 1024;
const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);

describe('the answer of ExecSync', () => {
  it.each([
    [0, 0, 0],
    [0, 1, 0],
    [127, 128, 1],
    [16_383, 16_384, 255],
    [3 * MIB, 0, 137],
    [0, 16 * MIB, 0],
    [2, 3, -1],
  ])('says what is meant: %i bytes of stdout, %i of stderr, exit code %i', (out, err, exitCode) => {
    const answer = execSyncBytes({ exitCode, stdout: filled(out, 1), stderr: filled(err, 2) });
    const read = fromBinary(ExecSyncResponseSchema, answer);
    expect(read.exitCode).toBe(exitCode);
    expect(Buffer.compare(read.stdout, filled(out, 1))).toBe(0);
    expect(Buffer.compare(read.stderr, filled(err, 2))).toBe(0);
    expect(read.$unknown).toBeUndefined();
  });

  it('S85: is one buffer of its size, and nothing else is left of the outputs', () => {
    const before = process.memoryUsage().arrayBuffers;
    const [stdout, stderr] = [filled(8 * MIB, 1), filled(8 * MIB, 2)];
    const answer = execSyncBytes({ exitCode: 0, stdout, stderr });
    expect(answer.buffer.byteLength).toBe(answer.length);
    expect([stdout.length, stderr.length]).toEqual([0, 0]);
    // without a collection in between
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(17 * MIB);
  });

  it('leaves what is only a view of something larger', () => {
    const whole = filled(MIB, 7);
    execSyncBytes({ exitCode: 0, stdout: whole.subarray(0, MIB / 2), stderr: whole.subarray(MIB / 2) });
    expect(Buffer.compare(whole, filled(MIB, 7))).toBe(0);
  });
});
