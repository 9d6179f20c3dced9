// Guards of the CRI edge, streaming, NRI and ttrpc that an audit of these rooms added.
import type { Mutant } from '../mutant.ts';

const inFlight = 'test/unit/cri-wire/in-flight.test.ts';

const pieces = 'test/unit/cri-wire/message-pieces.test.ts';

const answers = 'test/unit/introspection-web/answers.test.ts';

const bounds = 'test/unit/streaming/bounds.test.ts';

export const ofRooms: readonly Mutant[] = [
  {
    row: 'S78', title: 'calls that last take all that the node may have', file: 'src/cri/in-flight.ts',
    find: 'this.#waiting >= edgeLimits.waitingCalls || ', replace: '',
    test: { file: inFlight, named: 'S78 leave room for those that end' },
  },
  {
    row: 'S78', title: 'calls that last of one namespace take those of all', file: 'src/cri/in-flight.ts',
    find: ' || ofNamespace >= edgeLimits.waitingCallsPerNamespace', replace: '',
    test: { file: 'test/unit/cri/waiting-calls.test.ts', named: 'S78 execs of one tenant' },
  },
  {
    row: 'S78', title: 'a drain of a full node is refused its stops', file: 'src/cri/in-flight.ts',
    find: 'if (ENDING.has(rpc) && bytes <= edgeLimits.endingCallBytes)', replace: 'if (rpc.length === 0)',
    test: { file: 'test/unit/cri/waiting-calls.test.ts', named: 'S78 a drain stops 1100 containers' },
  },
  {
    row: 'S85', title: 'a request is bounded by its bytes only', file: 'src/cri/in-flight.ts',
    find: 'if (pieces > edgeLimits.requestPieces) {', replace: 'if (pieces < 0) {',
    test: { file: pieces, named: 'S85 a request of empty messages' },
  },
  {
    row: 'S85', title: 'numbers in one piece count as one', file: 'src/base/message-pieces.ts',
    find: 'this.#at += 1) if ((this.#bytes[this.#at] ?? 0) < 0x80) this.pieces += 1;', replace: 'this.#at += 1) this.pieces += 0;',
    test: { file: pieces, named: 'S85 counts' },
  },
  {
    row: 'S85', title: 'what the walk cannot follow ends the count', file: 'src/base/message-pieces.ts',
    find: 'return walk.message(schema, bytes.length, 0) ? walk.pieces : Infinity;',
    replace: 'walk.message(schema, bytes.length, 0);\n  return walk.pieces;',
    test: { file: pieces, named: 'S85 what the walk cannot follow' },
  },
  {
    row: 'S85', title: 'a message may end beyond the one around it', file: 'src/base/message-pieces.ts',
    find: 'return this.#at === end;', replace: 'return true;',
    test: { file: pieces, named: 'S85 what the walk cannot follow.*a number that ends beyond' },
  },
  {
    row: 'S85', title: 'a known field is walked by its wire type only', file: 'src/base/message-pieces.ts',
    find: 'if (field !== undefined && wire !== field.wire && !(wire === BYTES && field.isPackable)) return false;', replace: '',
    test: { file: pieces, named: 'S85 what the walk cannot follow.*wire type' },
  },
  {
    row: 'S89', title: 'each size of a terminal in one piece is read', file: 'src/cri/streaming/command-channels.ts',
    find: 'tries < streamLimits.resizeTries && before > 0', replace: 'before > 0',
    test: { file: 'test/unit/streaming/paced-sizes.test.ts', named: 'S89: of a storm of .* few are read' },
  },
  {
    row: 'S89', title: 'a header block of a few bytes has thousands of names', file: 'src/cri/streaming/spdy-headers.ts',
    find: 'if (count > streamLimits.spdyHeaderNames)', replace: 'if (count < 0)',
    test: { file: 'test/unit/streaming/pieces-spdy.test.ts', named: 'S89 a header block' },
  },
  {
    row: 'S78', title: 'a selector of any number of labels is held against each container', file: 'src/cri/lookup.ts',
    find: 'Object.entries(stringMap(field, selector))', replace: 'Object.entries(selector)',
    test: { file: 'test/unit/cri/ids.test.ts', named: 'S78 a selector' },
  },
  {
    row: 'S78', title: 'a batch of which nothing can be read ends the stream of statistics', file: 'src/cri/gather-stats.ts',
    find: 'firstFailed ??= failed;', replace: 'if (failed !== undefined && answered.length === 0) throw failed.reason;',
    test: { file: 'test/unit/cri/stats-of-many.test.ts', named: 'S78 a batch of which nothing can be read' },
  },
  {
    row: 'S90', title: 'each volume of a mount that does not answer holds threads of its own', file: 'src/host/selinux.ts',
    find: 'const directory = await openDirectory(AT_FDCWD, path, mount);', replace: 'const directory = await openDirectory(AT_FDCWD, path, path);',
    test: { file: 'test/unit/host/selinux.test.ts', named: 'S90 F45 volumes on a mount' },
  },
  {
    row: 'S88', title: 'a cgroup whose name holds the uid somewhere counts as the pod\'s', file: 'src/host/stats-driver.ts',
    find: 'return name === `pod${key.uid}` || ', replace: 'return cgroupParent.includes(key.uid) || ',
    test: { file: 'test/unit/host/stats-driver.test.ts', named: 'S88 the usage of a cgroup' },
  },
  {
    row: 'S78', title: 'the sessions of one namespace may be those of all', file: 'src/cri/streaming/session-room.ts',
    find: '      ofNamespace < streamLimits.sessionsPerNamespace &&\n', replace: '',
    test: { file: bounds, named: 'S78 sessions are bounded for a container' },
  },
  {
    row: 'S78', title: 'the forwarded connections of one namespace may be those of all', file: 'src/cri/streaming/forward-slots.ts',
    find: ' || ofNamespace >= streamLimits.forwardsPerNamespace', replace: '',
    test: { file: bounds, named: 'S78 forwarded connections are bounded' },
  },
  {
    row: 'S78', title: 'requests behind URLs are bounded in number only', file: 'src/cri/streaming/tokens.ts',
    find: ' || this.#bytes + bytes > tokenRequestBytes', replace: '',
    test: { file: bounds, named: 'S78 the requests that wait behind URLs' },
  },
  {
    row: 'S78', title: 'the URLs of one namespace keep what those of all may', file: 'src/cri/streaming/tokens.ts',
    find: 'if (count >= tokensPerNamespace || waiting + bytes > tokenRequestBytesPerNamespace) {', replace: 'if (count < 0) {',
    test: { file: bounds, named: 'S78 the requests that wait behind URLs' },
  },
  {
    row: 'S78', title: 'the command lines of one namespace take what those of all may', file: 'src/cri/streaming/session-room.ts',
    find: ' &&\n      bytesOfNamespace + bytes <= streamLimits.requestBytesPerNamespace', replace: '',
    test: { file: bounds, named: 'S78 the bytes of the requests of open sessions' },
  },
  {
    row: 'S78', title: 'an exec keeps its command line as long as it lasts', file: 'src/cri/streaming/server.ts',
    find: "if (request.kind === 'exec') request.argv.length = 0;", replace: '',
    test: { file: bounds, named: 'S78 an exec that has started' },
  },
  {
    row: 'S78', title: 'the driver never reports that it needs the command line no more', file: 'src/oci/runtime/stream-exec.ts',
    find: 'input.onArgvRead?.();', replace: '',
    test: { file: 'test/unit/runtime/stream-exec-argv.test.ts', named: 'S78 the command line of an exec' },
  },
  {
    row: 'S78', title: 'an exec in a shim keeps its command line as long as it lasts', file: 'src/oci/shim/exec.ts',
    find: 'request.input.onArgvRead?.();', replace: '',
    test: { file: 'test/unit/shim/exec-argv.test.ts', named: 'S78 the command line of an exec in a shim' },
  },
  {
    row: 'S85', title: 'each session keeps a MiB, whatever all keep', file: 'src/cri/streaming/transport.ts',
    find: 'return this.#share?.most ?? streamLimits.inboundBytes;', replace: 'return streamLimits.inboundBytes;',
    test: { file: bounds, named: 'S85 is bounded over all sessions' },
  },
  {
    row: 'S85', title: 'a session that is paused while there is no room stays so', file: 'src/cri/streaming/inbound-room.ts',
    find: 'for (const listener of [...this.listeners]) listener();', replace: '',
    test: { file: bounds, named: 'S85 a session that was paused' },
  },
  {
    row: 'S85', title: 'a stalled stream stops the others of its session while there is no room', file: 'src/base/limits.ts',
    find: 'inboundTightBytes: 3 * 64 * 1024,', replace: 'inboundTightBytes: 64 * 1024,',
    test: { file: bounds, named: 'S85 while there is no room' },
  },
  {
    row: 'S85', title: 'each of thousands of stalled sessions of one namespace keeps what it takes to go on', file: 'src/cri/streaming/inbound-room.ts',
    find: 'while (this.#sizeOf(namespace) > streamLimits.inboundNamespaceMostBytes) this.#cutLargest(namespace);', replace: '',
    test: { file: bounds, named: 'S85 beyond what stalled sessions may have' },
  },
  {
    row: 'S85', title: 'the stalled sessions of many namespaces have no bound together', file: 'src/cri/streaming/inbound-room.ts',
    find: 'while (this.#size > streamLimits.inboundMostBytes) this.#cutLargest(this.#largestNamespace());', replace: '',
    test: { file: bounds, named: 'S85 beyond what stalled sessions may have' },
  },
  {
    row: 'S85', title: 'one namespace makes the room tight for all', file: 'src/cri/streaming/inbound-room.ts',
    find: 'return Math.min(part.size, this.#bound) - before;', replace: 'return bytes;',
    test: { file: bounds, named: 'S85 the sessions of one namespace' },
  },
  {
    row: 'S85', title: 'output waits for any number of attached clients', file: 'src/oci/runtime/stream-listeners.ts',
    find: 'while (this.#bytes > streamLimits.attachAllBytes) {', replace: 'while (this.#bytes < 0) {',
    test: { file: bounds, named: 'S85 output for attached clients' },
  },
  {
    row: 'S85', title: 'requests of ttrpc at work are bounded in number only', file: 'src/host/ttrpc-server.ts',
    find: 'if (this.#bytes > 0 && this.#bytes + payload.length > ttrpcLimits.requestBytes) {', replace: 'if (this.#bytes < 0) {',
    test: { file: 'test/unit/host/ttrpc.test.ts', named: 'S85 requests at work.*are bounded in bytes' },
  },
  {
    row: 'S78', title: 'stray files keep NRI plugins from being started', file: 'src/nri/directory.ts',
    find: 'names.slice(0, nriLimits.directoryEntries)', replace: 'names.slice(nriLimits.directoryEntries)',
    test: { file: 'test/unit/nri/directory.test.ts', named: 'S78 files that are no plugins' },
  },
  {
    row: 'S85', title: 'events for one client keep any number of bytes', file: 'src/cri/event-feed.ts',
    find: ' || isTooMuch', replace: '',
    test: { file: 'test/unit/cri/event-feed.test.ts', named: 'S85 is bounded by what its events keep' },
  },
  {
    row: 'S85', title: 'each event for a client is charged with all that its pod has', file: 'src/cri/event-feed.ts',
    find: 'this.#held.has(view.spec) ? 0 : heldBytes(view.spec)', replace: 'heldBytes(view.spec)',
    test: { file: 'test/unit/cri/event-feed.test.ts', named: 'S85 counts what its events share once' },
  },
  {
    row: 'S78', title: 'each request makes a scrape', file: 'src/introspection/web-server.ts',
    find: 'return (running ??= make());', replace: 'return make();',
    test: { file: answers, named: 'S78 scrapes are made one at a time' },
  },
  {
    row: 'S94', title: 'an answer that nobody reads holds its connection', file: 'src/introspection/web-server.ts',
    find: 'clock.setTimeout(() => socket.destroy(), webLimits.answerMs)', replace: 'clock.setTimeout(() => undefined, webLimits.answerMs)',
    test: { file: answers, named: 'S94 whoever does not read' },
  },
  {
    row: 'S78', title: 'one container that cannot be read leaves the node without statistics', file: 'src/cri/gather-stats.ts',
    find: 'if (failed !== undefined && answered.length === 0) throw failed.reason;', replace: 'if (failed !== undefined) throw failed.reason;',
    test: { file: 'test/unit/cri/stats-of-many.test.ts', named: 'S78 a container, a pod' },
  },
  {
    row: 'S78', title: 'what is left out of statistics is nowhere to be seen', file: 'src/cri/gather-stats.ts',
    find: "unread.note(readings[at]?.subject ?? '', one.reason);", replace: 'void unread;',
    test: { file: 'test/unit/cri/stats-of-many.test.ts', named: 'S78 what is left out is in the log' },
  },
  {
    row: 'S91', title: 'the processes of a user’s exec are shown', file: 'src/introspection/describe.ts',
    find: "new Set(['execSync', 'exec'])", replace: "new Set(['execSync'])",
    test: { file: 'test/unit/introspection/exec-processes.test.ts', named: 'S91 what a user runs by exec ' },
  },
  {
    row: 'S88', title: 'a lower bound is shown as a figure like any other', file: 'src/oci/storage/whole-figures.ts',
    find: "this.#conditions?.report({ type: 'UsageCounted', subject: shownName(subject), reason });", replace: 'void reason;',
    test: { file: 'test/unit/storage/tree-measure.test.ts', named: 'S88 a figure that is a lower bound is shown' },
  },
  {
    row: 'S90', title: 'a plugin that is brought up to date slowly holds all events', file: 'src/nri/synchronize.ts',
    find: 'if (spentMs > callsMs) fail(', replace: 'if (spentMs < 0) fail(',
    test: { file: 'test/unit/nri/synchronize.test.ts', named: 'S90 a plugin that takes its time' },
  },
];
