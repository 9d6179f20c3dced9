import { expect, test } from 'vitest';
import {
  HELPER_VARIABLE,
  helperVariable,
  markHelpers,
  markIn,
} from '../../../../src/host/process/helper-mark.ts';

const key = '0123456789abcdef';
const environment = (...variables: readonly string[]): Buffer =>
  Buffer.from(variables.map((one) => `${one}\0`).join(''));

test('nothing is marked until the daemon says whose helpers they are; then all are', () => {
  expect(helperVariable(7)).toEqual([]);
  markHelpers({ key, boot: 'aa' });
  expect(helperVariable(7)).toEqual([[HELPER_VARIABLE, `${key}.aa.7`]]);
});

test('the mark is read wherever it stands', () => {
  const mark = `${HELPER_VARIABLE}=${key}.aa.7`;
  for (const variables of [
    [mark],
    ['PATH=/bin', mark],
    [mark, 'PATH=/bin'],
    [`A=${HELPER_VARIABLE}`, mark],
  ]) {
    expect(markIn(environment(...variables), key)).toEqual({ boot: 'aa', pipe: 7 });
  }
  // the end of an environment that is cut after it
  expect(markIn(Buffer.from(mark), key)).toEqual({ boot: 'aa', pipe: 7 });
});

test('another instance’s mark is none, nor is what only looks like one', () => {
  const others = [
    [],
    [''],
    ['PATH=/bin'],
    [`${HELPER_VARIABLE}=fedcba9876543210.aa.7`],
    [`X${HELPER_VARIABLE}=${key}.aa.7`],
    [`A=${HELPER_VARIABLE}=${key}.aa.7`],
    [`${HELPER_VARIABLE}=${key}.aa`],
    [`${HELPER_VARIABLE}=${key}.aa.`],
    [`${HELPER_VARIABLE}=${key}..7`],
    [`${HELPER_VARIABLE}=${key}.aa.7x`],
    [`${HELPER_VARIABLE}=${key}0.aa.7`],
  ];
  for (const variables of others) expect(markIn(environment(...variables), key)).toBeUndefined();
});
