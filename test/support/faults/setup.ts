// Run by vitest before each file of tests.
import { expect } from 'vitest';
import { beginRecord } from './records.ts';

const { testPath } = expect.getState();
if (testPath !== undefined) beginRecord(testPath);
