// Guards that keep secrets off the disk and out of what is shown.
import type { Mutant } from '../mutant.ts';

const journal = 'test/unit/journal/secrets.test.ts';

export const ofSecrets: readonly Mutant[] = [
  {
    row: 'S91', title: 'a record of an earlier version keeps its program', file: 'src/actors/recorded.ts',
    find: "if (!('command' in spec) && !('args' in spec) && !('env' in spec)) return record;", replace: "if (!('never' in spec)) return record;",
    test: { file: journal, named: 'S91 is written anew without them' },
  },
  {
    row: 'S91', title: 'the reserve is not for the copy without secrets', file: 'src/journal/files.ts',
    find: 'mayUseReserve: hasSecrets }', replace: 'mayUseReserve: false }',
    test: { file: journal, named: 'S91 takes the reserve' },
  },
  {
    row: 'S91', title: 'an old journal with secrets comes back after a power loss', file: 'src/journal/files.ts',
    find: 'if (hadSecrets) await', replace: 'if (number < 0 && hadSecrets) await',
    test: { file: journal, named: 'S91 is written anew without them' },
  },
  {
    row: 'S91', title: 'damaged files stay as they were', file: 'src/journal/journal.ts',
    find: 'await maskDamaged(options, allKept);', replace: 'await maskDamaged(options, []);',
    test: { file: journal, named: 'S91 holds no byte of a program' },
  },
  {
    row: 'S91', title: 'what belongs to no whole record stays in a damaged file', file: 'src/journal/damaged.ts',
    find: 'if (byte !== 0) part[at] = MASK;', replace: 'if (byte !== 0) part[at] = byte;',
    test: { file: journal, named: 'S91 leaves nothing of a record whose frame is gone' },
  },
  {
    row: 'S91', title: 'a whole record of a damaged file keeps its program', file: 'src/journal/damaged.ts',
    find: 'if (clean === record) return true;', replace: "if (clean.type === record.type) return true;",
    test: { file: journal, named: 'S91 an earlier start kept' },
  },
];
