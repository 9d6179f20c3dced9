/** A connection over which messages and descriptors go: between two daemons, or a command and a daemon. */
import type { ClockPort } from '../../ports/clock.ts';
import { fail, toFault } from '../../base/fault.ts';
import { ByteBlocks } from '../../base/byte-blocks.ts';
import { jsonObject } from '../../base/json-object.ts';
import { codeOf } from '../../host/ffi/errno.ts';
import { closeFd } from '../../host/io/descriptors.ts';
import { DescriptorChannel } from '../../host/io/descriptor-channel.ts';
import { within } from '../../host/clock/wait.ts';
import { hostLimits } from '../../host/bounds.ts';
import { takeOverLimits } from '../bounds.ts';
import { isMessage } from './messages.ts';
import type { Message } from './messages.ts';

export interface Received {
  readonly message: Message;
  /** Owned by the receiver. Only `released` has any, where it is expected. */
  readonly fds: readonly number[];
}

/** What carries the frames: a socket, or its twin in the simulation. */
export type FrameChannel = Pick<DescriptorChannel, 'send' | 'receive' | 'close'>;

/** First byte of a frame: whether the message goes on in the next one. */
const [LAST, MORE] = [0, 1];
const MESSAGE_BYTES = takeOverLimits.frames * takeOverLimits.frameBytes;

export class Link {
  readonly #channel: FrameChannel;
  readonly #clock: ClockPort;

  constructor(channel: FrameChannel, clock: ClockPort) {
    this.#channel = channel;
    this.#clock = clock;
  }

  /** Throws KernelError when nobody listens at the path. */
  static dial(path: string, clock: ClockPort): Link {
    return new Link(DescriptorChannel.dial(path), clock);
  }

  /** The other side gets duplicates of the descriptors. Throws when it has gone, or does not read. */
  async send(message: Message, fds: readonly number[] = []): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(message), 'utf8');
    const most = takeOverLimits.frameBytes;
    for (let at = 0; at === 0 || at < bytes.length; at += most) {
      const isLast = at + most >= bytes.length;
      const frame = Buffer.concat([Buffer.of(isLast ? LAST : MORE), bytes.subarray(at, at + most)]);
      const sent = this.#channel.send(frame, at === 0 ? fds : []);
      const bound = { clock: this.#clock, timeoutMs: takeOverLimits.answerMs };
      if ((await within(bound, sent)) !== 'timedOut') continue;
      // a part of the frame may have gone: nothing can follow it
      this.close();
      fail('timedOut', `send ${message.type} to the other daemon: it does not read`);
    }
  }

  /**
   * The next message; undefined when the other side has gone. Descriptors that came with it are closed: nobody has
   * asked for them. Throws `outside` for what is no message, and for one of more bytes.
   */
  async receive(bytesMax: number = MESSAGE_BYTES): Promise<Received | undefined> {
    const received = await this.#receive(bytesMax);
    for (const fd of received?.fds ?? []) closeFd(fd);
    return received === undefined ? undefined : { message: received.message, fds: [] };
  }

  async #receive(bytesMax: number): Promise<Received | undefined> {
    const parts = new ByteBlocks('read a message of the other daemon', bytesMax);
    let frames = 0;
    const fds: number[] = [];
    for (;;) {
      frames += 1;
      const frame = await this.#channel.receive().catch((thrown: unknown) => {
        for (const fd of fds) closeFd(fd);
        throw thrown;
      });
      if (frame === undefined) {
        for (const fd of fds) closeFd(fd);
        return undefined;
      }
      fds.push(...frame.fds);
      if (frames > takeOverLimits.frames || parts.size + frame.bytes.length > bytesMax)
        this.#refuse(fds, 'it is too long');
      if (fds.length > hostLimits.messageDescriptors) this.#refuse(fds, `it has ${fds.length} descriptors`);
      parts.append(frame.bytes.subarray(1));
      if (frame.bytes[0] !== MORE) break;
    }
    const value = jsonObject(Buffer.from(parts.takeAll()).toString('utf8'));
    return value !== undefined && isMessage(value)
      ? { message: value, fds }
      : this.#refuse(fds, 'its form is wrong');
  }

  /** The next message, which must have this type. Throws `outside` for another one, and `timedOut`. */
  async expect<T extends Message['type']>(
    type: T,
    timeoutMs: number,
  ): Promise<{ readonly message: Extract<Message, { type: T }>; readonly fds: readonly number[] }> {
    const { message, fds } = await this.#within(timeoutMs, type);
    // no other message has any
    const asked = message.type === type && type === 'released' ? fds : [];
    if (asked !== fds) for (const fd of fds) closeFd(fd);
    if (message.type === 'refused') fail('conflict', message.reason);
    if (message.type !== type) this.#refuse(asked, `${message.type} in place of ${type}`);
    return { message: message as Extract<Message, { type: T }>, fds: asked };
  }

  /** The next message of a daemon that sends no descriptors. Throws `outside` when it has gone, and `timedOut`. */
  async next(timeoutMs: number): Promise<Message> {
    const { message, fds } = await this.#within(timeoutMs, 'a message');
    for (const fd of fds) closeFd(fd);
    return message;
  }

  /** Sends it if the other side is still there. */
  async report(message: Message): Promise<void> {
    await this.send(message).catch((thrown: unknown) => void toFault(thrown));
  }

  /** Repeatable. */
  close(): void {
    this.#channel.close();
  }

  async #within(timeoutMs: number, what: string): Promise<Received> {
    const receiving = this.#receive(MESSAGE_BYTES);
    const received = await within({ clock: this.#clock, timeoutMs }, receiving);
    if (received === 'timedOut' || received === 'cancelled') {
      // it may come yet
      void receiving.then((late) => late?.fds.forEach(closeFd)).catch(() => undefined);
      return fail('timedOut', `wait for ${what} of the other daemon: nothing in ${timeoutMs / 1000} s`);
    }
    return received ?? fail('outside', `wait for ${what}: the other daemon has gone`);
  }

  #refuse(fds: readonly number[], reason: string): never {
    for (const fd of fds) closeFd(fd);
    this.close();
    return fail('outside', `read a message of the other daemon: ${reason}`);
  }
}

/** Undefined when nobody listens at the path. */
export function dialDaemon(path: string, clock: ClockPort): Link | undefined {
  try {
    return Link.dial(path, clock);
  } catch (thrown) {
    // a path that is too long for a socket is that of none
    if (toFault(thrown).kind === 'unsupported') return undefined;
    if (['ENOENT', 'ECONNREFUSED'].includes(codeOf(thrown) ?? '')) return undefined;
    throw thrown;
  }
}
