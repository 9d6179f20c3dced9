/** The socket `<state>/take-over.sock`: daemons that take over, daemons that did before, and `troupe upgrade`. */
import type { Socket } from 'node:net';
import type { ClockPort } from '../../ports/clock.ts';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { DescriptorChannel } from '../../host/io/descriptor-channel.ts';
import { closeFd } from '../../host/io/descriptors.ts';
import { listenPrivately } from '../../host/io/private-socket.ts';
import type { PrivateSocket } from '../../host/io/private-socket.ts';
import { peerOf } from '../../host/io/socket-peer.ts';
import { within } from '../../host/clock/wait.ts';
import { takeOverLimits } from '../bounds.ts';
import { Link } from './link.ts';
import type { Follow, Hello, Upgrade } from './messages.ts';

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
  return listenPrivately({
    path,
    clock,
    log,
    onConnection: (socket) =>
      void accept(socket, options).catch((thrown: unknown) =>
        log.warn({ reason: toFault(thrown).message }, 'serve the take-over socket: failed'),
      ),
  });
}

async function accept(socket: Socket, options: ControlOptions): Promise<void> {
  const { clock, log } = options;
  const peer = peerOf(socket);
  const link = new Link(DescriptorChannel.takeFrom(socket, 'another daemon'), clock);
  // the file is root's, and its mode keeps others out; this is for a mode that was changed
  if (peer === undefined || peer.uid !== process.geteuid?.()) {
    log.warn({ ...peer }, 'take-over refused: not a process of this user');
    await link.report({
      type: 'refused',
      reason: `take over: uid ${peer?.uid ?? 'unknown'} is not the daemon's`,
    });
    return link.close();
  }
  const first = await within({ clock, timeoutMs: takeOverLimits.answerMs }, link.receive());
  if (first === undefined || typeof first === 'string') return link.close();
  for (const fd of first.fds) closeFd(fd);
  const { message } = first;
  if (message.type === 'hello') return options.onHello(link, message, peer.pid);
  if (message.type === 'follow') return options.onFollow(link, message, peer.pid);
  if (message.type === 'upgrade') return options.onUpgrade(link, message);
  return link.close();
}
