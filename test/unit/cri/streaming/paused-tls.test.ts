// What Node reads of a TLS connection that is paused, whose client sends single bytes.
import { connect as dial } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { hostLimits } from '../../../../src/host/bounds.ts';
import { readNoFurther } from '../../../../src/cri/streaming/transport.ts';
import { selfSigned } from '../../../support/registry/certificates.ts';
import { loopTurn, untilTrue } from '../../../support/turns.ts';

/**
 * Single bytes, each in a record of TLS, and the bytes of the smallest record: its head, the byte, its type and the tag
 * (RFC 8446, 5.2).
 */
const RECORDS = 20_000;
const RECORD_BYTES = 5 + 1 + 1 + 16;

describe('a TLS connection', () => {
  it('S85: records of a byte each for a paused connection stay in the kernel, except those of two reads', async () => {
    const server = createServer(selfSigned(['DNS:first']));
    const { promise: accepted, resolve } = Promise.withResolvers<TLSSocket>();
    server.on('secureConnection', resolve);
    await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
    const tcp = dial((server.address() as AddressInfo).port, '127.0.0.1');
    const kept: Buffer[] = [];
    let isKeeping = false;
    const wire = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        if (isKeeping) kept.push(chunk);
        else tcp.write(chunk);
        done();
      },
    });
    tcp.on('data', (chunk: Buffer) => wire.push(chunk));
    const client = connect({ socket: wire, rejectUnauthorized: false });
    const socket = await accepted;
    onTestFinished(() => {
      for (const one of [client, tcp, socket]) one.destroy();
      server.close();
    });
    readNoFurther(socket);
    socket.pause();
    // each is written before the next one is given: those that wait together would be one record
    isKeeping = true;
    for (let at = 0; at < RECORDS; at += 1)
      await new Promise<void>((done) => void client.write('x', () => done()));
    const records = Buffer.concat(kept);
    expect(records.length).toBeGreaterThanOrEqual(RECORDS * RECORD_BYTES);
    tcp.write(records);
    await untilTrue(() => socket.readableLength > 0);
    for (let turns = 0; turns < 500; turns += 1) await loopTurn();
    // what brings it up to the bound, and one read beyond
    expect(socket.readableLength).toBeLessThan(
      streamLimits.pausedBytes + (2 * hostLimits.streamReadBytes) / RECORD_BYTES,
    );
    let came = 0;
    socket.on('data', (bytes: Buffer) => (came += bytes.length));
    socket.resume();
    await untilTrue(() => came === RECORDS);
  });
});
