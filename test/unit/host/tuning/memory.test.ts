import { expect, test } from 'vitest';
import { memoryLimits } from '../../../../src/host/bounds.ts';
import { heapGuard } from '../../../../src/host/tuning/memory.ts';

const MIB = 1024 * 1024;

test('F14 a heap full of garbage is collected and then measured; a full one refuses, and is collected at intervals', () => {
  let nowMs = 0;
  let usedMib = 50;
  let leftMib = 60;
  let collections = 0;
  const collect = (): void => {
    collections += 1;
    usedMib = leftMib;
  };
  const refusal = heapGuard(
    { monoMs: () => nowMs },
    () => ({ usedBytes: usedMib * MIB, limitBytes: 128 * MIB }),
    collect,
  );
  expect([refusal(), collections]).toEqual([undefined, 0]);
  usedMib = 120;
  expect([refusal(), collections]).toEqual([undefined, 1]);
  nowMs += memoryLimits.collectEveryMs;
  leftMib = 110;
  usedMib = 120;
  expect([refusal(), collections]).toEqual([
    '110 of the 128 MiB that troupe has for its records are in use',
    2,
  ]);
  nowMs += memoryLimits.collectEveryMs - 1;
  expect([refusal() === undefined, collections]).toEqual([false, 2]);
  nowMs += 1;
  leftMib = 60;
  expect([refusal(), collections]).toEqual([undefined, 3]);
});

test('F14 the real heap has free memory', () => {
  expect(heapGuard({ monoMs: () => 0 })()).toBeUndefined();
});
