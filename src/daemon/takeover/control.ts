/** The socket `<state>/take-over.sock`: daemons that take over, daemons that did before, and `troupe upgrade`. */
import type { Socket } from 'node:net';
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { DescriptorChannel } from '../../host/io/descriptor-channel.ts';
import { listenPrivately } from '../../host/io/private-socket.ts';
import type { PrivateSocket } from '../../host/io/private-socket.ts';
import { peerOf } from '../../host/io/socket-peer.ts';
import type { SocketPeer } from '../../host/io/socket-peer.ts';
import { within } from '../../host/clock/wait.ts';
import { takeOverLimits } from '../bounds.ts';
import { Link } from './link.ts';
import { TAKE_OVER_PROTOCOL } from './messages.ts';
import type { Follow, Hello, Message, Upgrade } from './messages.ts';

export interface ControlOptions {
  readonly path: string;
  readonly clock: ClockPort;
  readonly log: Log;
  /** Each owns the link, and must not reject. */
  readonly onHello: (link: Link, hello: Hello, pid: number) => Promise<void>;
  readonly onFollow: (link: Link, follow: Follow, pid: number) => Promise<void>;
  readonly onUpgrade: (link: Link, upgrade: Upgrade) => Promise<void>;
}

/** Listens until closed. Throws FaultError when another process listens there. */
export function listenForControl(options: ControlOptions): Promise<PrivateSocket> {
  const { path, clock, log } = options;
  let silent = 0;
  const accept = async (socket: Socket): Promise<void> => {
    if (silent >= takeOverLimits.silentPeers) return void socket.destroy();
    const peer = peerOf(socket);
    const link = new Link(DescriptorChannel.takeFrom(socket, 'another daemon'), clock);
    silent += 1;
    const first = await firstOf(link, peer, options).finally(() => (silent -= 1));
    if (first === undefined || peer === undefined) return link.close();
    return serve(link, first, peer.pid, options);
  };
  return listenPrivately({
    path,
    clock,
    log,
    onConnection: (socket) =>
      void accept(socket).catch((thrown: unknown) =>
        log.warn({ reason: toFault(thrown).message }, 'serve the take-over socket: failed'),
      ),
  });
}

/** What the peer says first; undefined if it may not, or says nothing. Closes the link if it throws. */
async function firstOf(
  link: Link,
  peer: SocketPeer | undefined,
  { clock, log }: ControlOptions,
): Promise<Message | undefined> {
  // the file is root's, and its mode keeps others out; this is for a mode that was changed
  if (peer === undefined || peer.uid !== process.geteuid?.()) {
    log.warn({ ...peer }, 'take-over refused: not a process of this user');
    await link.report({
      type: 'refused',
      reason: `take over: uid ${peer?.uid ?? 'unknown'} is not the daemon's`,
    });
    return undefined;
  }
  const { answerMs, firstBytes } = takeOverLimits;
  try {
    const first = await within({ clock, timeoutMs: answerMs }, link.receive(firstBytes));
    return typeof first === 'object' ? first.message : undefined;
  } catch (thrown) {
    link.close();
    throw thrown;
  }
}

async function serve(link: Link, message: Message, pid: number, options: ControlOptions): Promise<void> {
  if (message.type === 'hello') return options.onHello(link, message, pid);
  if (message.type !== 'follow' && message.type !== 'upgrade') return link.close();
  // a hello is refused with the other reasons, and logged
  if (message.protocol !== TAKE_OVER_PROTOCOL) {
    await link.report({ type: 'refused', reason: protocolRefusal(message.protocol) });
    return link.close();
  }
  return message.type === 'follow' ? options.onFollow(link, message, pid) : options.onUpgrade(link, message);
}

/** Why whoever speaks another protocol is refused. */
export function protocolRefusal(protocol: number): string {
  return `take over: protocol ${protocol}, the daemon that runs speaks ${TAKE_OVER_PROTOCOL}: stop it first`;
}
