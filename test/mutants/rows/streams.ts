// Guards of the streaming server.
import type { Mutant } from '../mutant.ts';

const requests = 'test/unit/streaming/requests.test.ts';

export const ofStreams: readonly Mutant[] = [
  {
    row: 'S67', title: 'a token is good for more than one use', file: 'src/cri/streaming/tokens.ts',
    find: 'this.#entries.delete(key);\n    return entry', replace: 'return entry',
    test: { file: requests, named: String.raw`tokens \(S67\)` },
  },
  {
    row: 'S67', title: 'a token is good for another kind of stream', file: 'src/cri/streaming/tokens.ts',
    find: 'return entry?.request.kind === kind ? entry.request : undefined;', replace: 'return entry?.request;',
    test: { file: requests, named: String.raw`tokens \(S67\)` },
  },
  {
    row: 'S68', title: 'any Host is taken (a page that rebinds its name)', file: 'src/cri/streaming/handshake.ts',
    find: 'if (!isKnown) return', replace: "if (!isKnown && host === '') return",
    test: { file: requests, named: String.raw`Host and Origin \(S68\)` },
  },
  {
    row: 'S68', title: 'any Origin is taken', file: 'src/cri/streaming/handshake.ts',
    find: 'if (origin.whole === (headers.host ??', replace: "if (origin.whole !== '' || origin.whole === (headers.host ??",
    test: { file: requests, named: String.raw`Host and Origin \(S68\)` },
  },
  {
    row: 'S68', title: 'a WebSocket that names no protocol runs the command', file: 'src/cri/streaming/handshake.ts',
    find: "if (offered.length === 0) return { status: 400, text: 'name a Sec-WebSocket-Protocol' };", replace: "if (offered.length === 0) return { over: 'websocket', name: '', version: 1, isBase64: false };",
    test: { file: requests, named: String.raw`WebSocket: refused without subprotocol \(S68\)` },
  },
];
