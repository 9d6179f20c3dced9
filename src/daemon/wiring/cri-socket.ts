/** The CRI socket: root only, made again when its file is removed, with a log line about clients of other users. */
import type { Socket } from 'node:net';
import type { Ports } from '../../ports/ports.ts';
import { socketLimits } from '../../host/bounds.ts';
import { listenPrivately } from '../../host/io/private-socket.ts';
import type { PrivateSocket } from '../../host/io/private-socket.ts';
import { peerOf } from '../../host/io/socket-peer.ts';
import type { ListeningSockets } from './listening-sockets.ts';
import type { SocketPeer } from '../../host/io/socket-peer.ts';

/**
 * Logs clients of the CRI socket that are neither root nor the daemon's own user (a rootless kubelet's): access to the
 * socket makes them root on the node. Each user is logged once. Returns the function to call with each connection.
 */
export function nameOtherUsers(log: Ports['log'], ownUid: number): (socket: Socket) => void {
  const seen = new Set<number>([0, ownUid]);
  return (socket) => {
    const peer = peerOf(socket);
    if (peer === undefined || seen.has(peer.uid) || seen.size >= socketLimits.namedUsers) return;
    seen.add(peer.uid);
    log.warn({ ...peer }, `uid ${peer.uid} uses the CRI socket: access to it is root access to this node`);
  };
}

/** Listens on the CRI's socket; `onTaken` and `given` as in PrivateSocketOptions. */
export function criSocket(
  path: string,
  { clock, log }: Pick<Ports, 'clock' | 'log'>,
  sockets: ListeningSockets,
  onTaken: (listener: SocketPeer) => void,
): (onConnection: (socket: Socket) => void) => Promise<PrivateSocket> {
  const name = nameOtherUsers(log, process.geteuid?.() ?? 0);
  return (onConnection) =>
    listenPrivately({
      path,
      clock,
      log,
      onTaken,
      ...sockets.optionsFor('cri'),
      onConnection: (socket) => {
        name(socket);
        onConnection(socket);
      },
    });
}
