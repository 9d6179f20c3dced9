// What the page reads from outside: its address, and answers that break off.
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { call } from './page-modules.ts';

afterEach(() => {
  vi.unstubAllGlobals();
});

const page = join(import.meta.dirname, '../../../src/introspection/page');

it('takes from an address only what this version of the page has', async () => {
  const location = { hash: '' };
  vi.stubGlobal('location', location);
  vi.stubGlobal('addEventListener', () => undefined);
  const { readAddress } = (await import(join(page, 'address.js'))) as {
    readAddress: () => Readonly<Record<string, string>>;
  };
  location.hash = '#mode=trouble&group=state&sort=newest&filter=a+b&actor=pull/p1';
  const right = { mode: 'trouble', group: 'state', sort: 'newest', filter: 'a b', actor: 'pull/p1' };
  expect(readAddress()).toEqual(right);
  location.hash = '#mode=constructor&group=moon&sort=toString';
  expect(readAddress()).toEqual({ mode: 'all', group: 'none', sort: 'name', filter: '', actor: '' });
});

it.each([200, 500])('an answer %i that breaks off is a daemon that does not answer', async (status) => {
  vi.stubGlobal('sessionStorage', { getItem: () => 'token' });
  const body = (): ReadableStream =>
    new ReadableStream({
      start(controller): void {
        controller.enqueue(new TextEncoder().encode('{"actors":['));
      },
      pull(controller): void {
        controller.error(new TypeError('network error'));
      },
    });
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body(), { status })));
  await expect(call('List', {})).rejects.toMatchObject({ code: 'unreachable', message: 'network error' });
});
