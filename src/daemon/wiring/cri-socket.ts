/** The CRI socket: private, put back when its file goes, and whoever connects as another user than root is named. */
import type { Socket } from 'node:net';
import type { Ports } from '../../ports/ports.ts';
import { socketLimits } from '../../host/bounds.ts';
import type { CriServerOptions } from '../../cri/call/server.ts';
import { listenPrivately } from '../../host/io/private-socket.ts';
import { peerOf } from '../../host/io/socket-peer.ts';
import type { SocketPeer } from '../../host/io/socket-peer.ts';

/**
 * Says in the log who uses the CRI socket beside root and the daemon's own user, which a kubelet without root has: they
 * are root on the node by it. Each user is named once. Gives what is called with each connection.
 */
export function nameOtherUsers(log: Ports['log'], ownUid: number): (socket: Socket) => void {
  const seen = new Set<number>([0, ownUid]);
  return (socket) => {
    const peer = peerOf(socket);
    if (peer === undefined || seen.has(peer.uid) || seen.size >= socketLimits.namedUsers) return;
    seen.add(peer.uid);
    log.warn({ ...peer }, `uid ${peer.uid} uses the CRI socket: whoever can is root on this node`);
  };
}

/** For `startCriServer`; `onTaken` as in PrivateSocketOptions. */
export function criSocket(
  path: string,
  { clock, log }: Pick<Ports, 'clock' | 'log'>,
  onTaken: (listener: SocketPeer) => void,
): CriServerOptions['listen'] {
  const name = nameOtherUsers(log, process.geteuid?.() ?? 0);
  return (onConnection) =>
    listenPrivately({
      path,
      clock,
      log,
      onTaken,
      onConnection: (socket) => {
        name(socket);
        onConnection(socket);
      },
    });
}
