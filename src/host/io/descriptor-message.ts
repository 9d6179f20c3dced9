/**
 * Messages with descriptors over a Unix socket: SCM_RIGHTS (unix(7)), which Node does not have. Never blocks: the
 * caller waits by `pollBoth`. The layout of the structs is the same on x86-64 and arm64 (glibc's bits/socket.h).
 */
import { closeSync } from 'node:fs';
import { assert } from '../../base/assert.ts';
import { hostLimits } from '../bounds.ts';
import {
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SCM_RIGHTS,
  SOL_SOCKET,
} from '../ffi/constants.ts';
import { addressOf, callSync, libc } from '../ffi/ffi.ts';
import type { SyscallResult } from '../ffi/ffi.ts';

/** struct msghdr: name, its length, iov, their count, control, its length, flags. One struct iovec follows it. */
const NAME_OFFSET = 0;
const NAME_LENGTH_OFFSET = 8;
const VECTORS_OFFSET = 16;
const VECTOR_COUNT_OFFSET = 24;
const CONTROL_OFFSET = 32;
const CONTROL_LENGTH_OFFSET = 40;
const FLAGS_OFFSET = 48;
/** struct iovec: address and length. */
const VECTOR_OFFSET = 56;
const HEADER_BYTES = 72;
/** struct cmsghdr: length (8 bytes), level, type (4 each); the descriptors follow. */
const CONTROL_HEADER_BYTES = 16;

export interface MessageParts {
  readonly bytes: Uint8Array;
  /** Descriptors that the receiver gets duplicates of; the caller keeps its own. */
  readonly fds?: readonly number[];
  /** A struct sockaddr, for a socket that is not connected. */
  readonly address?: Uint8Array;
}

/**
 * Sends one message. The result is the number of bytes that the kernel took: on a stream socket maybe fewer than
 * given, and the descriptors went with the first of them. EAGAIN when the receiver has no room.
 */
export function sendMessage(socket: number, parts: MessageParts): SyscallResult {
  return callSync(libc.sendmsg, socket, messageOf(parts), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/** A struct msghdr with everything that it points to in the same buffer: a call that keeps its argument keeps all. */
export function messageOf({ bytes, fds = [], address }: MessageParts): Buffer {
  assert(fds.length <= hostLimits.messageDescriptors, `send ${fds.length} descriptors: too many`);
  assert(bytes.length > 0, 'descriptors need at least one byte to go with');
  const control = fds.length === 0 ? 0 : controlBytes(fds.length);
  const message = makeMessage(control, bytes.length, address);
  message.set(bytes, HEADER_BYTES + control);
  if (fds.length > 0) {
    message.writeBigUInt64LE(BigInt(CONTROL_HEADER_BYTES + 4 * fds.length), HEADER_BYTES);
    message.writeInt32LE(SOL_SOCKET, HEADER_BYTES + 8);
    message.writeInt32LE(SCM_RIGHTS, HEADER_BYTES + 12);
    for (const [at, fd] of fds.entries())
      message.writeInt32LE(fd, HEADER_BYTES + CONTROL_HEADER_BYTES + 4 * at);
  }
  return message;
}

export interface ReceivedMessage {
  /** Empty at the end of a stream. */
  readonly bytes: Buffer;
  /** Owned by the caller, and close-on-exec from their first moment on. */
  readonly fds: readonly number[];
  /** Not 0: nothing was received, such as EAGAIN. */
  readonly errno: number;
  /** The sender sent more descriptors than `hostLimits.messageDescriptors`; the kernel has closed the others. */
  readonly isCut: boolean;
}

/** Receives one message, or what has come of a stream: at most `hostLimits.messageReadBytes`. */
export function receiveMessage(socket: number): ReceivedMessage {
  const control = controlBytes(hostLimits.messageDescriptors);
  const message = makeMessage(control, hostLimits.messageReadBytes);
  const { result, errno } = callSync(libc.recvmsg, socket, message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (result < 0) return { bytes: message.subarray(0, 0), fds: [], errno, isCut: false };
  const received = Number(message.readBigUInt64LE(CONTROL_LENGTH_OFFSET));
  const fds = descriptorsIn(message.subarray(HEADER_BYTES, HEADER_BYTES + received));
  const isCut = (message.readInt32LE(FLAGS_OFFSET) & MSG_CTRUNC) !== 0;
  const from = HEADER_BYTES + control;
  return { bytes: message.subarray(from, from + result), fds, errno: 0, isCut };
}

/** Closes descriptors that nobody uses. */
export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}

/** All of one control message: the kernel makes one for all descriptors of a message. */
function descriptorsIn(control: Buffer): number[] {
  if (control.length < CONTROL_HEADER_BYTES) return [];
  if (control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return [];
  const end = Math.min(Number(control.readBigUInt64LE(0)), control.length);
  const fds: number[] = [];
  for (let at = CONTROL_HEADER_BYTES; at + 4 <= end; at += 4) fds.push(control.readInt32LE(at));
  return fds;
}

/** CMSG_SPACE: a multiple of 8. */
function controlBytes(descriptors: number): number {
  return CONTROL_HEADER_BYTES + 8 * Math.ceil((4 * descriptors) / 8);
}

/** struct msghdr with its vector; then `control` bytes, `content` bytes and the address, to which it points. */
function makeMessage(control: number, content: number, address?: Uint8Array): Buffer {
  const message = Buffer.alloc(HEADER_BYTES + control + content + (address?.length ?? 0));
  const at = (offset: number): bigint => addressOf(message) + BigInt(offset);
  message.writeBigUInt64LE(at(VECTOR_OFFSET), VECTORS_OFFSET);
  message.writeBigUInt64LE(1n, VECTOR_COUNT_OFFSET);
  message.writeBigUInt64LE(at(HEADER_BYTES + control), VECTOR_OFFSET);
  message.writeBigUInt64LE(BigInt(content), VECTOR_OFFSET + 8);
  if (control > 0) {
    message.writeBigUInt64LE(at(HEADER_BYTES), CONTROL_OFFSET);
    message.writeBigUInt64LE(BigInt(control), CONTROL_LENGTH_OFFSET);
  }
  if (address !== undefined) {
    message.set(address, HEADER_BYTES + control + content);
    message.writeBigUInt64LE(at(HEADER_BYTES + control + content), NAME_OFFSET);
    message.writeUInt32LE(address.length, NAME_LENGTH_OFFSET);
  }
  return message;
}
