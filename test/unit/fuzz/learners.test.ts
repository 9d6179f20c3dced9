// A source that is gone is covered by no input, and the fuzzer keeps none: it would run for nothing.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkout } from '../../../scripts/support/checkout.ts';
import { learners } from '../../fuzz/learners.ts';

test.each(Object.entries(learners))(
  'every source whose coverage guides the fuzzer of %s exists',
  (_name, { sources }) => {
    expect(sources.filter((file) => !existsSync(join(checkout, file)))).toEqual([]);
  },
);
