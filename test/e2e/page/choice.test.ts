// What the page shows first, and what stays over a reload: the node, trouble, the chosen actor, the token; keys, names.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWeb } from '../../../src/introspection/web-server.ts';
import type { WebServer } from '../../../src/introspection/web-server.ts';
import type { IntrospectionOptions } from '../../../src/introspection/service.ts';
import type { ClockPort } from '../../../src/ports/clock.ts';
import { container, pull, sandbox, stage, wallClock } from '../../unit/introspection/stage.ts';
import type { Stage } from '../../unit/introspection/stage.ts';
import { unless } from '../../support/skips/unless.ts';
import { chromium, openBrowser } from './browser.ts';
import type { Browser, Page } from './browser.ts';
import { isSeen, picture, WINDOW } from './picture.ts';

const GIB = 1024 ** 3;
const rows = "[...document.querySelectorAll('.row:not([hidden])')]";
const named = (name: string): string =>
  `${rows}.find((row) => row.querySelector('b').textContent === ${JSON.stringify(name)})`;

/** A clock on which each change takes some time, some seconds ago; from `settle` on it is the machine's. */
function slowClock(): { readonly clock: ClockPort; readonly settle: () => void } {
  const wall = wallClock();
  let isSettled = false;
  let step = 0n;
  let past = wall.nowNs() - 60_000_000_000n;
  const slow = (): bigint => {
    step = (step + 7n) % 23n;
    return (past += 3_000_000n * (step + 1n));
  };
  return {
    clock: { ...wall, nowNs: () => (isSettled ? wall.nowNs() : slow()) },
    settle: () => (isSettled = true),
  };
}

const exit = (exitCode: number, reason: string) => ({
  exit: {
    exitCode,
    reason,
    oomKilled: reason === 'OOMKilled',
    finishedAtNs: 1n,
    message: '',
    observedBy: 'process' as const,
  },
});
const fault = (message: string) => ({
  fault: { kind: 'outside' as const, message, subject: '', retryable: true },
});

/** Twelve pods that have started; two containers have failed. */
function putPods({ put, recorder }: Stage): void {
  for (let at = 0; at < 12; at += 1) {
    const pod = sandbox(at, 'ready');
    const { address } = pod;
    const cause = 'RunPodSandbox 12ab';
    for (const to of ['recordingIntent', 'provisioning.{files.making,network.adding}', 'committing']) {
      const from = to === 'recordingIntent' ? '' : 'x';
      recorder.note({ address, from, to, on: '', cause, settled: false, final: false });
    }
    put(pod, 'done', cause);
    put(container(2 * at, pod, 'running'));
    if (at === 4) put(container(90, pod, 'exited', exit(137, 'OOMKilled')));
    if (at === 7) put(container(91, pod, 'exited', exit(1, 'Error')));
  }
}

/** A node with something of everything. */
function busyNode(): IntrospectionOptions {
  const { clock, settle } = slowClock();
  const made = stage(clock);
  const { options, troupe, put, drop, wait } = made;
  putPods(made);
  settle();
  const starting = sandbox(40, 'provisioning.network.adding');
  put(starting);
  wait(starting, 'addNetwork', 120_000, { on: 'CNI ADD bridge', pid: process.pid });
  put(sandbox(41, 'notReady', { pendingCleanup: ['network'], ...fault('CNI DEL bridge: exit code 1') }));
  const failed = pull('registry.example/team/app:1', 'absent', fault('authentication required'));
  put(failed);
  drop(failed);
  put(pull('quay.example/team/large:2', 'fetching'));
  const layer = {
    digest: `sha256:${'4c'.repeat(32)}` as never,
    sizeBytes: 900_000_000,
    downloadedBytes: 250_000_000,
    bytesPerSecond: 30_000_000,
    remainingMs: 21_000,
    present: false,
  };
  const debris = {
    type: 'DebrisRemoved' as const,
    reason: 'DebrisLeft',
    message: '/var/lib/troupe/trash/7f3a: Device or resource busy',
    count: 1,
  };
  const disk = { path: '/var/lib/troupe', holds: ['pods', 'images'], totalBytes: 80 * GIB };
  return {
    ...options,
    troupe: {
      ...troupe,
      networkStatus: () => ({ ready: true, reason: '', message: '' }),
      pullLayers: () => [layer],
    },
    conditions: { listFalse: () => [debris] },
    disks: () => Promise.resolve([{ ...disk, freeBytes: 30 * GIB, reserveBytes: GIB / 4 }]),
  };
}

unless(describe, chromium === undefined ? 'needs Chromium' : '')('the page of a busy node', () => {
  const token = '7c'.repeat(32);
  let web: WebServer;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    web = await startWeb({
      address: '127.0.0.1:0',
      token,
      introspection: busyNode(),
      metrics: () => Promise.resolve(''),
      metricsAreOpen: () => false,
    });
    browser = await openBrowser();
    page = browser.page;
    await page.size(WINDOW.width, WINDOW.height);
    await page.open(web.url);
    await page.until("document.querySelector('.disks progress') !== null");
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
  });

  const text = (selector: string): Promise<string> =>
    page.value<string>(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`);
  const click = (selector: string): Promise<unknown> =>
    page.value(`document.querySelector(${JSON.stringify(selector)}).click()`);

  it('shows the node first: conditions, states, trouble, failures, pulls, disk, starts', async () => {
    await page.until("document.querySelector('.troubles').innerText.includes('Slow waits 1')");
    expect(await text('.sentence')).toContain('Ready; 1 condition to resolve; 3 in trouble; 1 slow wait');
    expect(await text('.conditions')).toContain('/var/lib/troupe/trash/7f3a');
    expect(await text('.counts')).toMatch(/14 pods\s+ready 12/u);
    for (const kind of ['Cleanup pending 1', 'OOM killed 1', 'Failed 1'])
      expect(await text('.troubles')).toContain(kind);
    expect(await text('.failures')).toContain('authentication required');
    expect(await text('.pulls')).toContain('of 858 MiB');
    expect(await text('.disks')).toContain('30.0 GiB free of 80.0 GiB');
    expect(await text('.starts')).toContain('pod-');
    for (const part of [
      'sentence',
      'conditions',
      'counts',
      'troubles',
      'failures',
      'pulls',
      'disks',
      'starts',
    ])
      expect([part, await isSeen(page, `.${part}`)]).toEqual([part, true]);
    await picture(page, 'node.png');
    await page.scheme('dark');
    await picture(page, 'node-dark.png');
    await page.scheme('light');
    await picture(page, 'node-wide.png', { width: 1920, height: 900 });
  });

  it('counts trouble on its tab, and groups it by kind', async () => {
    expect(await text('[data-mode=trouble]')).toMatch(/Trouble\s*4/u);
    await click('[data-mode=trouble]');
    await page.until(`${named('OOM killed')} !== undefined`);
    expect(await page.value(`${rows}.filter((row) => row.classList.contains('group')).length`)).toBe(4);
    await picture(page, 'trouble.png');
  });

  it('keeps choice, filter and token over a reload; the address has no token', async () => {
    await click('[data-mode=all]');
    await page.press('/');
    await page.type('pod-004');
    await page.until(`${named('app-90')} !== undefined`);
    await page.value(`${named('app-90')}.click()`);
    await page.until("document.querySelector('.answer')?.textContent.startsWith('OOM killed: ')");
    await page.until(
      "location.hash.includes('actor=container/') && location.hash.includes('filter=pod-004')",
    );
    expect(await page.value('location.href')).not.toContain(token);
    const href = await page.value<string>('location.href');
    await page.open('about:blank');
    await page.open(href);
    await page.until("document.querySelector('.answer')?.textContent.startsWith('OOM killed: ')");
    await page.until(`${rows}.length === 3 && ${named('app-90')}.getAttribute('aria-selected') === 'true'`);
    expect(await page.value("document.getElementById('filter').value")).toBe('pod-004');
  });

  it('has the answer, then the exit, the way, the chart on its active path', async () => {
    const tops = await page.value<number[]>(
      "['answer', 'exit', 'history', 'chart'].map((name) => document.querySelector(`.part.${name}`).getBoundingClientRect().top)",
    );
    expect(tops).toEqual(tops.toSorted((one, other) => one - other));
    const states = await page.value<number>("document.querySelectorAll('.box').length");
    await click('.chart .link');
    await page.until(`document.querySelectorAll('.box').length > ${2 * states}`);
    await page.press('Escape');
    await page.press('Escape');
    await page.until("document.querySelector('.overview') !== null");
    await page.value(`${named('pod-004')}.click()`);
    await page.until("document.querySelector('.waterfall li') !== null");
    await picture(page, 'chart.png', { width: 1280, height: 1000 });
    await picture(page, 'detail-wide.png', { width: 1680, height: 900 });
  });

  it('lists its keys at ?', async () => {
    await page.press('?');
    await page.until("document.querySelector('dialog').open");
    expect(await text('dialog')).toContain('group by namespace');
    await picture(page, 'keys.png');
    await click('dialog button');
    await page.press('2');
    await page.until(`document.querySelector('[data-mode=moving]').getAttribute('aria-pressed') === 'true'`);
    await page.press('1');
    await page.press('s');
    expect(await page.value("document.getElementById('sort').value")).toBeDefined();
    await page.until("location.hash.includes('sort=state')");
  });

  it('gives every control, bar and region a name', async () => {
    const nameless = await page.value<string[]>(
      `[...document.querySelectorAll('button, input, select, progress, nav, article, [role=tree], [role=group], [role=img], dialog')]
        .filter((one) => ((one.getAttribute('aria-label') ?? '') + (one.labels?.[0]?.textContent ?? '') + one.textContent).trim() === '')
        .map((one) => one.outerHTML.slice(0, 200))`,
    );
    expect(nameless).toEqual([]);
  });

  it('says that a token is wrong, and takes the right one', async () => {
    await page.value(`sessionStorage.setItem('troupe.token', '${'0'.repeat(64)}')`);
    await page.open('about:blank');
    await page.open(`${web.origin}/`);
    await page.until("document.querySelector('.auth h2')?.textContent === 'Wrong token'");
    expect(await text('#status')).toBe('authentication required: the token is wrong');
    expect(await page.value(`${rows}.length`)).toBe(0);
    await picture(page, 'wrong-token.png');
    await page.value("document.getElementById('token').focus()");
    await page.type(token);
    await page.press('Enter');
    await page.until(`${rows}.length > 10 && document.querySelector('.overview .disks') !== null`);
    expect(page.requests.filter((url) => url.includes(token))).toEqual([]);
  });
});
