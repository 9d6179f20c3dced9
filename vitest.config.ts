import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { EVENT_MS, TEST_MS } from './test/support/patience.ts';

const project = (name: string, extra: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...extra },
});

// One project per kind of test (docs/architecture.md). Those that touch the kernel run in forks, one file at a
// time: koffi and namespaces belong to a process, host ports and CNI state to the machine.
const onTheMachine = { pool: 'forks' as const, fileParallelism: false };

export default defineConfig({
  test: {
    pool: 'forks',
    // by default one core less; the main process has little to do
    maxWorkers: availableParallelism(),
    passWithNoTests: true,
    // against what hangs, never a judgement: a busy machine takes ten times as long
    testTimeout: TEST_MS,
    hookTimeout: TEST_MS,
    expect: { poll: { timeout: EVENT_MS } },
    projects: [
      project('unit'),
      project('model'),
      project('golden'),
      project('sim'),
      project('tidy'),
      project('integration', onTheMachine),
      project('e2e', onTheMachine),
      project('security', onTheMachine),
      // in the guest of `npm run test:vm` only
      project('vm', onTheMachine),
    ],
  },
});
