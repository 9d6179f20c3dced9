// Guards of the CRI edge, streaming, NRI and ttrpc that an audit of these rooms added.
import type { Mutant } from '../mutant.ts';

const inFlight = 'test/unit/cri-wire/in-flight.test.ts';

const pieces = 'test/unit/cri-wire/request-pieces.test.ts';

export const ofRooms: readonly Mutant[] = [
  {
    row: 'S78', title: 'calls that last take all that the node may have', file: 'src/cri/in-flight.ts',
    find: 'this.#waiting >= edgeLimits.waitingCalls || ', replace: '',
    test: { file: inFlight, named: 'S78 leave room for those that end' },
  },
  {
    row: 'S78', title: 'calls that last of one namespace take those of all', file: 'src/cri/in-flight.ts',
    find: ' || ofNamespace >= edgeLimits.waitingCallsPerNamespace', replace: '',
    test: { file: 'test/unit/cri/waiting-calls.test.ts', named: 'S78 stops and execs of one tenant' },
  },
  {
    row: 'S85', title: 'a request is bounded by its bytes only', file: 'src/cri/in-flight.ts',
    find: 'if (pieces > edgeLimits.requestPieces) {', replace: 'if (pieces < 0) {',
    test: { file: pieces, named: 'S85 a request of empty messages' },
  },
  {
    row: 'S85', title: 'numbers in one piece count as one', file: 'src/cri/request-pieces.ts',
    find: 'this.#at += 1) if ((this.#bytes[this.#at] ?? 0) < 0x80) this.pieces += 1;', replace: 'this.#at += 1) this.pieces += 0;',
    test: { file: pieces, named: 'S85 counts' },
  },
];
