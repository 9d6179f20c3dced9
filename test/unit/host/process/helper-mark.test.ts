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

test('helpers are marked once the daemon has set the mark, and not before', () => {
  expect(helperVariable(7)).toEqual([]);
  markHelpers({ key, boot: 'aa' });
  expect(helperVariable(7)).toEqual([[HELPER_VARIABLE, `${key}.aa.7`]]);
});

test('the mark is found anywhere in the environment', () => {
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

test('another instance’s mark does not count, nor does a similar text', () => {
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
