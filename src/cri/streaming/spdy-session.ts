/**
 * The server's side of a SPDY/3.1 session: streams that the client opens.
 *
 * Flow control: the server always sends WINDOW_UPDATE for bytes that it has used. It respects the client's windows only
 * once the client has sent a WINDOW_UPDATE or an initial window: Go's spdystream, which every Kubernetes client uses,
 * never sends one, and a server that respected its windows would stop after 64 KiB. TCP then provides the
 * back-pressure.
 */
import type { Duplex } from 'node:stream';
import type { ClockPort } from '../../ports/clock.ts';
import { FaultError, fail, fault, toFault } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import { streamLimits } from '../bounds.ts';
import {
  RESET,
  SpdyParser,
  goAwayFrame,
  pingFrame,
  resetFrame,
  synReplyFrame,
  windowUpdateFrame,
} from './spdy-frames.ts';
import type { SpdyFrame } from './spdy-frames.ts';
import { HeaderCodec } from './spdy-headers.ts';
import { SpdyStream, Window } from './spdy-stream.ts';
import type { Channel } from './spdy-stream.ts';
import { Intake, Outbox, closeGently, readNoFurther } from './transport.ts';

/** Id of our pings: those of a server are even. */
const PROBE = 2;

export interface SpdyEvents {
  /**
   * The client has opened a stream, which was accepted. A listener that throws ends the session with a protocol error.
   */
  onStream(stream: SpdyStream): void;
  /** The session has ended: the client has disconnected or violated the protocol. Called once. */
  onClose(why: Fault): void;
}

export class SpdySession {
  readonly #transport: Duplex;
  readonly #clock: ClockPort;
  readonly #events: SpdyEvents;
  readonly #parser = new SpdyParser();
  readonly #codec = new HeaderCodec();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #channel: Channel;
  #initialWindow: number = streamLimits.spdyWindowBytes;
  #windowChanges = 0;
  #lastStreamId = 0;
  #isDecoding = false;
  #isClosed = false;
  #isClosing = false;

  /** Reads from the transport from now on; `head` are bytes received together with the upgrade request. */
  constructor(transport: Duplex, head: Buffer, clock: ClockPort, events: SpdyEvents) {
    this.#transport = transport;
    this.#clock = clock;
    this.#events = events;
    readNoFurther(transport);
    const outbox = new Outbox(transport);
    this.#channel = {
      outbox,
      intake: new Intake(transport, clock, () => outbox.send(pingFrame(PROBE))),
      window: new Window(),
      forget: (id) => this.#streams.delete(id),
    };
    transport.on('error', () => undefined);
    transport.on('close', () => this.#closed(fault('cancelled', 'the client has gone')));
    transport.on('end', () => this.#ended());
    transport.on('data', (chunk: Buffer) => this.#take(chunk));
    if (head.length > 0) this.#take(head);
  }

  /** The client has closed its direction of the connection, which means that it has gone: streams end on their own. */
  #ended(): void {
    if (!this.#isClosing) this.#transport.destroy();
  }

  #take(chunk: Buffer): void {
    if (this.#isClosed || this.#isClosing) return;
    this.#channel.intake.came(chunk.length);
    try {
      this.#parser.add(chunk);
      this.#run();
    } catch (error) {
      this.#broken(error);
    }
  }

  /** Handles received frames. Frames after a header block stay unparsed until the block is inflated. */
  #run(): void {
    while (!this.#isDecoding && !this.#isClosed) {
      const before = this.#parser.size;
      const frame = this.#parser.next();
      if (frame !== undefined) this.#handle(frame);
      this.#channel.intake.used(before - this.#parser.size);
      if (frame === undefined) return;
    }
  }

  #handle(frame: SpdyFrame): void {
    switch (frame.kind) {
      case 'data':
        return this.#data(frame.streamId, frame.bytes, frame.fin);
      case 'synStream':
      case 'headers':
        return this.#headers(frame);
      case 'reset':
        return this.#streams
          .get(frame.streamId)
          ?.wasReset(new FaultError(fault('cancelled', 'the client has reset the stream')));
      case 'ping':
        // odd ids are the client's pings; even ids are answers to the probes of the intake
        if (frame.id % 2 === 1) this.#channel.outbox.send(pingFrame(frame.id));
        return;
      case 'windowUpdate':
      case 'settings':
        return this.#windows(frame);
      case 'goAway':
        // the client opens no more streams, and closes when the open ones have ended
        return;
    }
  }

  #data(streamId: number, bytes: Uint8Array, fin: boolean): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) return stream.came(bytes, fin);
    if (streamId > this.#lastStreamId)
      fail('invalidRequest', `read a SPDY frame: data for stream ${streamId}, which was not opened`);
    // data of a stream that has ended meanwhile counts as used
    if (bytes.length > 0) this.#channel.outbox.send(windowUpdateFrame(0, bytes.length));
  }

  #windows(frame: SpdyFrame & { readonly kind: 'windowUpdate' | 'settings' }): void {
    const { window } = this.#channel;
    if (frame.kind === 'settings') {
      if (frame.initialWindow === undefined) return;
      this.#windowChanges += 1;
      if (this.#windowChanges > streamLimits.spdyWindowChanges)
        fail(
          'invalidRequest',
          `read SPDY settings: more than ${streamLimits.spdyWindowChanges} changes of the initial window`,
        );
      const more = frame.initialWindow - this.#initialWindow;
      this.#initialWindow = frame.initialWindow;
      window.isEnforced = true;
      for (const stream of this.#streams.values()) stream.grow(more);
      return;
    }
    window.isEnforced = true;
    if (frame.streamId === 0) window.grow(frame.delta);
    else this.#streams.get(frame.streamId)?.grow(frame.delta);
  }

  #headers(frame: SpdyFrame & { readonly kind: 'synStream' | 'headers' }): void {
    this.#isDecoding = true;
    this.#decode(frame).then(
      () => this.#goOn(),
      (error: unknown) => this.#broken(error),
    );
  }

  async #decode(frame: SpdyFrame & { readonly kind: 'synStream' | 'headers' }): Promise<void> {
    const headers = await this.#codec.decode(frame.block);
    if (frame.kind === 'headers' || this.#isClosed) return;
    const { streamId } = frame;
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId) {
      fail('invalidRequest', `open SPDY stream ${streamId}: invalid stream id`);
    }
    this.#lastStreamId = streamId;
    if (this.#streams.size >= streamLimits.spdyStreams) {
      this.#channel.outbox.send(resetFrame(streamId, RESET.refusedStream));
      return;
    }
    const stream = new SpdyStream(streamId, headers, this.#channel);
    if (this.#initialWindow !== streamLimits.spdyWindowBytes)
      stream.grow(this.#initialWindow - streamLimits.spdyWindowBytes);
    this.#streams.set(streamId, stream);
    this.#channel.outbox.send(synReplyFrame(streamId, await this.#codec.encode(new Map())));
    if (frame.fin) stream.came(Buffer.alloc(0), true);
    if (!this.#isClosed) this.#events.onStream(stream);
  }

  #goOn(): void {
    this.#isDecoding = false;
    try {
      this.#run();
    } catch (error) {
      this.#broken(error);
    }
  }

  #broken(error: unknown): void {
    if (this.#isClosed || this.#isClosing) return;
    this.#channel.outbox.send(goAwayFrame(this.#lastStreamId, 1));
    this.#closed(toFault(error));
    this.#channel.outbox.flush();
    void closeGently(this.#transport, this.#clock);
  }

  #closed(why: Fault): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stream of [...this.#streams.values()]) stream.wasReset(new FaultError(why));
    this.#codec.close();
    this.#events.onClose(why);
  }

  /**
   * Sends GOAWAY after everything written before, and closes. Settles when the transport is closed, as `closeGently`.
   */
  async close(isPatient = false): Promise<void> {
    if (!this.#isClosing && !this.#isClosed) this.#channel.outbox.send(goAwayFrame(this.#lastStreamId, 0));
    this.#isClosing = true;
    this.#channel.outbox.flush();
    await closeGently(this.#transport, this.#clock, isPatient);
  }
}
