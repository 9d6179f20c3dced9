// The page of `troupe replay` in a real browser over a recorded run of the simulation. No root needed.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordingOf } from '../../../src/introspection/flight/answer.ts';
import { startReplay } from '../../../src/introspection/replay-server.ts';
import type { WebServer } from '../../../src/introspection/web-server.ts';
import { recordFlight } from '../../sim/record-flight.ts';
import { runSeed } from '../../sim/seeds.ts';
import { unless } from '../../support/skips/unless.ts';
import { startWeb } from '../../../src/introspection/web-server.ts';
import { sandbox, stage, wallClock } from '../../unit/introspection/stage.ts';
import { chromium, openBrowser } from './browser.ts';
import type { Browser } from './browser.ts';
import { picture, WINDOW } from './picture.ts';

unless(describe, chromium === undefined ? 'needs Chromium' : '')('the page over a recording', () => {
  let web: WebServer;
  let browser: Browser;

  beforeAll(async () => {
    const { inspect, entries } = recordFlight();
    await runSeed(3, { inspect });
    web = await startReplay({
      address: '127.0.0.1:0',
      token: '6b'.repeat(32),
      clock: wallClock(),
      recording: recordingOf(entries()),
    });
    browser = await openBrowser();
    await browser.page.size(WINDOW.width, WINDOW.height);
    await browser.page.open(web.url);
    await browser.page.until("document.querySelectorAll('#actors button').length > 0");
  });
  afterAll(async () => {
    await browser?.close();
    await web?.close();
  });

  test('the slider lights the state that the chosen actor had at each event', async () => {
    const { page } = browser;
    const lit = "[...document.querySelectorAll('#chart .box.lit')].map((box) => box.dataset.path)";
    const state = "document.querySelector('#actors button[aria-pressed=true] span').textContent";
    await page.value(
      "(document.getElementById('time').value = 0, document.getElementById('time').dispatchEvent(new Event('input')))",
    );
    await page.until("document.querySelectorAll('#actors button').length === 1");
    await page.value("document.querySelector('#actors button').click()");
    const seen = new Set<string>();
    for (let step = 0; step < 12; step += 1) {
      const shown = await page.value<string>(state);
      const outermost = shown.split('.')[0] ?? '';
      expect(await page.value<readonly string[]>(lit)).toContain(outermost);
      seen.add(shown);
      await page.value("document.getElementById('after').click()");
    }
    expect(seen.size).toBeGreaterThan(3);
    await picture(page, 'replay.png');
    expect(await page.value<number>("document.querySelectorAll('#events li').length")).toBeGreaterThan(3);
  });

  test('asks nobody else, and the browser has no complaints', () => {
    const { page } = browser;
    expect(page.complaints).toEqual([]);
    expect(page.requests.every((address) => address.startsWith(web.origin))).toBe(true);
  });
});

unless(describe, chromium === undefined ? 'needs Chromium' : '')('the page of a daemon', () => {
  test('draws where the time of the chosen pod went', async () => {
    const { options, put } = stage();
    const pod = sandbox(1, 'ready');
    put(pod);
    const cause = { origin: 'RunPodSandbox', requestId: 'r1' };
    const ended = options.flight.call(cause);
    options.flight.asked(pod.address, cause);
    ended('ok');
    const web = await startWeb({
      address: '127.0.0.1:0',
      token: '7c'.repeat(32),
      introspection: options,
      metrics: () => Promise.resolve(''),
      metricsAreOpen: () => false,
    });
    const browser = await openBrowser();
    try {
      const { page } = browser;
      await page.open(web.url);
      await page.until("document.querySelectorAll('.row:not([hidden])').length > 0");
      await page.value("document.querySelector('.row:not([hidden])').click()");
      // the overview has such a section, too, and goes when the pod is shown
      await page.until(
        "document.querySelector('details.trace summary')?.textContent === 'Where the time went'",
      );
      await page.value("document.querySelector('details.trace').open = true");
      await page.until("document.querySelectorAll('.waterfall .bar.call').length === 1");
      expect(await page.value("document.querySelector('.waterfall text').textContent")).toBe('RunPodSandbox');
      expect(page.complaints).toEqual([]);
    } finally {
      await browser.close();
      await web.close();
    }
  });
});
