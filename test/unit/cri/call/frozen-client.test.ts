// A client that stands still: cut as one whose frame does not end is (S94), and it finds out from the protocol.
import { createServer } from 'node:http2';
import { createServer as createListener } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { halfOpenLimits } from '../../../../src/base/bounds.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { Connections } from '../../../../src/cri/call/connections.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { PREFACE, SETTINGS, SETTINGS_ACK, areCut, silent } from '../../../support/half-open.ts';
import { loopTurn } from '../../../support/turns.ts';

const GOAWAY = 7;

/** Types of the frames in these bytes. */
function framesIn(bytes: Buffer): readonly (number | undefined)[] {
  const types: (number | undefined)[] = [];
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) types.push(bytes[at + 3]);
  return types;
}

test('S94 a client that answers no ping is cut after a GOAWAY', async () => {
  const clock = new HandClock();
  const http2 = createServer();
  const connections = new Connections({
    clock,
    log: silentLog,
    inject: (socket) => void http2.emit('connection', socket),
  });
  connections.watch(http2);
  const greeted = new Promise((resolve) =>
    http2.once('session', (session) => session.once('remoteSettings', resolve)),
  );
  const listener = createListener((socket) => connections.accept(socket));
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    connections.close();
    listener.close();
  });
  const { port } = listener.address() as AddressInfo;
  const frozen = await silent({ port, host: '127.0.0.1' }, Buffer.concat([PREFACE, SETTINGS, SETTINGS_ACK]));
  onTestFinished(() => void frozen.socket.destroy());
  let sent = Buffer.alloc(0);
  frozen.socket.on('data', (bytes: Buffer) => (sent = Buffer.concat([sent, bytes])));
  await greeted;
  for (let scan = 0; scan < 1 + halfOpenLimits.pingScans; scan += 1) {
    clock.fire(halfOpenLimits.frameScanMs);
    await loopTurn();
  }
  expect(await areCut([frozen])).toBe(true);
  expect(framesIn(sent).at(-1)).toBe(GOAWAY);
});
