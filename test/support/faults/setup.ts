// Run by vitest before each file of tests.
import { expect } from 'vitest';
import { beginRecord } from './records.ts';

/** What vitest keeps for the worker that runs this; `-t` is in it. */
const { __vitest_worker__: worker } = globalThis as {
  readonly __vitest_worker__?: { readonly config?: { readonly testNamePattern?: RegExp } };
};
const { testPath } = expect.getState();
// some tests of a file are no run of it: its record stays as the last one has left it
if (testPath !== undefined && worker?.config?.testNamePattern === undefined) beginRecord(testPath);
