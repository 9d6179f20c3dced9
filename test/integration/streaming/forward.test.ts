/** Port-forward with clients by hand, over SPDY and over WebSocket. */
import { createEmptyActor } from 'xstate';
import { describe, expect, it } from 'vitest';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { portLimits } from '../../../src/ports/bounds.ts';
import { sandboxView } from '../../unit/cri/stage.ts';
import { WsClient, ask, connectSpdy, wsHeaders } from './clients.ts';
import { sandbox, serve, v4 } from './fixture.ts';
import { until } from '../../support/eventually.ts';

describe('port-forward', () => {
  const pair = async (
    client: Awaited<ReturnType<typeof connectSpdy>>['client'],
    port: number,
    requestID?: string,
  ) => {
    const headers = { port: String(port), ...(requestID === undefined ? {} : { requestID }) };
    const error = await client.open({ ...headers, streamType: 'error' });
    const data = await client.open({ ...headers, streamType: 'data' });
    return { error, data };
  };

  it('many connections to many ports work, each with half-close', async () => {
    const { forward, server } = await serve();
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    const all = await Promise.all(
      Array.from({ length: 40 }, async (_none, index) => {
        const { data, error } = await pair(client, 8000 + (index % 7), String(index));
        data.write(`connection ${index}`);
        data.end();
        return [(await data.all).toString(), (await error.all).toString()];
      }),
    );
    expect(all).toEqual(Array.from({ length: 40 }, (_none, index) => [`connection ${index}`, '']));
    client.close();
    await until(() => server.counts.sessions === 0);
  });

  it('connections without request ids work, as of old clients', async () => {
    const { forward } = await serve();
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    const { data } = await pair(client, 80);
    data.write('x');
    data.end();
    expect((await data.all).toString()).toBe('x');
    client.close();
  });

  it('an error comes on the error stream, and other connections go on', async () => {
    const { forward } = await serve();
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    const [bad, good] = [await pair(client, 81, '1'), await pair(client, 80, '2')];
    expect((await bad.error.all).toString()).toBe('nobody listens');
    good.data.write('still');
    good.data.end();
    expect((await good.data.all).toString()).toBe('still');
    client.close();
  });

  it('the error stream ends with the direction of the target, while the client’s goes on', async () => {
    const { forward, closings } = await serve();
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    const { data, error } = await pair(client, 83);
    // as client-go before 1.32, which ends its own direction after both
    expect((await data.all).toString()).toBe('bye');
    expect((await error.all).toString()).toBe('');
    data.write('more');
    data.end();
    const got = closings[0]?.got;
    await until(() => got?.ended === true);
    expect(Buffer.from((await got?.read()) ?? []).toString()).toBe('more');
    client.close();
  });

  it('a connection made after the abort is closed', async () => {
    const { forward, clock, late } = await serve();
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    const { error } = await pair(client, 82);
    await until(() => late.length === 1);
    clock.fire(3 * portLimits.dialMs + actorLimits.driverGraceMs);
    expect((await error.all).toString()).toContain('timed out after');
    late[0]?.connect();
    await until(() => late[0]?.isClosed === true);
    client.close();
  });

  it('ports outside of the request, invalid ports and unmatched stream pairs are refused', async () => {
    const { forward } = await serve();
    const { client } = await connectSpdy(await forward(80), 'portforward.k8s.io');
    await expect(
      (await client.open({ streamType: 'error', port: '82', requestID: '1' })).all,
    ).rejects.toThrow('reset');
    await expect((await client.open({ streamType: 'data', port: '0', requestID: '1' })).all).rejects.toThrow(
      'reset',
    );
    const one = await client.open({ streamType: 'data', port: '80', requestID: '2' });
    const two = await client.open({ streamType: 'data', port: '80', requestID: '2' });
    await expect(one.all).rejects.toThrow('reset');
    await expect(two.all).rejects.toThrow('reset');
    client.close();
  });

  it('a reset, and a disconnecting client, close the connections to the pod', async () => {
    const { forward, echoes, server } = await serve();
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    const [one, two] = [await pair(client, 80, '1'), await pair(client, 80, '2')];
    two.data.end();
    await until(() => echoes.length === 2);
    one.data.reset();
    await until(() => echoes[0]?.ended === true);
    client.socket.destroy();
    await until(() => echoes[1]?.ended === true && server.counts.sessions === 0);
  });

  it('the end of the sandbox ends it', async () => {
    const { forward, directory, server } = await serve();
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    const { data } = await pair(client, 80, '1');
    await until(() => server.counts.sessions === 1);
    directory.put(sandboxView(sandbox, { ready: false, path: 'notReady' }), createEmptyActor());
    await expect(data.all).rejects.toThrow();
    client.socket.destroy();
  });

  it('WebSocket channels carry the ports of the query', async () => {
    const { forward } = await serve();
    const client = new WsClient(`${await forward()}?port=80&port=81`, v4);
    await client.opened;
    await client.until(() => client.on(3).length > 2 && client.on(0).length === 2);
    expect([0, 1, 2].map((channel) => client.on(channel).readUInt16LE(0))).toEqual([80, 80, 81]);
    expect(client.on(3).subarray(2).toString()).toBe('nobody listens');
    client.send(0, 'over channels');
    await client.until(() => client.on(0).length > 2);
    expect(client.on(0).subarray(2).toString()).toBe('over channels');
    client.socket.close();
    await client.closed;
    expect(await ask(await forward(), wsHeaders(v4), 'GET')).toMatchObject({ status: 400 });
    expect(await ask(`${await forward()}?port=0`, wsHeaders(v4), 'GET')).toMatchObject({ status: 400 });
  });
});
