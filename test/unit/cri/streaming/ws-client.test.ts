// The client's side of exec and attach against the server's, over one connection.
import { duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { commandClient, parseStatus } from '../../../../src/cri/streaming/ws-client.ts';
import { wsCommand } from '../../../../src/cri/streaming/ws-command.ts';
import { WsParser, maskedFrame } from '../../../../src/cri/streaming/ws-frames.ts';
import type { CommandChannels } from '../../../../src/cri/streaming/command-channels.ts';
import type { TerminalSize } from '../../../../src/ports/streams.ts';
import { fault } from '../../../../src/base/fault.ts';
import { HandClock } from '../../../support/hand-clock.ts';

const MASK = Buffer.from([7, 1, 250, 3]);

async function connected(tty = false) {
  const [near, far] = duplexPair();
  const clock = new HandClock();
  const gone: string[] = [];
  const texts = { stdout: '', stderr: '' };
  const client = commandClient({ transport: near, head: Buffer.alloc(0) }, clock, () => MASK, {
    stdout: (bytes) => Promise.resolve(void (texts.stdout += Buffer.from(bytes).toString())),
    stderr: (bytes) => Promise.resolve(void (texts.stderr += Buffer.from(bytes).toString())),
  });
  const server: CommandChannels = await wsCommand({
    transport: far,
    head: Buffer.alloc(0),
    wanted: { stdin: true, stdout: true, stderr: !tty, tty },
    version: 5,
    isBase64: false,
    clock,
    onGone: (why) => gone.push(why.message),
  });
  return { client, server, texts, gone, far };
}

describe('a client of exec', () => {
  it('sends input and its end, and gets both outputs and the exit code', async () => {
    const { client, server, texts } = await connected();
    const big = Buffer.alloc(100_001, 'i');
    await client.write(big);
    client.endInput();
    let received = 0;
    for (;;) {
      const bytes = await server.streams.stdin?.read();
      if (bytes === undefined) break;
      expect(Buffer.from(bytes).every((byte) => byte === 0x69)).toBe(true);
      received += bytes.length;
    }
    expect(received).toBe(big.length);
    await server.streams.stdout?.write(Buffer.from('out'));
    await server.streams.stderr?.write(Buffer.from('err'));
    void server.finish({ kind: 'exited', exitCode: 7 });
    expect(await client.ended).toEqual({ kind: 'exited', exitCode: 7 });
    expect(texts).toEqual({ stdout: 'out', stderr: 'err' });
  });

  it('reports sizes of its terminal', async () => {
    const { client, server } = await connected(true);
    const { promise, resolve } = Promise.withResolvers<TerminalSize>();
    server.streams.onResize((size) => resolve(size));
    client.resize({ columns: 111, rows: 33 });
    expect(await promise).toEqual({ columns: 111, rows: 33 });
  });

  it('says why there is no exit code, and that a connection broke', async () => {
    const failed = await connected();
    void failed.server.finish({ kind: 'failed', fault: fault('outside', 'exec: no such program') });
    expect(await failed.client.ended).toEqual({ kind: 'failed', message: 'exec: no such program' });
    const cut = await connected();
    cut.far.destroy();
    expect(await cut.client.ended).toEqual({ kind: 'lost' });
  });

  it('ends the command by closing', async () => {
    const { client, gone } = await connected();
    client.close();
    await expect.poll(() => gone).toEqual(['the client has closed the connection']);
  });

  it('takes an invalid status as a failure', () => {
    expect(parseStatus('{"status":"Success"}')).toEqual({ kind: 'exited', exitCode: 0 });
    expect(parseStatus('half {')).toEqual({ kind: 'failed', message: 'half {' });
    expect(parseStatus('{"status":"Failure"}')).toEqual({ kind: 'failed', message: '{"status":"Failure"}' });
    const causes = [{ reason: 'ExitCode', message: '12345' }];
    expect(parseStatus(JSON.stringify({ status: 'Failure', message: 'm', details: { causes } }))).toEqual({
      kind: 'failed',
      message: 'm',
    });
  });
});

it('each end refuses frames of its own kind: a client masks, a server does not', () => {
  const frame = maskedFrame(2, MASK, [Buffer.from('text')]);
  expect([...new WsParser().push(Buffer.from(frame))]).toMatchObject([{ bytes: Buffer.from('text') }]);
  expect(() => [...new WsParser(true, 'server').push(Buffer.from(frame))]).toThrow(/: masked$/u);
});
