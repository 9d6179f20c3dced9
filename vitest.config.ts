import { defineConfig } from 'vitest/config';

const project = (name: string, extra: object = {}) => ({
  extends: true as const,
  test: { name, include: [`test/${name}/**/*.test.ts`], ...extra },
});

// One project per kind of test (docs/architecture.md). Those that touch the kernel run in forks, one file at a
// time: koffi and namespaces belong to a process, host ports and CNI state to the machine.
const onTheMachine = { pool: 'forks' as const, fileParallelism: false, hookTimeout: 300_000 };

export default defineConfig({
  test: {
    pool: 'forks',
    passWithNoTests: true,
    // a bound against what hangs, never a judgement: a busy machine takes ten times as long
    testTimeout: 120_000,
    projects: [
      project('unit'),
      project('model'),
      project('golden'),
      project('sim'),
      project('tidy'),
      project('integration', onTheMachine),
      project('e2e', onTheMachine),
      project('security', onTheMachine),
      // in the guest of `npm run test:vm` only: an emulator takes ten times as long
      project('vm', { ...onTheMachine, testTimeout: 600_000, hookTimeout: 600_000 }),
    ],
  },
});
