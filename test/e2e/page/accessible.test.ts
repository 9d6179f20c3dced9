// What a screen reader gets of the page, by the accessibility tree: names, levels, places, the row of the keys.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWeb } from '../../../src/introspection/web-server.ts';
import type { WebServer } from '../../../src/introspection/web-server.ts';
import { container, pull, sandbox, stage } from '../../unit/introspection/stage.ts';
import { chromium, openBrowser } from './browser.ts';
import type { AccessibleNode, Browser, Page } from './browser.ts';
import { unless } from '../../support/skips/unless.ts';

const PODS = 3;
const rows = "[...document.querySelectorAll('.row:not([hidden])')]";

/** Roles that say nothing without a name. */
const NAMED = new Set([
  'article',
  'button',
  'combobox',
  'dialog',
  'heading',
  'image',
  'navigation',
  'progressbar',
  'searchbox',
  'tree',
  'treeitem',
]);

unless(describe, chromium === undefined ? 'needs Chromium' : '')('a screen reader reads', () => {
  const { options, put, wait } = stage();
  let web: WebServer;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    for (let at = 0; at < PODS; at += 1) {
      const pod = sandbox(at, 'ready');
      put(pod);
      put(container(2 * at, pod, 'running'));
      put(container(2 * at + 1, pod, 'exited'));
    }
    const fetched = pull('docker.io/library/busybox:1', 'fetching');
    put(fetched);
    wait(fetched, 'fetch', 90_000, { on: 'registry-1.docker.io' });
    web = await startWeb({
      address: '127.0.0.1:0',
      token: '6b'.repeat(32),
      introspection: options,
      metrics: () => Promise.resolve(''),
      metricsAreOpen: () => false,
    });
    browser = await openBrowser();
    page = browser.page;
    await page.size(1280, 800);
    await page.open(web.url);
    await page.until(`${rows}.length > 5 && document.querySelector('.counts') !== null`);
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
  });

  const names = (nodes: readonly AccessibleNode[], role: string): readonly string[] =>
    nodes.filter((node) => node.role === role).map(({ name }) => name);
  const expectNames = (nodes: readonly AccessibleNode[]): void =>
    expect(nodes.filter(({ role, name }) => NAMED.has(role) && name === '')).toEqual([]);

  it('the parts of the page by their names', async () => {
    const nodes = await page.accessible();
    expectNames(nodes);
    expect(nodes.map(({ role }) => role)).toEqual(expect.arrayContaining(['banner', 'main', 'status']));
    expect(names(nodes, 'navigation')).toEqual(['Pods, containers and pulls']);
    expect(names(nodes, 'tree')).toEqual(['Pods, containers and pulls']);
    expect(names(nodes, 'article')).toEqual(['The node']);
    expect(names(nodes, 'searchbox')).toEqual(['Filter by name, namespace, id or state']);
    expect(names(nodes, 'combobox')).toEqual(['Group', 'Sort']);
    expect(names(nodes, 'button')).toEqual(
      expect.arrayContaining(['All 10', 'Moving 1', 'Trouble 0', 'Keys', 'Collapse or expand everything']),
    );
  });

  it('each row in words, with its level and its place among the rows beside it', async () => {
    const items = (await page.accessible()).filter(({ role }) => role === 'treeitem');
    expect(items.map(({ name, properties }) => [properties['level'], name])).toEqual([
      [1, 'pull docker.io/library/busybox:1, fetching, waits on registry-1.docker.io'],
      [1, 'pod pod-001, default, ready'],
      [2, 'container app-2, running'],
      [2, 'container app-3, exited'],
      [1, 'pod pod-002, default, ready'],
      [2, 'container app-4, running'],
      [2, 'container app-5, exited'],
      [1, 'pod pod-000, shop, ready'],
      [2, 'container app-0, running'],
      [2, 'container app-1, exited'],
    ]);
    expect(
      await page.value(
        `${rows}.map((row) => row.getAttribute('aria-posinset') + ' of ' + row.getAttribute('aria-setsize'))`,
      ),
    ).toEqual([
      '1 of 4',
      '2 of 4',
      '1 of 2',
      '2 of 2',
      '3 of 4',
      '1 of 2',
      '2 of 2',
      '4 of 4',
      '1 of 2',
      '2 of 2',
    ]);
  });

  it('groups with their counts, and which are closed', async () => {
    await page.press('g');
    await page.press('c');
    await page.until(`${rows}.length === 3`);
    const items = (await page.accessible()).filter(({ role }) => role === 'treeitem');
    expect(items.map(({ name, properties }) => [name, properties['expanded']])).toEqual([
      ['Image pulls, 1', false],
      ['default, 2', false],
      ['shop, 1', false],
    ]);
    await page.press('c');
    await page.press('g');
    await page.press('g');
    await page.until(`${rows}.length === 10`);
  });

  it('the row that the keys are on, and the parts of its detail', async () => {
    await page.value("document.getElementById('list').focus()");
    await page.press('ArrowDown');
    await page.press('ArrowDown');
    await page.until("document.querySelector('h2').textContent === 'pod-001'");
    await page.until("document.querySelector('svg[role=img]') !== null");
    const active =
      "document.getElementById(document.getElementById('list').getAttribute('aria-activedescendant'))";
    await page.until(`${active}?.getAttribute('aria-label') === 'pod pod-001, default, ready'`);
    const nodes = await page.accessible();
    expectNames(nodes);
    expect(nodes.find(({ role }) => role === 'tree')?.properties['focused']).toBe(true);
    expect(
      nodes.filter(({ role, properties }) => role === 'treeitem' && properties['selected'] === true),
    ).toHaveLength(1);
    expect(names(nodes, 'article')).toEqual(['The chosen actor']);
    expect(names(nodes, 'image')).toEqual(['Statechart of sandbox']);
    expect(names(nodes, 'heading')).toEqual(
      expect.arrayContaining(['pod-001', 'Containers', 'History', 'Statechart']),
    );
  });

  it('the help as a dialog that holds the focus', async () => {
    await page.press('?');
    const nodes = await page.accessible();
    expectNames(nodes);
    expect(names(nodes, 'dialog')).toEqual(['Keys']);
    expect(names(nodes, 'tree')).toEqual([]);
    const focused = nodes.filter(
      ({ role, properties }) => role === 'button' && properties['focused'] === true,
    );
    expect(focused.map(({ name }) => name)).toEqual(['Close']);
    await page.press('Escape');
    expect(page.complaints).toEqual([]);
  });
});
