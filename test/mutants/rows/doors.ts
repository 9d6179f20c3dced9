// Guards of what listens: peers that are half open, the files of sockets, who connects.
import type { Mutant } from '../mutant.ts';

const halfOpen = 'test/unit/base/half-open.test.ts';
const cri = 'test/integration/cri-server/half-open.test.ts';
const http = 'test/unit/introspection-web/half-open.test.ts';
const file = 'test/integration/cri-server/socket-file.test.ts';

const late = 'test/unit/daemon/optional-part.test.ts';

export const ofDoors: readonly Mutant[] = [
  {
    row: 'F90', title: 'no socket where there are no hard links', file: 'src/host/private-socket.ts',
    find: "&& !NO_HARD_LINKS.has(codeOf(error) ?? '')", replace: '',
    test: { file: 'test/unit/host/private-socket.test.ts', named: 'F90: a file system without hard links' },
  },
  {
    row: 'F89', title: 'a part that comes after the end stays open', file: 'src/daemon/optional-part.ts',
    find: 'if (this.#isClosed) return closed(value);', replace: '',
    test: { file: late, named: 'F89 a part that comes after the end' },
  },
  {
    row: 'F89', title: 'a port that was taken at the start is never tried again', file: 'src/daemon/optional-part.ts',
    find: '!this.#isClosed && this.#againMs !== undefined)', replace: 'false && this.#againMs !== undefined)',
    test: { file: late, named: 'F89 a part that listens is tried again' },
  },
  {
    row: 'F89', title: 'a FIFO in the place of the journal holds the start', file: 'src/journal/disk.ts',
    find: 'open(path, constants.O_RDONLY | constants.O_NONBLOCK)', replace: 'open(path, constants.O_RDONLY)',
    test: { file: 'test/unit/host/fifo.test.ts', named: 'F89 a FIFO in the place of the journal' },
  },
  {
    row: 'F89', title: 'a FIFO in the place of a small file holds whoever reads it', file: 'src/host/small-file.ts',
    find: 'constants.O_RDONLY | constants.O_NONBLOCK', replace: 'constants.O_RDONLY',
    test: { file: 'test/unit/host/fifo.test.ts', named: 'F89 the record of a handler' },
  },
  {
    row: 'F89', title: 'a file that does not answer takes one more thread with each scan', file: 'src/daemon/node-files.ts',
    find: 'if (!isOver) this.#stuck.set(name, problems);', replace: '',
    test: { file: 'test/unit/daemon/node-files.test.ts', named: 'F89 one that does not end is not begun again' },
  },
  {
    row: 'F90', title: 'the socket’s file does not come back', file: 'src/host/private-socket.ts',
    find: 'if (found === undefined || found.isSocket()) return this.#restore();', replace: 'if (found === undefined || found.isSocket()) return;',
    test: { file, named: 'F90 it is removed' },
  },
  {
    row: 'F90', title: 'a socket in the place of ours is taken for ours', file: 'src/host/private-socket.ts',
    find: 'if (found !== undefined && same(found, this.#bound?.identity)) {', replace: 'if (found !== undefined) {',
    test: { file, named: 'F90 a socket on which nobody listens in its place' },
  },
  {
    row: 'F90', title: 'two daemons serve: one has the file, the other its old connections', file: 'src/host/private-socket.ts',
    find: 'onTaken?.(listener);', replace: '',
    test: { file, named: 'F90 another daemon listens in its place' },
  },
  {
    row: 'S69', title: 'everybody can connect to the socket', file: 'src/host/private-socket.ts',
    find: 'await chmod(made, 0o600);', replace: 'await chmod(made, 0o666);',
    test: { file: 'test/integration/cri-server/socket.test.ts', named: 'S69 it has mode 0600' },
  },
  {
    row: 'S69', title: 'nobody is told who else uses the socket', file: 'src/daemon/cri-socket.ts',
    find: 'if (peer === undefined || seen.has(peer.uid)', replace: 'if (peer === undefined || peer.uid > 0 || seen.has(peer.uid)',
    test: { file, named: 'S69 S94 who connects as another user' },
  },
  {
    row: 'S94', title: 'a peer may be half open for ever', file: 'src/base/half-open.ts',
    find: 'if (waiting.scans >= halfOpenLimits.scans) this.#end(one);', replace: 'if (waiting.scans < 0) this.#end(one);',
    test: { file: halfOpen, named: 'S94 are cut within 10 s' },
  },
  {
    row: 'S94', title: 'any number of peers are half open', file: 'src/base/half-open.ts',
    find: 'if (oldest !== undefined && this.#waiting.size >= this.#options.most) this.#end(oldest);', replace: '',
    test: { file: halfOpen, named: 'S94 one more than there may be' },
  },
  {
    row: 'S94', title: 'a connection of the CRI socket without a preface stays', file: 'src/cri/connections.ts',
    find: 'this.#halfOpen.begin(connection);', replace: '',
    test: { file: cri, named: 'S94 no preface' },
  },
  {
    row: 'S94', title: 'half a call stays', file: 'src/cri/connections.ts',
    find: 'this.#requests.begin(stream);', replace: '',
    test: { file: cri, named: 'S94 a call whose message does not end' },
  },
  {
    row: 'S94', title: 'headers without their end stay', file: 'src/cri/connections.ts',
    find: 'if (isSent) connection.pingScans = 0;', replace: 'if (isSent) connection.pingScans = undefined;',
    test: { file: cri, named: 'S94 HEADERS without their end' },
  },
  {
    row: 'S94', title: 'a connection to the streaming server without a head stays', file: 'src/cri/streaming/server.ts',
    find: 'this.#halfOpen.begin(socket);', replace: '',
    test: { file: 'test/integration/streaming/half-open.test.ts', named: 'S94 a TLS handshake' },
  },
  {
    row: 'S94', title: 'a connection to the page without a head stays', file: 'src/introspection/half-open-http.ts',
    find: "halfOpen.begin(socket);\n    socket.on('close'", replace: "socket.on('close'",
    test: { file: http, named: 'S94 no head, half of one' },
  },
  {
    row: 'S94', title: 'the second request of a connection may take for ever', file: 'src/introspection/half-open-http.ts',
    find: 'requests.delete(socket);\n      halfOpen.begin(socket);', replace: 'requests.delete(socket);',
    test: { file: http, named: 'S94 an answer may take as long' },
  },
  {
    row: 'S94', title: 'NRI connections that say nothing keep plugins out', file: 'src/nri/members.ts',
    find: 'if (silent !== undefined) this.#connecting.delete(silent);', replace: '',
    test: { file: 'test/unit/nri/driver.test.ts', named: 'S94 any number of connections that register nothing' },
  },
  {
    row: 'S94', title: 'a request on the page whose body does not end stays', file: 'src/introspection/half-open-http.ts',
    find: 'if (requests.get(socket)?.complete !== true) socket.destroy();', replace: 'if (requests.get(socket) === undefined) socket.destroy();',
    test: { file: http, named: 'S94 a body that does not end' },
  },
];
