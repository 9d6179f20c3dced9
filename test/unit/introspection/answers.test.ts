// What the page's server does for whoever needs no token: scrapes where they are open, files, refusals.
import { get } from 'node:http';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { webLimits } from '../../../src/introspection/bounds.ts';
import { startWeb } from '../../../src/introspection/web-server.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { stage } from './stage.ts';

async function serve(metrics: () => Promise<string>) {
  const clock = new HandClock();
  const { options } = stage(clock);
  const web = await startWeb({
    address: '127.0.0.1:0',
    token: '1f'.repeat(32),
    introspection: options,
    metrics,
    metricsAreOpen: () => true,
  });
  onTestFinished(() => web.close());
  const scrape = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = get(`${web.origin}/metrics`, { agent: false }, (answer) => {
        let text = '';
        answer
          .setEncoding('utf8')
          .on('data', (piece: string) => (text += piece))
          .on('end', () => resolve(text));
      });
      asked.on('error', reject);
    });
  return { clock, scrape, port: Number(new URL(web.origin).port) };
}

test('S78 scrapes are rendered one at a time, and not more often than they change', async () => {
  let made = 0;
  const gates: (() => void)[] = [];
  const { clock, scrape } = await serve(() => {
    made += 1;
    return new Promise((resolve) => void gates.push(() => resolve(`troupe_scrapes ${made}\n`)));
  });
  const first = Array.from({ length: 20 }, scrape);
  await expect.poll(() => gates.length).toBe(1);
  gates[0]?.();
  expect(new Set(await Promise.all(first))).toEqual(new Set(['troupe_scrapes 1\n']));
  expect(await scrape()).toBe('troupe_scrapes 1\n');
  clock.nowMs += webLimits.metricsAgeMs;
  const later = scrape();
  await expect.poll(() => gates.length).toBe(2);
  gates[1]?.();
  expect([await later, made]).toEqual(['troupe_scrapes 2\n', 2]);
});

test('S94 a client that does not read the answer is cut, and takes no connection from a scraper', async () => {
  const { clock, port } = await serve(() => Promise.resolve('x'.repeat(64 * 1024 * 1024)));
  const socket = connect({ port, host: '127.0.0.1' });
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => undefined);
  socket.write('GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  await new Promise((resolve) => socket.once('readable', resolve));
  expect([...clock.timers.values()].filter(({ ms }) => ms === webLimits.answerMs)).toHaveLength(1);
  clock.fire(webLimits.answerMs);
  let bytes = 0;
  socket.on('data', (chunk) => (bytes += chunk.length));
  await new Promise((resolve) => socket.once('close', resolve));
  expect(bytes).toBeLessThan(64 * 1024 * 1024);
});
