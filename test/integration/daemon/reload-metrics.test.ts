// A daemon whose page, metrics and traces are configured by a reload: the listener over TLS, and a collector.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { World } from '../../e2e/support/world.ts';
import { eventually } from '../../support/eventually.ts';
import { selfSigned } from '../../support/registry/certificates.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';
import { closeWorld, hostOnlyWorld } from './pod.ts';

unless(describe, notRoot())('page, metrics and traces that a reload configures', () => {
  let world: World;
  let dropIn: string;
  const client = selfSigned(['DNS:prometheus']);

  beforeAll(async () => {
    world = await hostOnlyWorld('prom');
    const drops = join(world.instance.directory, 'troupe.toml.d');
    mkdirSync(drops);
    dropIn = join(drops, '10-metrics.toml');
  });
  afterAll(async () => {
    expect(await closeWorld(world)).toEqual([]);
  });

  /** Over TLS, with the certificate; the error's message where the listener does not take it. */
  const scrape = (port: number): Promise<string> =>
    new Promise((resolve) => {
      const options = { host: '127.0.0.1', port, path: '/metrics', agent: false, rejectUnauthorized: false };
      const call = request({ ...options, ...client }, (answer) => {
        let text = '';
        answer
          .setEncoding('utf8')
          .on('data', (piece: string) => (text += piece))
          .on('end', () => resolve(text));
      });
      call.on('error', (error) => resolve(error.message)).end();
    });

  async function collector(): Promise<{ readonly endpoint: string; readonly tokens: readonly string[] }> {
    const tokens: string[] = [];
    const server = createServer((asked, response) => {
      tokens.push(asked.headers.authorization ?? '');
      asked.resume().on('end', () => response.end('{}'));
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tokens };
  }

  it('F32 count at once; a reload that is refused is seen in the metrics, too', async () => {
    const at = (name: string): string => join(world.instance.directory, name);
    const own = selfSigned(['IP:127.0.0.1']);
    writeFileSync(at('metrics.crt'), own.cert);
    writeFileSync(at('metrics.key'), own.key);
    writeFileSync(at('clients.crt'), client.cert);
    writeFileSync(at('headers'), 'authorization: Bearer of-the-collector\n', { mode: 0o600 });
    const { endpoint, tokens } = await collector();
    writeFileSync(
      dropIn,
      `[metrics]\naddress = "127.0.0.1:0"\ntls_cert = "${at('metrics.crt')}"\ntls_key = "${at('metrics.key')}"
tls_client_ca = "${at('clients.crt')}"\n[tracing]\nendpoint = "${endpoint}"\nheaders_file = "${at('headers')}"\n`,
    );
    process.kill(world.instance.pid(), 'SIGHUP');
    const port = await eventually('the listener', async () => {
      const [, digits] = /"port":(\d+),"msg":"serving the metrics"/u.exec(await world.instance.log()) ?? [];
      return digits === undefined ? undefined : Number(digits);
    });
    await world.client.runtime.status({});
    await eventually('spans', () => tokens.length > 0);
    expect(tokens[0]).toBe('Bearer of-the-collector');
    const text = await eventually('the end of the reload', async () => {
      const one = await scrape(port);
      return one.includes('\ntroupe_config_reloads_total{outcome="ok"} 1\n') ? one : undefined;
    });
    expect(text).toContain('\ntroupe_condition{condition="RuntimeReady"} 1\n');
    expect(text).toMatch(/\ngrpc_server_handled_total\{.*grpc_method="Status",grpc_code="OK"\} \d+\n/u);
    expect(text).toMatch(/\nprocess_resident_memory_bytes [1-9]\d+\n/u);
    expect(text).toMatch(/\nprocess_max_fds [1-9]\d+\n/u);

    writeFileSync(dropIn, '[metrics\n');
    process.kill(world.instance.pid(), 'SIGHUP');
    await eventually('the refusal in the metrics', async () =>
      (await scrape(port)).includes('\ntroupe_config_last_reload_successful 0\n'),
    );
    writeFileSync(dropIn, '[metrics]\naddress = "127.0.0.1:0"\n[introspection]\nmetrics = "open"\n');
    process.kill(world.instance.pid(), 'SIGHUP');
    const plain = await eventually('the listener without TLS', async () => {
      const last = [
        ...(await world.instance.log()).matchAll(/"port":(\d+),"msg":"serving the metrics"/gu),
      ].at(-1);
      return Number(last?.[1]) === port ? undefined : Number(last?.[1]);
    });
    const codeOf = async (): Promise<number> => (await fetch(`http://127.0.0.1:${plain}/metrics`)).status;
    await eventually('a scrape without the token', async () => (await codeOf()) === 200);
    writeFileSync(dropIn, '[metrics]\naddress = "127.0.0.1:0"\n[introspection]\nmetrics = "token"\n');
    process.kill(world.instance.pid(), 'SIGHUP');
    await eventually('its refusal', async () => (await codeOf()) === 401);

    rmSync(dropIn);
    process.kill(world.instance.pid(), 'SIGHUP');
    await eventually('the end of the listener', async () =>
      fetch(`http://127.0.0.1:${plain}/metrics`).then(
        () => false,
        () => true,
      ),
    );
  });

  it('the page begins and ends with its address, and Status says where it is', async () => {
    const origins = async (): Promise<readonly string[]> =>
      [...(await world.instance.log()).matchAll(/"page":"(http:[^"]+)"/gu)].map(([, origin = '']) => origin);
    const loads = (origin: string): Promise<boolean> =>
      fetch(origin).then(
        ({ status }) => status === 200,
        () => false,
      );
    expect(await origins()).toEqual([]);
    writeFileSync(dropIn, '[introspection]\nhttp_address = "127.0.0.1:0"\n');
    process.kill(world.instance.pid(), 'SIGHUP');
    const first = await eventually('the page', async () => (await origins())[0]);
    expect(await loads(first)).toBe(true);
    const token = readFileSync(join(world.instance.state, 'introspection.token'), 'utf8').trim();
    const asked = await fetch(`${first}/introspection.v1.Introspection/Status`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: '{}',
    });
    expect(await asked.json()).toMatchObject({ pageOrigin: first });
    writeFileSync(dropIn, '[introspection]\nhttp_address = "127.0.0.2:0"\n');
    process.kill(world.instance.pid(), 'SIGHUP');
    const second = await eventually('the page elsewhere', async () => (await origins())[1]);
    expect([await loads(first), await loads(second)]).toEqual([false, true]);
    rmSync(dropIn);
    process.kill(world.instance.pid(), 'SIGHUP');
    await eventually('the end of the page', async () => !(await loads(second)));
  });
});
