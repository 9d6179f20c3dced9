// A signal that asks the daemon to end while it begins to serve is not lost, and does not end it without a drain (F92).
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { EndSignals } from '../../../src/daemon/end-signals.ts';

function bench() {
  const own = new EventEmitter();
  const served: string[] = [];
  const ending = new EndSignals(own);
  const serve = (): void => ending.serve((signal) => served.push(signal));
  return { own, ending, served, serve };
}

test('F92 a signal that comes before the daemon can drain is served once it can', () => {
  const { own, ending, served, serve } = bench();
  ending.listen();
  own.emit('SIGTERM');
  own.emit('SIGINT');
  expect(served).toEqual([]);
  serve();
  expect(served).toEqual(['SIGTERM']);
});

test('one that comes later is served at once', () => {
  const { own, ending, served, serve } = bench();
  ending.listen();
  serve();
  own.emit('SIGINT');
  expect(served).toEqual(['SIGINT']);
});

test('the second one of a kind ends the process: nobody listens for it any more', () => {
  const { own, ending } = bench();
  ending.listen();
  own.emit('SIGTERM');
  expect([own.listenerCount('SIGTERM'), own.listenerCount('SIGINT')]).toEqual([0, 1]);
});
