// The page with 1000 pods: how long its first paint and an update take, groups, and that it stays small.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SandboxView } from '../../../src/actors/directory/views.ts';
import { startWeb } from '../../../src/introspection/web-server.ts';
import type { WebServer } from '../../../src/introspection/web-server.ts';
import { container, sandbox, stage } from '../../unit/introspection/stage.ts';
import { unless } from '../../support/skips/unless.ts';
import { chromium, openBrowser } from './browser.ts';
import type { Browser, Page } from './browser.ts';
import { picture, WINDOW } from './picture.ts';

const PODS = 1000;
const UPDATES = 20;
/** Elements: header, some 30 rows, the overview; never a row for each actor. */
const MOST_ELEMENTS = 1500;
const rows = "[...document.querySelectorAll('.row:not([hidden])')]";

unless(describe, chromium === undefined ? 'needs Chromium' : '')('the page over 1000 pods', () => {
  const { options, put } = stage();
  const token = '6b'.repeat(32);
  const pods: SandboxView[] = [];
  let web: WebServer;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    for (let at = 0; at < PODS; at += 1) {
      const pod = sandbox(at, 'ready');
      pods.push(pod);
      put(pod);
      for (const number of [2 * at, 2 * at + 1]) put(container(number, pod, 'running'));
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
    await page.size(WINDOW.width, WINDOW.height);
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
  });

  it('paints, and shows each change; prints how long both took', async () => {
    await page.open(web.url);
    await page.until(`${rows}.length > 5 && document.querySelector('.counts') !== null`);
    const shownMs = await page.value<number>('performance.now()');
    const paintMs = await page.value<number>(
      "performance.getEntriesByName('first-contentful-paint')[0].startTime",
    );
    const took: number[] = [];
    for (let update = 0; update < UPDATES; update += 1) {
      // pod-001 is among the first rows
      const path = update % 2 === 0 ? 'notReady' : 'ready';
      const changed = page.value<number>(
        `new Promise((resolve) => {
          const check = () => {
            const row = ${rows}.find((one) => one.querySelector('b').textContent === 'pod-001');
            if (row?.querySelector('.state').textContent === '${path}')
              requestAnimationFrame(() => resolve(performance.timeOrigin + performance.now()));
            else requestAnimationFrame(check);
          };
          check();
        })`,
      );
      const from = performance.timeOrigin + performance.now();
      put(inState(pods[1], path), 'test');
      took.push((await changed) - from);
    }
    const sorted = took.toSorted((one, other) => one - other);
    const [median = 0, last = 0] = [sorted[Math.floor(UPDATES / 2)], sorted.at(-1)];
    process.stderr.write(
      `page with ${PODS} pods and ${2 * PODS} containers: first paint ${paintMs.toFixed(0)} ms, rows and overview ` +
        `${shownMs.toFixed(0)} ms, a change until it is painted: p50 ${median.toFixed(0)} ms, max ${last.toFixed(0)} ms\n`,
    );
    expect(await page.value<number>("document.querySelectorAll('*').length")).toBeLessThan(MOST_ELEMENTS);
  });

  it('groups by namespace, collapses all groups and opens one by keys', async () => {
    await page.value("document.getElementById('list').focus()");
    await page.press('g');
    await page.until(`${rows}[0]?.classList.contains('group')`);
    await page.press('c');
    await page.until(`${rows}.length === 2`);
    expect(await page.value<string[]>(`${rows}.map((row) => row.querySelector('b').textContent)`)).toEqual([
      'default',
      'shop',
    ]);
    expect(await page.value(`${rows}[1].getAttribute('aria-expanded')`)).toBe('false');
    await page.press('End');
    await page.press('ArrowRight');
    await page.until(`${rows}.length > 10 && ${rows}[1].getAttribute('aria-expanded') === 'true'`);
    await picture(page, 'thousand-pods.png');
    await page.press('c');
    await page.press('c');
    expect(page.complaints).toEqual([]);
  });
});

/** The same pod in another state. */
function inState(pod: SandboxView | undefined, path: 'ready' | 'notReady'): SandboxView {
  return { ...(pod ?? expect.fail('no such pod')), path, state: path, ready: path === 'ready' };
}
