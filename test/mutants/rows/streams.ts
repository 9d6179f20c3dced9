// Guards of what listens: the streaming server, the sockets, the page.
import type { Mutant } from '../mutant.ts';

const requests = 'test/unit/cri/streaming/requests.test.ts';

const transport = 'test/unit/cri/streaming/transport.test.ts';

export const ofStreams: readonly Mutant[] = [
  {
    row: 'S27',
    title: 'a client that goes while it is not read is not noticed',
    file: 'src/cri/streaming/transport.ts',
    find: 'this.#transport.pause();\n    this.#probeLater();',
    replace: 'this.#transport.pause();',
    test: { file: transport, named: String.raw`is probed only while it is not read \(S27\)` },
  },
  {
    row: 'S68',
    title: 'answers to pings pile up for a client that reads none',
    file: 'src/cri/streaming/transport.ts',
    find: 'if (unsent.older + unsent.newer > streamLimits.unsentBytes) this.#transport.destroy();',
    replace: '',
    test: { file: transport, named: String.raw`a client that pings and reads nothing is cut \(S68\)` },
  },
  {
    row: 'S67',
    title: 'a token is good for more than one use',
    file: 'src/cri/streaming/tokens.ts',
    find: 'if (entry !== undefined) this.#drop(key, entry);',
    replace: '',
    test: { file: requests, named: String.raw`tokens \(S67 S78\)` },
  },
  {
    row: 'S67',
    title: 'a token is good for another kind of stream',
    file: 'src/cri/streaming/tokens.ts',
    find: 'return entry?.request.kind === kind ? entry.request : undefined;',
    replace: 'return entry?.request;',
    test: { file: requests, named: String.raw`tokens \(S67 S78\)` },
  },
  {
    row: 'S68',
    title: 'any Host is taken (a page that rebinds its name)',
    file: 'src/cri/streaming/handshake.ts',
    find: 'if (!isKnown)',
    replace: "if (!isKnown && host === '')",
    test: { file: requests, named: String.raw`Host and Origin \(S68\)` },
  },
  {
    row: 'S68',
    title: 'any Origin is taken',
    file: 'src/cri/streaming/handshake.ts',
    find: 'if (origin.whole === (headers.host ??',
    replace: "if (origin.whole !== '' || origin.whole === (headers.host ??",
    test: { file: requests, named: String.raw`Host and Origin \(S68\)` },
  },
  {
    row: 'S68',
    title: 'a WebSocket that names no protocol runs the command',
    file: 'src/cri/streaming/handshake.ts',
    find: "if (offered.length === 0) return { status: 400, text: 'missing Sec-WebSocket-Protocol' };",
    replace: "if (offered.length === 0) return { over: 'websocket', name: '', version: 1, isBase64: false };",
    test: { file: requests, named: String.raw`WebSocket: a request without subprotocol \(S68\)` },
  },
  {
    row: 'S70',
    title: 'a token that begins as ours is taken',
    file: 'src/introspection/web-guard.ts',
    find: "return token !== '' && timingSafeEqual(digest(given), digest(token));",
    replace: 'return given.startsWith(token) && timingSafeEqual(digest(token), digest(token));',
    test: { file: 'test/unit/introspection/server.test.ts', named: 'S70: access needs the token' },
  },
  {
    row: 'S78',
    title: 'any number of tokens wait',
    file: 'src/cri/streaming/tokens.ts',
    find: 'this.#entries.size >= tokens || ',
    replace: '',
    test: { file: requests, named: String.raw`tokens \(S67 S78\)` },
  },
  {
    row: 'S78',
    title: 'one pod’s forwarded connections are bounded by session only',
    file: 'src/cri/streaming/spdy-forward.ts',
    find: 'if (release === undefined) return half.stream.reset(RESET.refusedStream);',
    replace: 'if (release === undefined) return;',
    test: { file: 'test/unit/cri/streaming/bounds.test.ts', named: 'S78 the connections of one pod' },
  },
  {
    row: 'S78',
    title: 'connections that have ended keep their room',
    file: 'src/cri/streaming/spdy-forward.ts',
    find: 'this.#take(key, half);\n    half.release();',
    replace: 'this.#take(key, half);',
    test: { file: 'test/unit/cri/streaming/bounds.test.ts', named: 'S78 the connections of one pod' },
  },
  {
    row: 'S68',
    title: 'each request that is refused for its Host is a line of the log',
    file: 'src/cri/streaming/server.ts',
    find: 'if (clock.monoMs() < this.#refusedUntilMs) return;',
    replace: '',
    test: { file: 'test/unit/cri/streaming/bounds.test.ts', named: 'S68 S89 requests refused' },
  },
];
