/**
 * A descriptor as a source and a sink of bytes, for descriptors without a suitable stream in Node: the master
 * of a pseudo-terminal (Node falls back to writes that block the whole process) and SEQPACKET sockets.
 */
import { closeSync } from 'node:fs';
import type { ByteSink, ByteSource } from '../../base/byte-streams.ts';
import { fail } from '../../base/fault.ts';
import { hostLimits } from '../bounds.ts';
import { KernelError, errnoName } from '../ffi/errno.ts';
import { SHUT_WR } from '../ffi/constants.ts';
import { callSync, libc } from '../ffi/ffi.ts';
import { pollBoth } from './poll.ts';
import type { EdgePoll } from './poll.ts';
import { nextTurn } from '../clock/wait.ts';

/** Buffer of one read; what is kept is copied. Shared by all, since each read ends before the next begins. */
const scratch = Buffer.alloc(hostLimits.streamReadBytes);

export class PolledDescriptor implements ByteSource, ByteSink {
  readonly #fd: number;
  readonly #name: string;
  readonly #packetBytes: number;
  readonly #poll: EdgePoll;
  #isOpen = true;
  #hasEnded = false;
  /** The last read failed with EIO or ECONNRESET. */
  #isClosedOnce = false;
  #reads = 0;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /**
   * Owns the descriptor from now on. `packetBytes`: longest write; on a SEQPACKET socket each write is one
   * packet.
   */
  constructor(fd: number, name: string, packetBytes: number = hostLimits.streamReadBytes) {
    this.#fd = fd;
    this.#name = name;
    this.#packetBytes = packetBytes;
    this.#poll = pollBoth(fd);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** For ioctl; undefined once closed. */
  get fd(): number | undefined {
    return this.#isOpen ? this.#fd : undefined;
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (!this.#isOpen) return undefined;
      if (this.#reads >= hostLimits.readsPerTurn) {
        this.#reads = 0;
        await nextTurn();
        continue;
      }
      this.#reads += 1;
      const { result, errno } = callSync(libc.read, this.#fd, scratch, scratch.length);
      if (result > 0) {
        this.#isClosedOnce = false;
        return Buffer.from(scratch.subarray(0, result));
      }
      if (result === 0) return undefined;
      const code = errnoName(errno);
      // Bytes may follow, and only a second one means that there are no more. EIO: the last slave of the terminal was
      // closed. n_tty_read() checks for input before it checks for the close, so bytes written in between appear at
      // the next read. ECONNRESET: the peer closed its socket before it had read all our bytes. A SEQPACKET socket
      // reports that before the packets that wait (__skb_try_recv_datagram() in the kernel)
      if (code === 'EIO' || code === 'ECONNRESET') {
        if (this.#isClosedOnce) return undefined;
        this.#isClosedOnce = true;
        continue;
      }
      if (code !== 'EAGAIN' && code !== 'EINTR')
        throw new KernelError(`read from ${this.#name}`, errno, this.#name);
      if (code === 'EAGAIN') await this.#untilReadable();
    }
  }

  #untilReadable(): Promise<void> {
    this.#reads = 0;
    return new Promise((resolve) => {
      this.#wakeReader = resolve;
      this.#poll.onceReadable(resolve);
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      if (!this.#isOpen || this.#hasEnded) fail('cancelled', `write to ${this.#name}: closed`);
      const part = bytes.subarray(at, at + this.#packetBytes);
      const { result, errno } = callSync(libc.write, this.#fd, part, part.length);
      if (result >= 0) {
        at += result;
        continue;
      }
      const code = errnoName(errno);
      if (code !== 'EAGAIN' && code !== 'EINTR')
        throw new KernelError(`write to ${this.#name}`, errno, this.#name);
      if (code === 'EAGAIN') await this.#untilWritable();
    }
  }

  #untilWritable(): Promise<void> {
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
      this.#poll.onceWritable(resolve);
    });
  }

  /** Shuts down the direction to the peer of a socket; does nothing on a terminal, which has no such call. */
  end(): void {
    if (this.#hasEnded || !this.#isOpen) return;
    this.#hasEnded = true;
    callSync(libc.shutdown, this.#fd, SHUT_WR);
    this.#wakeWriter?.();
  }

  cancel(): void {
    this.close();
  }

  /** Closes the descriptor; reads end, writes reject. Repeatable. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#poll.close();
    closeSync(this.#fd);
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }
}
