import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWeb } from '../../../src/introspection/web-server.ts';
import type { WebServer } from '../../../src/introspection/web-server.ts';
import { sandbox, stage } from './stage.ts';

const token = '1f'.repeat(32);
const bearer = { authorization: `Bearer ${token}` };
const list = '/introspection.v1.Introspection/List';
const json = { 'content-type': 'application/json' };

let web: WebServer;
let open: WebServer;
beforeAll(async () => {
  const { options, put } = stage();
  put(sandbox(1, 'ready'));
  const common = {
    address: '127.0.0.1:0',
    token,
    introspection: options,
    metrics: () => Promise.resolve('troupe_ready 1\n'),
  };
  [web, open] = await Promise.all([
    startWeb({ ...common, metricsAreOpen: () => false }),
    startWeb({ ...common, metricsAreOpen: () => true }),
  ]);
});
afterAll(async () => {
  await Promise.all([web.close(), open.close()]);
});

interface Answer {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** As no browser would ask: any Host, any path. */
function ask(
  server: WebServer,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body = '',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.origin);
    const call = request({ hostname, port, method, path, headers, agent: false }, (answer) => {
      let text = '';
      answer
        .setEncoding('utf8')
        .on('data', (piece: string) => (text += piece))
        .on('end', () => resolve({ code: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    call.on('error', reject).end(body);
  });
}

describe('S70: access needs the token', () => {
  test('to the service', async () => {
    expect(await ask(web, 'POST', list, json, '{}')).toMatchObject({ code: 401 });
    expect(await ask(web, 'POST', list, { ...json, authorization: `Bearer ${token}0` }, '{}')).toMatchObject({
      code: 401,
    });
    expect(await ask(web, 'POST', list, { ...json, cookie: `token=${token}` }, '{}')).toMatchObject({
      code: 401,
    });
    const answer = await ask(web, 'POST', list, { ...json, ...bearer }, '{}');
    expect(answer.code).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      actors: [{ kind: 'sandbox', name: 'pod-001', state: 'ready' }],
    });
  });

  test('to the metrics, unless they are open', async () => {
    expect(await ask(web, 'GET', '/metrics')).toMatchObject({ code: 401 });
    expect(await ask(web, 'GET', '/metrics', bearer)).toMatchObject({ code: 200, text: 'troupe_ready 1\n' });
    expect(await ask(web, 'GET', `/metrics?token=${token}`)).toMatchObject({ code: 200 });
    const answer = await ask(open, 'GET', '/metrics');
    expect(answer).toMatchObject({ code: 200 });
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await ask(open, 'POST', list, json, '{}')).toMatchObject({ code: 401 });
  });

  test('but not to the page, which has no data', async () => {
    const answer = await ask(web, 'GET', '/');
    expect(answer.code).toBe(200);
    expect(answer.text).toContain('<title>troupe</title>');
    expect(answer.text).not.toContain(token);
    expect(await ask(web, 'HEAD', '/main.js')).toMatchObject({ code: 200, text: '' });
  });

  test('which the printed address has in the fragment, since that is never sent', () => {
    expect(web.url).toBe(`${web.origin}/#token=${token}`);
  });
});

describe('S68: a page under another name reaches nothing, token or not', () => {
  test.each(['/', '/main.js', '/metrics', list])('%s', async (path) => {
    const method = path === list ? 'POST' : 'GET';
    expect(await ask(open, method, path, { ...json, ...bearer, host: 'evil.example' }, '')).toMatchObject({
      code: 403,
    });
    expect(
      await ask(open, method, path, { ...json, ...bearer, origin: 'http://evil.example' }, ''),
    ).toMatchObject({ code: 403 });
    expect(
      await ask(open, method, path, { ...json, ...bearer, 'sec-fetch-site': 'cross-site' }, ''),
    ).toMatchObject({ code: 403 });
  });
});

test.each(['/', '/style.css', '/metrics', '/nothing', list])(
  '%s: the answer forbids caching, framing and sniffing',
  async (path) => {
    const { headers } = await ask(web, 'GET', path);
    expect(headers['content-security-policy']).toContain("default-src 'self'");
    expect(headers['content-security-policy']).not.toContain('unsafe');
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
    });
    expect(headers['access-control-allow-origin']).toBeUndefined();
    expect(headers['set-cookie']).toBeUndefined();
  },
);

test.each([
  ['GET', '/../web-guard.ts'],
  ['GET', '/%2e%2e/service.ts'],
  ['GET', '/page/index.html'],
  ['GET', '/index.html/'],
  ['GET', '//'],
  ['PUT', '/'],
  ['DELETE', list],
  ['GET', list],
  ['POST', '/metrics'],
  ['OPTIONS', list],
  ['POST', '/other.Service/List'],
  ['GET', 'http://[/'],
])('%s %s is not found', async (method, path) => {
  const { code } = await ask(open, method, path, { ...json, ...bearer });
  expect([400, 404]).toContain(code);
});

test('only loopback is served', async () => {
  const { options } = stage();
  const common = {
    token,
    introspection: options,
    metrics: () => Promise.resolve(''),
    metricsAreOpen: () => false,
  };
  await expect(startWeb({ ...common, address: '0.0.0.0:0' })).rejects.toThrow('not a loopback address');
  await expect(startWeb({ ...common, address: new URL(web.origin).host })).rejects.toThrow(
    /serve the page on 127\.0\.0\.1:\d+: .*EADDRINUSE/u,
  );
});

test('a failed scrape is reported, and the server goes on', async () => {
  const { options } = stage();
  const server = await startWeb({
    address: '127.0.0.1:0',
    token,
    introspection: options,
    metrics: () => Promise.reject(new Error('no')),
    metricsAreOpen: () => true,
  });
  expect(await ask(server, 'GET', '/metrics')).toMatchObject({ code: 500 });
  expect(await ask(server, 'GET', '/')).toMatchObject({ code: 200 });
  await server.close();
});
