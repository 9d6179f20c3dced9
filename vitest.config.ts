import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { EXHAUSTIVE } from './test/support/exhaustive.ts';
import { EVENT_MS, TEST_MS } from './test/support/patience.ts';

const project = (name: string, extra: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...extra },
});

// One project per kind of test (docs/architecture.md). Those that touch the kernel run in forks, one file at a
// time: koffi and namespaces belong to a process, host ports and CNI state to the machine.
const onTheMachine = { pool: 'forks' as const, fileParallelism: false, sequence: { groupOrder: 2 } };
// A process runs one file after the other, so that it loads our modules once: a third of the time goes into that
// otherwise. A file that replaces a module (`vi.mock`) resets the modules before and after (test/tidy checks it).
const shared = { isolate: false };
// one process explores each machine, and parses each source, once for all files; vitest wants a group of their own for
// projects with another number of processes
const inOneProcess = { isolate: false, fileParallelism: false, sequence: { groupOrder: 1 } };

export default defineConfig({
  test: {
    pool: 'forks',
    // by default one core less; the main process has little to do
    maxWorkers: availableParallelism(),
    tags: [
      {
        name: EXHAUSTIVE,
        description:
          'hundreds of cases or more, which take seconds: `npm test` runs it, `npm run check` does not',
      },
    ],
    passWithNoTests: true,
    // the record of injected faults (test/support/faults)
    setupFiles: [`${import.meta.dirname}/test/support/faults/setup.ts`],
    // against what hangs, never a judgement: a busy machine takes ten times as long
    testTimeout: TEST_MS,
    hookTimeout: TEST_MS,
    expect: { poll: { timeout: EVENT_MS } },
    // the message names what differs: it is repeated in the last lines of the output, the comparison is not
    chaiConfig: { truncateThreshold: 400 },
    projects: [
      project('unit', shared),
      project('model', inOneProcess),
      project('golden', inOneProcess),
      project('sim'),
      project('tidy', inOneProcess),
      project('integration', onTheMachine),
      project('e2e', onTheMachine),
      project('security', onTheMachine),
      // in the guest of `npm run test:vm` only
      project('vm', onTheMachine),
    ],
  },
});
