/**
 * Frames with descriptors, both ways over a stream socket: between two daemons of one node. A frame has its length
 * and the number of its descriptors before its bytes, since the kernel keeps no boundaries in a stream.
 */
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from '../ffi/constants.ts';
import { KernelError, errnoName, must } from '../ffi/errno.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { closeAll, receiveMessage, sendMessage } from './descriptor-message.ts';
import { duplicateOf } from './listening.ts';
import { pollBoth } from './poll.ts';
import type { EdgePoll } from './poll.ts';
import { unixAddress } from './unix-address.ts';

/** Length of the bytes and number of descriptors, 4 bytes each. */
const FRAME_HEADER_BYTES = 8;

export interface DescriptorFrame {
  readonly bytes: Buffer;
  /** Owned by whoever takes the frame. */
  readonly fds: readonly number[];
}

export class DescriptorChannel {
  readonly #fd: number;
  readonly #name: string;
  readonly #poll: EdgePoll;
  #isOpen = true;
  #received: Buffer = Buffer.alloc(0);
  #fds: number[] = [];
  #reading: Promise<unknown> = Promise.resolve();
  #writing: Promise<unknown> = Promise.resolve();
  #wakeReader: () => void = () => undefined;
  #wakeWriter: () => void = () => undefined;

  /** Owns the descriptor, a connected stream socket, from now on. `name` is for messages of errors. */
  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#name = name;
    this.#poll = pollBoth(fd);
  }

  /** Takes the connection away from Node; only within the listener of its server, before anything was read. */
  static takeFrom(socket: Socket, name: string): DescriptorChannel {
    const fd = duplicateOf(socket);
    socket.destroy();
    return new DescriptorChannel(fd, name);
  }

  /** Throws KernelError, ECONNREFUSED or ENOENT when nobody listens at the path. */
  static dial(path: string): DescriptorChannel {
    const address = unixAddress(path);
    const type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    const fd = must(callSync(libc.socket, AF_UNIX, type, 0), 'make a socket to', path);
    try {
      must(callSync(libc.connect, fd, address, address.length), 'connect to', path);
    } catch (thrown) {
      closeSync(fd);
      throw thrown;
    }
    return new DescriptorChannel(fd, path);
  }

  /**
   * Sends one frame; the peer gets duplicates of the descriptors, and the caller closes its own once this has
   * settled. Frames are sent in the order of the calls. Throws KernelError when the peer is gone, `cancelled` when
   * closed.
   */
  send(bytes: Uint8Array, fds: readonly number[] = []): Promise<void> {
    const most = hostLimits.messageFrameBytes;
    if (bytes.length > most)
      fail('exhausted', `send to ${this.#name}: ${bytes.length} bytes, ${most} at most`);
    const frame = Buffer.alloc(FRAME_HEADER_BYTES + bytes.length);
    frame.writeUInt32LE(bytes.length, 0);
    frame.writeUInt32LE(fds.length, 4);
    frame.set(bytes, FRAME_HEADER_BYTES);
    const sent = this.#writing.then(() => this.#send(frame, fds));
    this.#writing = sent.catch(() => undefined);
    return sent;
  }

  async #send(frame: Buffer, fds: readonly number[]): Promise<void> {
    for (let at = 0; at < frame.length;) {
      this.#mustBeOpen('send to');
      const part = { bytes: frame.subarray(at), fds: at === 0 ? fds : [] };
      const { result, errno } = sendMessage(this.#fd, part);
      if (result >= 0) at += result;
      else
        await this.#afterError('send to', errno, (ready) => {
          this.#wakeWriter = ready;
          this.#poll.onceWritable(ready);
        });
    }
  }

  /**
   * The next frame; undefined when the peer has closed its side after a whole one, or this channel was closed. Throws
   * `outside` for anything that is not a frame within the bounds; the channel is then closed.
   */
  receive(): Promise<DescriptorFrame | undefined> {
    const received = this.#reading.then(() => this.#receive());
    this.#reading = received.catch(() => undefined);
    return received;
  }

  async #receive(): Promise<DescriptorFrame | undefined> {
    for (;;) {
      if (!this.#isOpen) return undefined;
      const frame = this.#take();
      if (frame !== undefined) return frame;
      const { bytes, fds, errno, isCut } = receiveMessage(this.#fd);
      if (errno !== 0) {
        // the peer ended with unread bytes of ours
        if (errnoName(errno) === 'ECONNRESET') return this.#end();
        await this.#afterError('receive from', errno, (ready) => {
          this.#wakeReader = ready;
          this.#poll.onceReadable(ready);
        });
        continue;
      }
      this.#fds.push(...fds);
      // those of the frame that is read, and of the one that begins in the same read
      if (isCut || this.#fds.length > 2 * hostLimits.messageDescriptors) this.#refuse('too many descriptors');
      if (bytes.length === 0) return this.#end();
      this.#received = Buffer.concat([this.#received, bytes]);
    }
  }

  #take(): DescriptorFrame | undefined {
    if (this.#received.length < FRAME_HEADER_BYTES) return undefined;
    const [length, count] = [this.#received.readUInt32LE(0), this.#received.readUInt32LE(4)];
    if (length > hostLimits.messageFrameBytes) this.#refuse(`a frame of ${length} bytes`);
    if (count > hostLimits.messageDescriptors) this.#refuse(`a frame with ${count} descriptors`);
    const end = FRAME_HEADER_BYTES + length;
    if (this.#received.length < end) return undefined;
    // the descriptors come with the frame's first byte at the latest
    if (this.#fds.length < count) this.#refuse(`${this.#fds.length} descriptors, ${count} announced`);
    const bytes = Buffer.from(this.#received.subarray(FRAME_HEADER_BYTES, end));
    this.#received = this.#received.subarray(end);
    return { bytes, fds: this.#fds.splice(0, count) };
  }

  /** After the peer's end. */
  #end(): undefined {
    if (this.#received.length > 0) this.#refuse('ended within a frame');
    return undefined;
  }

  #refuse(reason: string): never {
    this.close();
    return fail('outside', `receive from ${this.#name}: ${reason}`, { subject: this.#name });
  }

  async #afterError(attempted: string, errno: number, watch: (ready: () => void) => void): Promise<void> {
    const code = errnoName(errno);
    if (code === 'EAGAIN') await new Promise<void>((resolve) => watch(resolve));
    else if (code !== 'EINTR') throw new KernelError(`${attempted} ${this.#name}`, errno, this.#name);
  }

  #mustBeOpen(attempted: string): void {
    if (!this.#isOpen) fail('cancelled', `${attempted} ${this.#name}: closed`);
  }

  /** Closes the socket and the descriptors that nobody has taken; sends reject, receives end. Repeatable. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#poll.close();
    closeSync(this.#fd);
    closeAll(this.#fds.splice(0));
    this.#wakeReader();
    this.#wakeWriter();
  }
}
