// Listening sockets that systemd keeps: after a kill and over a restart a client's connect waits for the next
// daemon, and is answered by it; none fails. A small program stands in for systemd.
import { existsSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { criClient } from '../../../scripts/support/cri-client.ts';
import { duplicateOf } from '../../../src/host/io/listening.ts';
import { FakeSystemd } from '../../support/fake-systemd.ts';
import { makeInstance } from '../../support/instance.ts';
import type { Instance } from '../../support/instance.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

/** Clients of each socket that come while no daemon runs. */
const CLIENTS = 20;
const NAMES = ['cri', 'introspection', 'streaming'];

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Settles once the kernel has taken the connection into the backlog. */
function connected(at: string | number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = typeof at === 'string' ? connect(at) : connect(at, '127.0.0.1');
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/** The status of an answer to a plain request. */
function asked(at: { readonly socketPath: string } | { readonly port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...at, host: '127.0.0.1', path: '/' }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.once('error', reject);
    sent.end();
  });
}

unless(describe, notRoot())('sockets that systemd keeps', () => {
  const systemd = new FakeSystemd();
  let instance: Instance;
  let port = 0;

  const stored = (): Promise<void> => expect.poll(() => systemd.stored, { timeout: EVENT_MS }).toEqual(NAMES);
  const introspection = (): string => join(instance.state, 'introspection.sock');
  /** All three sockets answer, as soon as there is a daemon. */
  const begin = async (): Promise<Promise<unknown>[]> => {
    const clients = Array.from({ length: CLIENTS }, () => criClient(instance.socket));
    const calls = clients.map((client) => client.runtime.listPodSandbox({}).finally(() => client.close()));
    const others = [
      ...clients.map(() => asked({ port })),
      ...clients.map(() => asked({ socketPath: introspection() })),
    ];
    // that these connect shows that the others can, too
    for (const at of [instance.socket, introspection(), port]) (await connected(at)).destroy();
    return [...calls, ...others];
  };

  beforeAll(async () => {
    port = await freePort();
    const config = `[streaming]\naddress = "127.0.0.1"\nport = ${port}\n`;
    instance = await makeInstance({ name: 'kept', network: 'none', systemd, config });
    await instance.start();
  });
  afterAll(async () => {
    await instance.remove();
    systemd.close();
  });

  it('after SIGKILL: connects wait, and every call is answered by the next daemon', async () => {
    await stored();
    const { ino } = statSync(instance.socket);
    await instance.kill();
    const calls = await begin();
    await instance.start();
    expect((await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(statSync(instance.socket).ino).toBe(ino);
    expect(await instance.log()).not.toContain('is not used');
    await stored();
  });

  it('over a restart by SIGTERM: the file stays, and connects wait', async () => {
    expect(await instance.terminate()).toBe(0);
    expect(existsSync(instance.socket)).toBe(true);
    const calls = await begin();
    await instance.start();
    expect((await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected')).toEqual([]);
    await stored();
  });

  it('F90 a socket that was made again replaces the one that is kept', async () => {
    const stores = (): number => systemd.messages.filter((one) => one === 'FDSTORE=1\nFDNAME=cri').length;
    const before = stores();
    rmSync(instance.socket);
    await expect.poll(stores, { timeout: EVENT_MS }).toBe(before + 1);
    expect(systemd.stored).toEqual(NAMES);
    await instance.kill();
    const calls = await begin();
    await instance.start();
    expect((await Promise.allSettled(calls)).filter(({ status }) => status === 'rejected')).toEqual([]);
  });

  it('what does not fit the configuration is closed and no longer kept, and the daemon binds its own', async () => {
    await stored();
    await instance.kill();
    rmSync(instance.socket);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    systemd.pass('streaming', duplicateOf(other));
    systemd.pass('unheard', duplicateOf(other));
    other.close();
    await instance.start();
    await expect.poll(() => systemd.stored, { timeout: EVENT_MS }).toEqual(NAMES);
    expect(await asked({ port })).toBe(404);
    const log = await instance.log();
    expect(log).toContain(`descriptor for ${instance.socket} is not used`);
    expect(log).toContain('passed descriptor is not used: unknown name');
    expect(systemd.messages).toContain('FDSTOREREMOVE=1\nFDNAME=unheard');
  });
});
