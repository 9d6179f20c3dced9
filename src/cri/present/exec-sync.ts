/**
 * The answer of ExecSync. Each output has up to 16 MiB: a message made by the library holds them three times over, in a buffer
 * that is doubled as it grows, in what is cut from that, and in the output itself, all until a later collection.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { ExecResult } from '../../ports/runtime.ts';
import { ExecSyncResponseSchema } from '../../gen/runtime/v1/api_pb.ts';
import { lengthOf, MovedMessage } from '../call/moved-message.ts';
import { varint } from './varint.ts';

/** Fields 1 and 2, each of wire type 2: tag, length, bytes (protobuf encoding, "Length-Delimited Records"). */
const STDOUT_TAG = 0x0a;
const STDERR_TAG = 0x12;

/** The result is used up: its outputs are moved to where the message is sent from. */
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

/** What stands before an output; nothing for an empty one, which proto3 leaves out. */
function headOf(tag: number, length: number): Uint8Array {
  return length === 0 ? new Uint8Array(0) : Uint8Array.of(tag, ...varint(length));
}
