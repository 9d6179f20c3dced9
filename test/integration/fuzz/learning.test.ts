/**
 * The short form of the learning targets: each corpus and all that once failed, then some thousand executions from one
 * seed. Their number is fixed, not their time.
 */
import { expect, test } from 'vitest';
import { clearUp, corpusOfLearner, learnTarget } from '../../fuzz/engine/run.ts';
import { inputsIn } from '../../fuzz/engine/files.ts';
import { learners } from '../../fuzz/learners.ts';
import type { LearnerName } from '../../fuzz/learners.ts';

const SEED = 20_261_121;

const rows: readonly (readonly [string, LearnerName])[] = [
  ['S61 signatures: DER, certificates and Rekor', 'signatures'],
  ['S14 S59 S60 tar and layers mean the same however they are cut', 'tar'],
  ['S15 S17 S47 S61 manifests and configs', 'manifest'],
  ['S47 references', 'reference'],
  ['S16 S48 S49 S61 registries', 'registry'],
  ['S61 replies of registries and helpers', 'replies'],
  ['S61 files of credentials', 'auth'],
  ['S61 registries.conf and our own configuration', 'toml'],
  ['S61 policies of signatures', 'policy'],
  ['S61 CDI, hooks and seccomp profiles', 'cdi'],
  ['F54 S61 results and configurations of CNI', 'cni'],
  ['F36 F39 F40 exit files, reports and states', 'conmon'],
  ['F27 F30 bytes of the journal', 'journal'],
  ['S61 frames of SPDY and WebSocket', 'streaming'],
  ['S61 messages of ttrpc and NRI', 'nri'],
  ['S25 S26 passwd and group', 'passwd'],
  ['S08 S61 archives of checkpoints', 'checkpoint'],
  ['S61 texts of the kernel', 'proc'],
];

test('every learning target has a case', () => {
  expect(rows.map(([, target]) => target).toSorted()).toEqual(Object.keys(learners).toSorted());
});

test.each(rows)('%s: the corpus and its mutations are answered', async (_what, target) => {
  const stored = inputsIn(corpusOfLearner(target)).length;
  const result = await learnTarget({ target, seed: SEED, executions: stored + learners[target].short });
  clearUp(target);
  expect(result.failures).toEqual([]);
  expect(stored).toBeGreaterThan(2);
  // a target of which nothing is ever reached or taken tests one refusal again and again
  expect(result.reached).toBeGreaterThan(result.points / 4);
  expect(result.accepted).toBeGreaterThan(result.executions / 500);
  expect(result.refused).toBeGreaterThan(0);
});
