/** Clients that do not keep up: one whose stdin nobody reads, and one that reads later than its container ends. */
import { createEmptyActor } from 'xstate';
import { describe, expect, it } from 'vitest';
import { streamLimits } from '../../../src/cri/bounds.ts';
import { containerView } from '../../unit/cri/stage.ts';
import { WsClient, connectSpdy, openCommand } from './clients.ts';
import { MUCH, container, serve, v4 } from './fixture.ts';
import { until } from '../../support/eventually.ts';

/** So much that the server stops to read, and some of it stays in the kernel. */
const STUCK = Buffer.alloc(3 * streamLimits.inboundBytes);

describe('a client whose stdin nobody reads', () => {
  it('over SPDY: its command is aborted once it has disconnected (S27)', async () => {
    const { exec, server, clock, aborted, seen } = await serve();
    const { client } = await connectSpdy(await exec(['hang'], { stderr: false }), v4);
    const { stdin } = await openCommand(client, 'stdin', 'stdout');
    await until(() => seen.length === 1);
    stdin.write(STUCK);
    await until(() => [...clock.timers.values()].some(({ ms }) => ms === streamLimits.probeMs));
    client.socket.destroy();
    await until(() => {
      clock.fire(streamLimits.probeMs);
      return server.counts.sessions === 0;
    });
    expect(aborted).toEqual(['the client has gone']);
  });

  it('that stays connected is only pinged, and goes on once it is read', async () => {
    const { exec, server, clock, seen } = await serve();
    const client = new WsClient(await exec(['hang'], { stderr: false }), 'v5.channel.k8s.io');
    await client.opened;
    await until(() => seen.length === 1);
    client.send(0, STUCK);
    await until(() => [...clock.timers.values()].some(({ ms }) => ms === streamLimits.probeMs));
    for (let probe = 0; probe < 3; probe += 1) clock.fire(streamLimits.probeMs);
    expect(server.counts.sessions).toBe(1);
    const closing = server.close();
    // answered, though it had been stuck
    expect(await client.closed).toBe(1000);
    expect(client.on(3).toString()).toContain('stopping');
    await closing;
  });
});

describe('an attached client that reads later than its container ends', () => {
  it.each([
    [v4, 'spdy'],
    ['v5.channel.k8s.io', 'websocket'],
  ])('%s gets all output and a clean end', async (protocol, transport) => {
    const { server, clock, directory } = await serve();
    const url = await server.urlFor({
      kind: 'attach',
      id: container,
      stdin: false,
      stdout: true,
      stderr: false,
      tty: false,
    });
    const end = (): void => {
      directory.put(containerView(container, { criState: 'exited', path: 'exited' }), createEmptyActor());
      for (let poll = 0; poll < 3; poll += 1) clock.fire(streamLimits.endWithContainerMs);
    };
    if (transport === 'websocket') {
      const client = new WsClient(url, protocol);
      await client.until(() => client.messages.some(({ data }) => data.length > 0));
      end();
      await client.closed;
      expect(client.on(1).length).toBe(MUCH);
      return expect(JSON.parse(client.on(3).toString())).toMatchObject({ status: 'Success' });
    }
    const { client } = await connectSpdy(url, protocol);
    const { stdout, error } = await openCommand(client, 'stdout');
    await until(() => stdout.size() > 0);
    client.socket.pause();
    end();
    client.socket.resume();
    expect((await stdout.all).length).toBe(MUCH);
    expect(JSON.parse((await error.all).toString())).toMatchObject({ status: 'Success' });
    client.close();
  });
});
