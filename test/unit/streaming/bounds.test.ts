// S78: what one client costs the daemon, over all of its sessions.
import { request } from 'node:http';
import { expect, test } from 'vitest';
import { halfOpenLimits, streamLimits } from '../../../src/base/limits.ts';
import { ForwardSlots } from '../../../src/cri/streaming/forward-slots.ts';
import { connectSpdy } from '../../integration/streaming/clients.ts';
import { serve, until } from '../../integration/streaming/fixture.ts';

type Client = Awaited<ReturnType<typeof connectSpdy>>['client'];

test('S78 forwarded connections are bounded over all pods, and for one; a slot that is freed twice is one', () => {
  const slots = new ForwardSlots();
  const targets = Array.from({ length: streamLimits.forwards / streamLimits.forwardsPerTarget }, (_none, at) => `pod ${at}`);
  const taken = targets.flatMap((target) => Array.from({ length: streamLimits.forwardsPerTarget }, () => slots.take(target)));
  expect(() => slots.take('pod 0')).toThrow(`${streamLimits.forwardsPerTarget} of its connections are open`);
  expect(() => slots.take('another')).toThrow(`${streamLimits.forwards} in all`);
  taken[0]?.();
  taken[0]?.();
  slots.take('another');
  expect(() => slots.take('another')).toThrow('in all');
  for (const free of taken) free();
  for (const _ of targets) slots.take('pod 0');
});

test('S78 the connections of one pod are bounded over all of its sessions, halves included, and those that end make room', async () => {
  const { forward, server } = await serve();
  const many: Client[] = [];
  // a session has room for half of them as streams that wait for their other half
  for (let session = 0; session < 2; session += 1) {
    const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
    many.push(client);
    for (let id = 0; id < streamLimits.forwardsPerTarget / 2; id += 1) {
      await client.open({ port: '80', streamType: 'error', requestID: String(id) });
    }
    // refused, once all before it were looked at
    await expect((await client.open({ port: '0', streamType: 'error' })).all).rejects.toThrow('reset');
  }
  const { client } = await connectSpdy(await forward(), 'portforward.k8s.io');
  const over = await client.open({ port: '80', streamType: 'error', requestID: '1' });
  await expect(over.all).rejects.toThrow('reset');
  for (const one of many) one.close();
  await until(() => server.counts.sessions === 1);
  const error = await client.open({ port: '80', streamType: 'error', requestID: '2' });
  const data = await client.open({ port: '80', streamType: 'data', requestID: '2' });
  data.write('served');
  data.end();
  expect([(await data.all).toString(), (await error.all).toString()]).toEqual(['served', '']);
  client.close();
  await until(() => server.counts.sessions === 0);
});

test('S68 S89 requests that are refused for their Host are one line of the log in a while, and a short one', async () => {
  const lines: { readonly fields: Record<string, unknown>; readonly message: string }[] = [];
  const { server, clock } = await serve({ warn: (fields, message) => lines.push({ fields, message }) });
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const headers = { host: 'h'.repeat(8000), connection: 'upgrade', upgrade: 'websocket' };
      const asked = request({ port: server.port, host: '127.0.0.1', headers, agent: false }, (response) => response.resume().on('close', resolve));
      asked.on('error', () => resolve());
      asked.end();
    });
  for (let count = 0; count < 20; count += 1) await ask();
  expect(lines.length).toBe(1);
  expect(String(lines[0]?.fields['host']).length).toBe(streamLimits.refusalChars);
  clock.nowMs += streamLimits.refusalLogMs;
  await ask();
  expect(lines.map(({ fields }) => fields['count'])).toEqual([1, 20]);
  expect(halfOpenLimits.connections).toBeGreaterThan(20);
});
