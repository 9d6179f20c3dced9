// The last line of `troupe check`.
import { expect, test } from 'vitest';
import { checkSummary } from '../../../../src/daemon/cli/check.ts';

const records = { ledger: { sandboxes: { size: 1 }, containers: { size: 2 }, images: { size: 0 } } };
const SIZE = '1 pod, 2 containers, 0 images on record; the daemon is stopped';
const leak = { kind: 'files', path: '/x' } as const;

test.each([
  ['clean', {}, `clean: ${SIZE}`],
  [
    'not clean where something could not be read, which ends the command with 1',
    { unread: [{ path: '/proc/net', problem: 'EACCES' }] },
    `no finding, but not all could be read: ${SIZE}`,
  ],
  ['a finding', { findings: [{}, { leak }] }, `2 findings, 1 that --repair can remove: ${SIZE}`],
] as const)('%s', (_what, part, text) => {
  expect(checkSummary({ findings: [], unread: [], isRunning: false, records, ...part })).toBe(text);
});
