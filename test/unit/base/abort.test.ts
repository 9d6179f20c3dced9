import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { onAbort, unlessAborted } from '../../../src/base/abort.ts';

const listenersOf = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

describe('onAbort', () => {
  it('calls its listener once, when the signal aborts', () => {
    const controller = new AbortController();
    let calls = 0;
    onAbort(controller.signal, () => (calls += 1));
    expect(calls).toBe(0);
    controller.abort();
    controller.abort();
    expect(calls).toBe(1);
  });

  it('calls it at once for a signal that has aborted', () => {
    let calls = 0;
    const stop = onAbort(AbortSignal.abort(), () => (calls += 1));
    expect(calls).toBe(1);
    stop();
  });

  it('leaves no listener behind when it is stopped, however often', () => {
    const controller = new AbortController();
    let calls = 0;
    const stop = onAbort(controller.signal, () => (calls += 1));
    expect(listenersOf(controller.signal)).toBe(1);
    stop();
    stop();
    expect(listenersOf(controller.signal)).toBe(0);
    controller.abort();
    expect(calls).toBe(0);
  });

  it('does nothing without a signal', () => {
    const stop = onAbort(undefined, () => expect.unreachable());
    stop();
  });
});

describe('unlessAborted', () => {
  it('settles with the promise and leaves no listener behind', async () => {
    const { signal } = new AbortController();
    expect(await unlessAborted(Promise.resolve(7), signal)).toBe(7);
    await expect(unlessAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
    expect(listenersOf(signal)).toBe(0);
  });

  it('rejects with the reason of the signal, before and during', async () => {
    const controller = new AbortController();
    const waiting = unlessAborted(new Promise(() => undefined), controller.signal);
    controller.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    await expect(unlessAborted(new Promise(() => undefined), controller.signal)).rejects.toThrow('gone');
  });
});
