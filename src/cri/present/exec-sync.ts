/**
 * The answer of ExecSync. Each output has up to 16 MiB. The protobuf library would keep them in memory three times
 * until the next garbage collection: in a growing buffer, in the slice of it that is the message, and in the output
 * itself.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { ExecResult } from '../../ports/runtime.ts';
import { ExecSyncResponseSchema } from '../../gen/runtime/v1/api_pb.ts';
import { lengthOf, MovedMessage } from '../call/moved-message.ts';
import { varint } from './varint.ts';

/** Tags of fields 1 and 2 of wire type 2; length and bytes follow (protobuf encoding, "Length-Delimited Records"). */
const STDOUT_TAG = 0x0a;
const STDERR_TAG = 0x12;

/** Encodes the result and consumes it: its outputs are moved into the buffer that is sent. */
export function execSyncMessage({ exitCode, stdout, stderr }: ExecResult): MovedMessage {
  const tail = toBinary(ExecSyncResponseSchema, create(ExecSyncResponseSchema, { exitCode }));
  return new MovedMessage([
    headOf(STDOUT_TAG, lengthOf(stdout)),
    stdout,
    headOf(STDERR_TAG, lengthOf(stderr)),
    stderr,
    tail,
  ]);
}

/** Tag and length of an output; nothing for an empty output, which proto3 leaves out. */
function headOf(tag: number, length: number): Uint8Array {
  return length === 0 ? new Uint8Array(0) : Uint8Array.of(tag, ...varint(length));
}
