// Guards of what is kept of bytes that come in pieces.
import type { Mutant } from '../mutant.ts';

const blocks = 'test/unit/base/byte-blocks.test.ts';
const readers = 'test/unit/host/socket-reader.test.ts';
const streams = 'test/unit/streaming/pieces.test.ts';
const spdy = 'test/unit/streaming/pieces-spdy.test.ts';
const rooms = 'test/unit/runtime/exec-room.test.ts';

export const ofPieces: readonly Mutant[] = [
  {
    row: 'S85', title: 'each piece is kept as it came', file: 'src/base/byte-blocks.ts',
    find: 'if (bytes.length >= wholeBytes) return this.#appendWhole(bytes);', replace: 'if (bytes.length > 0) return this.#appendWhole(bytes);',
    test: { file: blocks, named: 'S85.*many pieces of one byte are held in blocks' },
  },
  {
    row: 'S85', title: 'a block stays whole for the byte in it', file: 'src/base/byte-blocks.ts',
    find: 'isHalfEmpty ? this.#tail.slice(from, this.#tailBytes) : this.#tail.subarray(from, this.#tailBytes)', replace: 'this.#tail.subarray(from, this.#tailBytes)',
    test: { file: blocks, named: 'S85.*a byte between large pieces holds no block' },
  },
  {
    row: 'S85', title: 'what is beyond the bound is kept', file: 'src/base/byte-blocks.ts',
    find: 'if (bytes.length > this.room) fail(', replace: 'if (bytes.length < 0) fail(',
    test: { file: blocks, named: 'S85.*refuses what is beyond its bound' },
  },
  {
    row: 'S85', title: 'a small piece counts for its bytes', file: 'src/base/byte-blocks.ts',
    find: 'return length < leastChargeBytes ? leastChargeBytes : length;', replace: 'return length;',
    test: { file: blocks, named: 'S85.*counts for 256 bytes at least' },
  },
  {
    row: 'S85', title: 'what stays in a queue is moved for each item', file: 'src/base/fifo.ts',
    find: 'if (this.#head >= SLACK && this.#head * 2 >= this.#items.length) {', replace: 'if (this.#head > 0) {',
    test: { file: blocks, named: 'S85.*moves each item once on average' },
  },
  {
    row: 'S85', title: 'a pipe is read before anybody wants it', file: 'src/host/socket-reader.ts',
    find: '    this.socket.pause();\n    // an error', replace: '    // an error',
    test: { file: readers, named: 'S85.*that is not read is left to the kernel' },
  },
  {
    row: 'S85', title: 'a pipe is read on while nobody takes its bytes', file: 'src/host/socket-bytes.ts',
    find: 'isPaused = true;\n      reader.pause();', replace: 'isPaused = true;',
    test: { file: readers, named: 'S85.*is read up to its bound, joined' },
  },
  {
    row: 'S85', title: 'writes pile up in a socket', file: 'src/host/socket-bytes.ts',
    find: 'else socket.write(bytes, resolve);', replace: 'else resolve(socket.write(bytes) ? null : undefined);',
    test: { file: readers, named: 'S85 whose peer does not read is given one piece at a time' },
  },
  {
    row: 'S85', title: 'each write for a slow client waits by itself', file: 'src/cri/streaming/transport.ts',
    find: 'if (!this.#isWriting) this.#write(filled);\n    else for', replace: 'this.#write(filled);\n    if (filled.length < 0) for',
    test: { file: streams, named: 'S85.*has one write under way' },
  },
  {
    row: 'S85', title: 'a client that reads nothing keeps its session by sending', file: 'src/cri/streaming/transport.ts',
    find: 'const read = transport.writableLength > 0 ? 0 : (', replace: 'const read = (',
    test: { file: streams, named: 'S85.*counts as idle, however much it sends' },
  },
  {
    row: 'S85', title: 'the last words to a client that reads nothing are awaited for ever', file: 'src/cri/streaming/spdy-command.ts',
    find: 'await upTo(clock, isPatient ? streamLimits.idleMs : streamLimits.drainMs, error.write(bytes));', replace: 'await error.write(bytes).catch(() => upTo(clock, 0, Promise.resolve()));',
    test: { file: streams, named: 'S85.*does not hold its session for ever after' },
  },
  {
    row: 'S85', title: 'a window wakes all that wait', file: 'src/cri/streaming/spdy-stream.ts',
    find: 'const [first] = this.#line;\n    if (first === undefined) return;\n    this.#line.delete(first);\n    first();', replace: 'for (const wake of [...this.#line]) wake();',
    test: { file: spdy, named: 'S85.*windows that open byte by byte' },
  },
  {
    row: 'S85', title: 'each stream whose write begins sees the whole window of the session', file: 'src/cri/streaming/spdy-stream.ts',
    find: '        window.left -= room;\n', replace: '        void Promise.resolve().then(() => (window.left -= room));\n',
    test: { file: spdy, named: 'S85.*windows that open byte by byte' },
  },
  {
    row: 'S85', title: 'what waits behind a header block counts for nothing', file: 'src/cri/streaming/spdy-session.ts',
    find: 'this.#channel.intake.came(chunk.length);', replace: '',
    test: { file: spdy, named: 'S85.*what comes behind a header block' },
  },
  {
    row: 'S85', title: 'all headers of a stream are kept', file: 'src/cri/streaming/spdy-stream.ts',
    find: 'this.headers = headersOfUse(headers);', replace: 'this.headers = headersOfUse(headers).size < 0 ? headersOfUse(headers) : headers;',
    test: { file: spdy, named: 'S85.*headers that mean nothing here' },
  },
  {
    row: 'S85', title: 'halves of reset streams stay for their time limit', file: 'src/cri/streaming/spdy-forward.ts',
    find: 'if (this.#halves.get(key) === waiting) this.#forget(key, waiting);', replace: '',
    test: { file: spdy, named: 'S85.*halves of connections whose streams are reset' },
  },
  {
    row: 'S85', title: 'each size of a terminal is set at once', file: 'src/cri/streaming/command-channels.ts',
    find: 'if (this.#isBusy || size === undefined) return;', replace: 'if (size === undefined) return;',
    test: { file: streams, named: 'S85.*that come while one is being set wait as one' },
  },
  {
    row: 'S85', title: 'a paused connection is read on in pieces of any size', file: 'src/cri/streaming/transport.ts',
    find: "Reflect.set(state, 'highWaterMark', streamLimits.pausedBytes);", replace: 'void streamLimits.pausedBytes;',
    test: { file: 'test/unit/streaming/paused-tls.test.ts', named: 'S85' },
  },
  {
    row: 'S85', title: 'answers of ttrpc that nobody reads count for their bytes', file: 'src/host/ttrpc.ts',
    find: 'const charge = pieceCharge(bytes.length);', replace: 'const charge = pieceCharge(bytes.length) > 0 ? bytes.length : 0;',
    test: { file: 'test/unit/host/ttrpc.test.ts', named: 'S85' },
  },
  {
    row: 'S85', title: 'the output of an exec stays until a collection beside its answer', file: 'src/cri/moved-message.ts',
    find: 'freeBytes(part);', replace: '',
    test: { file: 'test/unit/cri/exec-sync-bytes.test.ts', named: 'S85' },
  },
  {
    row: 'S85', title: 'the output of an exec is joined before it is encoded', file: 'src/cri/moved-message.ts',
    find: 'this.#parts = parts;', replace: "this.#parts = parts.map((part) => {\n      if (part instanceof Uint8Array) return part;\n      const whole = new Uint8Array(part.size);\n      part.moveTo(whole, 0);\n      return whole;\n    });",
    test: { file: 'test/unit/cri/exec-sync-bytes.test.ts', named: 'S85' },
  },
  {
    row: 'S85', title: 'each look at a drain leaves a waiter behind', file: 'src/oci/runtime/stream-output.ts',
    find: 'streamLimits.drainLookMs, signal }, ended);', replace: 'streamLimits.drainLookMs, signal }, hasEnded ? ended : pumps[0]?.ended ?? ended);',
    test: { file: 'test/unit/runtime/stream-output.test.ts', named: 'S85' },
  },
  {
    row: 'S85', title: 'a client that sends to a process that does not read is read on', file: 'src/cri/streaming/transport.ts',
    find: 'this.#transport.pause();\n    this.#probeLater();', replace: 'this.#probeLater();',
    test: { file: spdy, named: 'S85.*for a process that does not read are joined' },
  },
  {
    row: 'S85', title: 'windows of all streams are changed as often as a client likes', file: 'src/cri/streaming/spdy-session.ts',
    find: 'if (this.#windowChanges > streamLimits.spdyWindowChanges)', replace: 'if (this.#windowChanges < 0)',
    test: { file: spdy, named: 'S85.*an initial window that changes on and on' },
  },
  {
    row: 'S85', title: 'a small view keeps all that it was read in', file: 'src/base/byte-blocks.ts',
    find: 'const isHeld = this.#full.last()?.buffer === bytes.buffer;', replace: 'const isHeld = this.#full.length >= 0;',
    test: { file: blocks, named: 'S85.*a large piece is not copied' },
  },
  {
    row: 'S85', title: 'an empty queue keeps its last block', file: 'src/base/byte-blocks.ts',
    find: 'this.#taken === this.#tailBytes && this.#tail.length > leastChargeBytes', replace: 'this.#taken === this.#tailBytes && this.#tail.length < 0',
    test: { file: blocks, named: 'S85.*an empty queue holds no large block' },
  },
  {
    row: 'S85', title: 'blocks that were taken stay until a collection', file: 'src/base/byte-blocks.ts',
    find: 'if (part.buffer instanceof ArrayBuffer) part.buffer.transfer(0);', replace: 'void part;',
    test: { file: blocks, named: 'S85.*gives the memory of what is taken back' },
  },
  {
    row: 'S85', title: 'a line without an end is kept', file: 'src/base/line-cutter.ts',
    find: "new ByteBlocks('keep a line', bytesMax)", replace: "new ByteBlocks('keep a line', Infinity)",
    test: { file: 'test/unit/base/line-cutter.test.ts', named: 'S85 are kept up to a bound' },
  },
  {
    row: 'S85', title: 'one namespace has all of the memory for large outputs of execs', file: 'src/oci/runtime/exec-room.ts',
    find: 'one.held >= driverLimits.execRoomsPerNamespace', replace: 'one.held < 0',
    test: { file: rooms, named: 'S85 one namespace leaves a room to the others' },
  },
  {
    row: 'S85', title: 'an exec keeps the memory for its output as long as it runs', file: 'src/oci/runtime/exec-room.ts',
    find: 'if (leftMs > 0) soonestMs =', replace: 'if (leftMs > -Infinity) soonestMs =',
    test: { file: rooms, named: 'S85 a room that was held for its time is taken back' },
  },
  {
    row: 'S85', title: 'an exec whose memory was given to another keeps its output', file: 'src/oci/runtime/exec-output.ts',
    find: 'this.#kept.drop();', replace: '',
    test: { file: rooms, named: 'S85 a room that was held for its time is taken back' },
  },
  {
    row: 'S85', title: 'a namespace waits behind all execs of the others that came before', file: 'src/oci/runtime/exec-room.ts',
    find: 'one.lastGrant < best.lastGrant', replace: 'best.held < 0',
    test: { file: rooms, named: 'S85 a namespace waits for the other namespaces' },
  },
  {
    row: 'S85', title: 'an exec whose output was dropped is answered as if it had none', file: 'src/oci/runtime/exec-room.ts',
    find: 'if (room.whenRevoked.aborted) refuseRevoked(id);', replace: '',
    test: { file: rooms, named: 'S85 an exec whose room is taken back rejects' },
  },
];
