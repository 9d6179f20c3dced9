/**
 * The answer of ExecSync as bytes. Each output has up to 16 MiB: a message made by the library holds them three times over, in
 * a buffer that is doubled as it grows, in what is cut from that, and in the output itself, all until a later collection.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { ExecResult } from '../../actors/ports/runtime.ts';
import { freeBytes } from '../../base/byte-blocks.ts';
import { ExecSyncResponseSchema } from '../../gen/runtime/v1/api_pb.ts';
import { varint } from './varint.ts';

/** Fields 1 and 2, each of wire type 2: tag, length, bytes (protobuf encoding, "Length-Delimited Records"). */
const STDOUT_TAG = 0x0a;
const STDERR_TAG = 0x12;

/** In one buffer of its size. The result is used up: the memory of its outputs is given back at once. */
export function execSyncBytes({ exitCode, stdout, stderr }: ExecResult): Uint8Array {
  const tail = toBinary(ExecSyncResponseSchema, create(ExecSyncResponseSchema, { exitCode }));
  const parts = [headOf(STDOUT_TAG, stdout), stdout, headOf(STDERR_TAG, stderr), stderr, tail];
  const answer = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    answer.set(part, at);
    at += part.length;
  }
  for (const output of [stdout, stderr]) freeBytes(output);
  return answer;
}

/** What stands before an output; nothing for an empty one, which proto3 leaves out. */
function headOf(tag: number, { length }: Uint8Array): Uint8Array {
  return length === 0 ? new Uint8Array(0) : Uint8Array.of(tag, ...varint(length));
}
