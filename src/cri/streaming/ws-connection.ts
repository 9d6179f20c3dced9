/** A WebSocket to a peer: receives messages, sends frames, answers pings, and bounds the closing handshake. */
import { createHash } from 'node:crypto';
import { Duplex } from 'node:stream';
import type { ClockPort } from '../../ports/clock.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { FaultError, fail, fault, toFault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import { countIn, shareOf } from './inbound-quota.ts';
import type { InboundShare } from './inbound-quota.ts';
import { CLOSE, OPCODE, WsParser, closePayload, frameHead, maskedFrame } from './ws-frames.ts';
import type { WsMessage } from './ws-frames.ts';
import { Intake, Outbox, closeGently, readNoFurther } from './transport.ts';

/** The GUID of the handshake (RFC 6455, 1.3). */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The Sec-WebSocket-Accept header for a client's key. */
export function acceptKey(key: string): string {
  return createHash('sha1').update(`${key}${GUID}`).digest('base64');
}

export interface WsEvents {
  /** A message, or a piece of one; `isContinued` for a piece that is not its first. */
  onMessage(bytes: Buffer, isContinued: boolean): void;
  /** The peer has disconnected, closed, or violated the protocol. Called once. */
  onClose(why: Fault): void;
}

export class WsConnection {
  readonly intake: Intake;
  /** The account in which the peer's unread bytes are counted. */
  readonly share: InboundShare | undefined;
  readonly #transport: Duplex;
  readonly #clock: ClockPort;
  readonly #outbox: Outbox;
  readonly #parser: WsParser;
  readonly #newMask: (() => Buffer) | undefined;
  #events: WsEvents | undefined;
  #head: Buffer;
  #isClosed = false;
  #hasSentClose = false;

  /**
   * Reads nothing before `listen`. `head` are bytes received together with the upgrade request. `isWhole`: messages are
   * passed on complete, not in pieces. With `newMask` this end is the client, which masks its frames.
   */
  constructor(transport: Duplex, head: Buffer, clock: ClockPort, isWhole = false, newMask?: () => Buffer) {
    this.#parser = new WsParser(!isWhole, newMask === undefined ? 'client' : 'server');
    this.#newMask = newMask;
    this.#transport = transport;
    this.share = shareOf(transport);
    this.#clock = clock;
    this.#outbox = new Outbox(transport);
    this.intake = new Intake(
      transport,
      clock,
      () => this.#hasSentClose || this.#send(OPCODE.ping, Buffer.alloc(0)),
    );
    this.#head = head;
    readNoFurther(transport);
    transport.on('error', () => undefined);
  }

  listen(events: WsEvents): void {
    this.#events = events;
    this.#transport.on('close', () => this.#closed(fault('cancelled', 'the client has gone')));
    // the end of the input without a close frame means that the client has gone
    this.#transport.on('end', () => this.#closed(fault('cancelled', 'the client has gone')));
    this.#take(this.#head);
    this.#head = Buffer.alloc(0);
    this.#transport.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  #take(chunk: Buffer): void {
    if (this.#isClosed) return;
    try {
      for (const message of this.#parser.push(chunk)) this.#message(message);
    } catch (error) {
      const why = toFault(error);
      void this.close(why.kind === 'exhausted' ? CLOSE.tooBig : CLOSE.protocolError, why.message);
      this.#closed(why);
    }
  }

  #message(message: WsMessage): void {
    if (this.#isClosed) return;
    if (message.kind === 'message') this.#events?.onMessage(message.bytes, message.isContinued === true);
    else if (message.kind === 'ping') this.#send(OPCODE.pong, message.bytes);
    else if (message.kind === 'close') {
      void this.close(message.code === 1005 ? CLOSE.normal : message.code, '');
      this.#closed(fault('cancelled', 'the client has closed the connection'));
    }
  }

  /** Sends one message; resolves when more may be written. */
  async write(isText: boolean, ...parts: readonly Uint8Array[]): Promise<void> {
    if (this.#hasSentClose) fail('cancelled', 'write to a WebSocket: it was closed');
    await this.#outbox.write(...this.#frame(isText ? OPCODE.text : OPCODE.binary, parts));
  }

  /** A small frame, which is not waited for. False when the peer has gone. */
  #send(opcode: number, payload: Uint8Array): boolean {
    return this.#outbox.send(...this.#frame(opcode, [payload]));
  }

  #frame(opcode: number, parts: readonly Uint8Array[]): readonly Uint8Array[] {
    if (this.#newMask !== undefined) return [maskedFrame(opcode, this.#newMask(), parts)];
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    return [frameHead(opcode, length), ...parts];
  }

  #closed(why: Fault): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events?.onClose(why);
  }

  /**
   * Sends a close frame after everything written before, and closes. Settles when the transport is closed, as
   * `closeGently`.
   */
  async close(code: number, reason: string, isPatient = false): Promise<void> {
    if (!this.#hasSentClose) {
      this.#hasSentClose = true;
      this.#send(OPCODE.close, closePayload(code, reason));
    }
    this.#outbox.flush();
    await closeGently(this.#transport, this.#clock, isPatient);
  }
}

/**
 * The byte stream that a WebSocket's binary messages carry, regardless of message boundaries (the tunnel of KEP-4006).
 * SPDY runs on it as on a socket.
 */
export function tunnel(connection: WsConnection): Duplex {
  const { intake, share } = connection;
  const unread = new ByteBlocks('read a tunnel', streamLimits.unparsedBytes);
  let isWanted = false;
  let hasEnded = false;
  const pass = (): void => {
    while (isWanted) {
      const bytes = unread.shift();
      if (bytes === undefined) {
        if (hasEnded) stream.push(null);
        return;
      }
      isWanted = stream.push(bytes);
      intake.used(bytes.length);
    }
  };
  const stream = new Duplex({
    allowHalfOpen: true,
    read(): void {
      isWanted = true;
      pass();
    },
    write(chunk: Buffer, _encoding, done): void {
      connection.write(false, chunk).then(() => done(), done);
    },
    writev(chunks, done): void {
      connection.write(false, ...chunks.map(({ chunk }) => chunk as Buffer)).then(() => done(), done);
    },
    final(done): void {
      connection.close(CLOSE.normal, '').then(() => done(), done);
    },
    destroy(error, done): void {
      void connection.close(CLOSE.normal, '');
      done(error);
    },
  });
  if (share !== undefined) countIn(stream, share);
  connection.listen({
    onMessage(bytes): void {
      // the WebSocket is paused while the reader of the tunnel is
      intake.came(bytes.length);
      unread.append(bytes);
      pass();
    },
    onClose(why): void {
      hasEnded = true;
      if (why.kind === 'cancelled') pass();
      else stream.destroy(new FaultError(why));
    },
  });
  return stream;
}
