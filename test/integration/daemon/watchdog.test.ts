// Reports of life to systemd's watchdog, from a real daemon to a small program in systemd's place.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FakeSystemd } from '../../support/fake-systemd.ts';
import { makeInstance } from '../../support/instance.ts';
import type { Instance } from '../../support/instance.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { notRoot, unless } from '../../support/skips/unless.ts';

const systemd = new FakeSystemd({ watchdogMs: 2000 });
let instance: Instance;

beforeAll(async () => {
  if (notRoot() !== '') return;
  instance = await makeInstance({ name: 'watch', network: 'none', systemd });
  await instance.start();
});
afterAll(async () => {
  await instance?.remove();
  systemd.close();
});

unless(it, notRoot())('a daemon reports again and again that it lives, once it is ready', async () => {
  const lives = (): number => systemd.messages.filter((one) => one === 'WATCHDOG=1').length;
  await expect.poll(lives, { timeout: EVENT_MS }).toBeGreaterThan(2);
  // systemd starts to count at READY
  expect(systemd.messages.filter((one) => one.startsWith('READY=1'))).toHaveLength(1);
  expect(await instance.log()).not.toContain('not reporting life');
});
