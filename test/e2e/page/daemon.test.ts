// The page, the metrics and the traces of a real daemon: pods that start, one whose CNI plugin hangs.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { criClient } from '../../../scripts/support/cri-client.ts';
import type { CriClient } from '../../../scripts/support/cri-client.ts';
import { makeInstance } from '../../support/instance.ts';
import type { Instance } from '../../support/instance.ts';
import { sandboxConfig } from '../support/pods.ts';
import { chromium, openBrowser } from './browser.ts';
import type { Browser, Page } from './browser.ts';
import { pluginDirs, writeHangingPlugin } from './hanging-plugin.ts';
import { unless } from '../../support/skips/unless.ts';

const missing = [
  ...(chromium === undefined
    ? ['this machine has no Chromium (apt-get install chromium-headless-shell)']
    : []),
  ...(process.getuid?.() === 0 ? [] : ['pods need root']),
];
if (missing.length > 0) process.stderr.write(`skipped: the page of a real daemon: ${missing.join('; ')}\n`);

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly status: { readonly code?: number };
}

/** Takes OTLP and keeps the spans. */
async function collector(): Promise<{
  readonly server: Server;
  readonly endpoint: string;
  readonly spans: OtlpSpan[];
}> {
  const spans: OtlpSpan[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request
      .setEncoding('utf8')
      .on('data', (piece: string) => (body += piece))
      .on('end', () => {
        const { resourceSpans } = JSON.parse(body) as {
          resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[];
        };
        spans.push(...resourceSpans.flatMap((one) => one.scopeSpans.flatMap((scope) => scope.spans)));
        response.end('{}');
      });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return { server, spans, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function prepared(endpoint: string): Promise<Instance> {
  const made = await makeInstance({ name: 'page' });
  writeHangingPlugin(made.directory);
  await mkdir(join(made.directory, 'troupe.toml.d'));
  const lines = [
    '[introspection]',
    'http_address = "127.0.0.1:0"',
    '[tracing]',
    `endpoint = "${endpoint}"`,
    '[network]',
    pluginDirs(made.directory),
  ];
  await writeFile(join(made.directory, 'troupe.toml.d/10-page.toml'), `${lines.join('\n')}\n`);
  return made;
}

unless(describe, missing.length > 0 ? `needs ${missing.join(', ')}` : '')('the page of a real daemon', () => {
  let traces: Awaited<ReturnType<typeof collector>>;
  let instance: Instance;
  let cri: CriClient;
  let browser: Browser;
  let page: Page;
  let origin = '';
  let token = '';

  beforeAll(async () => {
    traces = await collector();
    instance = await prepared(traces.endpoint);
    await instance.start();
    cri = criClient(instance.socket);
    origin = /"page":"(http:[^"]+)"/u.exec(await instance.log())?.[1] ?? '';
    token = (await readFile(join(instance.state, 'introspection.token'), 'utf8')).trim();
    browser = await openBrowser();
    page = browser.page;
    await page.size(1280, 860);
    await page.open(`${origin}/#token=${token}`);
  });
  afterAll(async () => {
    cri?.close();
    await browser?.close();
    await instance?.remove();
    traces?.server.closeAllConnections();
    traces?.server.close();
  });

  const row = (name: string): string =>
    `[...document.querySelectorAll('.row:not([hidden])')].find((one) => one.querySelector('b').textContent === '${name}')`;
  const start = (name: string): Promise<string> =>
    cri.runtime
      .runPodSandbox({
        config: sandboxConfig({ name, logDirectory: join(instance.directory, 'logs', name) }),
      })
      .then(({ podSandboxId }) => podSandboxId);

  test('the token is not in the log, and its file is for root only', async () => {
    expect(origin).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/u);
    expect(await instance.log()).not.toContain(token);
    expect((await stat(join(instance.state, 'introspection.token'))).mode & 0o777).toBe(0o600);
  });

  test('a pod appears by itself; when chosen, its state is lit and its history shown', async () => {
    await page.until("document.getElementById('empty').textContent === 'No pods yet.'");
    await start('frontend');
    await page.until(`${row('frontend')} !== undefined`);
    await page.value(`${row('frontend')}.click()`);
    await page.until("document.querySelector('.box.lit.leaf')?.dataset.path === 'ready'");
    const history = await page.value<string>("document.querySelector('.history').innerText");
    for (const state of ['recordingIntent', 'provisioning', 'committing', 'ready'])
      expect(history).toContain(state);
  });

  test('a pod whose CNI plugin hangs shows the plugin, its pid and the deadline', async () => {
    const started = start('checkout').then(
      () => 'it started',
      (thrown: unknown) => String(thrown),
    );
    await page.until(
      `${row('checkout')}?.querySelector('.how').textContent.includes('waits on CNI ADD bridge')`,
    );
    await page.value(`${row('checkout')}.click()`);
    await page.until(
      'document.querySelector(\'.box.lit.leaf[data-path="provisioning.network.adding"]\') !== null',
    );
    await page.until("/pid \\d+, sleeping/.test(document.querySelector('.waits').innerText)");
    expect(await page.value("document.getElementById('status').textContent")).toContain(
      ' 2 pods · 0 containers',
    );
    const waits = await page.value<string>("document.querySelector('.waits').innerText");
    const pid = /pid (\d+)/u.exec(waits)?.[1] ?? '';
    expect((await readFile(`/proc/${pid}/cmdline`, 'latin1')).replaceAll('\0', ' ')).toContain('sleep 3600');
    expect(waits).toContain('CNI ADD bridge');
    expect(waits).toContain(join(instance.directory, 'plugins/bridge'));
    expect(waits).toMatch(/2 m \d+ s left/u);
    const scrape = await (
      await fetch(`${origin}/metrics`, { headers: { authorization: `Bearer ${token}` } })
    ).text();
    for (const line of [
      'troupe_effects_running{effect="addNetwork"} 1',
      'troupe_sandboxes{state="ready"} 1',
      'troupe_sandboxes{state="provisioning"} 1',
      'troupe_rpcs_total{method="RunPodSandbox",code="OK"} 1',
      'troupe_ready 1',
      'troupe_condition{condition="NetworkReady"} 1',
    ]) {
      expect(scrape).toContain(`\n${line}\n`);
    }
    expect(scrape).toMatch(/\ntroupe_journal_sync_duration_seconds_count [1-9]/u);
    expect(scrape).toMatch(
      /\ntroupe_cni_plugin_duration_seconds_count\{plugin="bridge",command="ADD",outcome="ok"\} 1\n/u,
    );
    expect(scrape).toMatch(/\ntroupe_event_loop_lag_seconds\{quantile="0\.99"\} /u);
    process.kill(Number(pid), 'SIGKILL');
    expect(await started).toContain('CNI ADD');
    const { items } = await cri.runtime.listPodSandbox({});
    for (const { id } of items) await cri.runtime.removePodSandbox({ podSandboxId: id });
    expect(items.length).toBeGreaterThan(0);
    await page.until(`${row('frontend')} === undefined`);
  });

  test('the browser logs no error and sends no request elsewhere', () => {
    expect(page.complaints).toEqual([]);
    expect(page.requests.filter((url) => !url.startsWith(`${origin}/`))).toEqual([]);
  });

  test('the trace has a span for the call, and below it one for each effect of its pod', async () => {
    // the end of the daemon sends what is left
    await instance.terminate();
    const call = traces.spans.find(
      ({ name, status }) => name === 'RunPodSandbox' && status.code === undefined,
    );
    expect(call).toBeDefined();
    const below = traces.spans.filter(({ parentSpanId }) => parentSpanId === call?.spanId);
    expect(new Set(below.map(({ traceId }) => traceId))).toEqual(new Set([call?.traceId]));
    expect(below.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['recordIntent', 'makeCgroup', 'pinNamespaces', 'addNetwork', 'recordReady']),
    );
  });
});
