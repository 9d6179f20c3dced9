// The page in a real browser over fabricated actors: 500 pods, hostile names, keys, a wrong token. No root needed.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWeb } from '../../../src/introspection/web-server.ts';
import type { WebServer } from '../../../src/introspection/web-server.ts';
import type { SandboxView } from '../../../src/actors/directory/views.ts';
import { container, pull, sandbox, stage } from '../../unit/introspection/stage.ts';
import { chromium, openBrowser } from './browser.ts';
import type { Browser, Page } from './browser.ts';
import { unless } from '../../support/skips/unless.ts';

if (chromium === undefined)
  process.stderr.write(
    'skipped: the page in a browser: this machine has no Chromium (apt-get install chromium-headless-shell)\n',
  );

const PODS = 500;
/** Elements: header, some 20 rows, a chart with 50 states; never 1500 rows. */
const MOST_ELEMENTS = 1500;
const rows = "[...document.querySelectorAll('.row:not([hidden])')]";
const named = (name: string): string =>
  `${rows}.find((row) => row.querySelector('b').textContent === ${JSON.stringify(name)})`;

unless(describe, chromium === undefined ? 'needs Chromium' : '')('the page over 500 pods', () => {
  const { options, put, drop, wait } = stage();
  const token = '5a'.repeat(32);
  const pods: SandboxView[] = [];
  let web: WebServer;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    for (let at = 0; at < PODS; at += 1) {
      const pod = sandbox(at, 'ready');
      pods.push(pod);
      put(pod);
      for (const number of [2 * at, 2 * at + 1])
        put(container(number, pod, number % 7 === 0 ? 'exited' : 'running'));
    }
    web = await startWeb({
      address: '127.0.0.1:0',
      token,
      introspection: options,
      metrics: () => Promise.resolve(''),
      metricsAreOpen: () => false,
    });
    browser = await openBrowser();
    page = browser.page;
    await page.size(1280, 860);
    await page.open(web.url);
    await page.until(`${rows}.length > 5`);
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
  });

  const key = async (...keys: readonly string[]): Promise<void> => {
    for (const one of keys) await page.press(one);
  };
  const filter = async (text: string): Promise<void> => {
    await key('Escape', '/', 'Escape');
    if (text !== '') await page.type(text);
  };
  const elements = (): Promise<number> => page.value<number>("document.querySelectorAll('*').length");

  test('the token is removed from the address bar', async () => {
    expect(await page.value('location.href')).toBe(`${web.origin}/`);
    expect(await page.value('document.cookie')).toBe('');
  });

  test('the page keeps only visible rows as elements, at the top, in the middle and at the end', async () => {
    const all = await page.value<number>("document.getElementById('rows').offsetHeight");
    expect(all).toBe(3 * PODS * 46);
    for (const part of [0, 0.5, 1]) {
      await page.value(
        `document.getElementById('list').scrollTop = ${part} * document.getElementById('rows').offsetHeight`,
      );
      const name = part === 1 ? `app-${2 * (PODS - 2) + 1}` : undefined;
      await page.until(name === undefined ? `${rows}.length > 5` : `${named(name)} !== undefined`);
      expect(await elements()).toBeLessThan(MOST_ELEMENTS);
    }
  });

  test('filter and keys choose a pod; its state is lit', async () => {
    await filter('pod-123');
    await page.until(`${rows}.length === 3`);
    await key('Enter', 'ArrowDown');
    await page.until("document.querySelector('.box.lit')?.dataset.path === 'ready'");
    expect(await page.value("document.querySelector('h2').textContent")).toBe('pod-123');
    const states = options.charts().find((chart) => chart.id === 'sandbox')?.states.length ?? 0;
    expect(await page.value<number>("document.querySelectorAll('.box').length")).toBeLessThan(states / 2);
    await page.value("document.querySelector('.chart .link').click()");
    await page.until(`document.querySelectorAll('.box').length === ${states}`);
    await key('/', 'Enter');
    expect(await page.value("document.querySelector('[aria-selected=true] b').textContent")).toBe('pod-123');
    await key('ArrowDown');
    await page.until("document.querySelector('h2').textContent === 'app-246'");
    expect(await elements()).toBeLessThan(MOST_ELEMENTS);
  });

  test('a change is seen at once, in the tree and in the chart', async () => {
    const pod = pods[123];
    if (pod === undefined) return expect.fail('no such pod');
    await key('ArrowUp');
    await page.until("document.querySelector('h2').textContent === 'pod-123'");
    const stopping: SandboxView = { ...pod, path: 'stopping.undoing', state: 'stopping', settled: false };
    put(stopping, 'sandbox.stop', 'StopPodSandbox 77ab12');
    const end = wait(stopping, 'undo', 90_000, {
      on: 'CNI DEL bridge',
      argv: ['/opt/cni/bin/bridge'],
      pid: process.pid,
    });
    await page.until("document.querySelector('.box.lit.leaf')?.dataset.path === 'stopping.undoing'");
    await page.until(
      `${named('pod-123')}.querySelector('.how').textContent.includes('waits on CNI DEL bridge')`,
    );
    const waits = await page.value<string>("document.querySelector('.waits').innerText");
    expect(waits).toContain(`pid ${process.pid}`);
    expect(waits).toContain('/opt/cni/bin/bridge');
    expect(waits).toMatch(/1 m \d+ s left/u);
    expect(await page.value("document.querySelector('.history').innerText")).toContain(
      'StopPodSandbox 77ab12',
    );
    end();
    drop(stopping);
    await page.until("document.querySelector('.pill').textContent === 'removed'");
    await page.until(`${named('pod-123')} === undefined`);
  });

  test('S70: names are shown as text, whatever they contain', async () => {
    const name = '"><img src=x onerror=alert(1)><script>document.title="broken"</script>';
    const hostile = sandbox(700, 'ready', {
      fault: { kind: 'outside', message: name, subject: '', retryable: false },
    });
    put({ ...hostile, spec: { ...hostile.spec, key: { ...hostile.spec.key, name } } });
    put(pull(`registry.example/${name}`, 'fetching'));
    await filter('onerror');
    await page.until(`${rows}.length === 2`);
    await key('Enter', 'Home', 'ArrowDown');
    await page.until("document.querySelector('h2').textContent.startsWith('\"><img')");
    await page.until("document.querySelector('.answer').textContent.includes('onerror')");
    expect(await page.value("document.querySelectorAll('img, main script').length")).toBe(0);
    expect(await page.value('document.title')).toBe('troupe');
  });

  test('the filters moving and trouble show those actors only', async () => {
    await filter('');
    await page.value("document.querySelector('[data-mode=moving]').click()");
    await page.until(`${rows}.length === 1 && ${rows}[0].dataset.kind === 'pull'`);
    await page.value("document.querySelector('[data-mode=trouble]').click()");
    await page.until(`${rows}.length === 2 && ${rows}[1].dataset.tone === 'bad'`);
  });

  test('the browser logs no error and sends no request elsewhere', () => {
    expect(page.complaints).toEqual([]);
    expect(page.requests.length).toBeGreaterThan(10);
    expect(page.requests.filter((url) => !url.startsWith(`${web.origin}/`))).toEqual([]);
  });

  test('the page goes on by itself when the daemon comes back', async () => {
    const { host } = new URL(web.origin);
    await web.close();
    await page.until("document.getElementById('status').dataset.tone === 'bad'");
    const next = stage();
    next.put(sandbox(777, 'ready'));
    web = await startWeb({
      address: host,
      token,
      introspection: next.options,
      metrics: () => Promise.resolve(''),
      metricsAreOpen: () => false,
    });
    await page.value("document.querySelector('[data-mode=all]').click()");
    await page.until(`${rows}.length === 1 && ${named('pod-777')} !== undefined`);
    next.put(sandbox(778, 'ready'));
    await page.until(`${named('pod-778')} !== undefined`);
  });

  test('the page with a wrong token says so and shows nothing', async () => {
    await page.value(`(location.hash = '#token=${'0'.repeat(64)}', sessionStorage.clear())`);
    await page.open('about:blank');
    await page.open(`${web.origin}/?token=${'0'.repeat(64)}`);
    await page.until("document.getElementById('status').textContent.includes('authentication required')");
    expect(await page.value(`${rows}.length`)).toBe(0);
    expect(await page.value('location.href')).toBe(`${web.origin}/`);
  });
});
