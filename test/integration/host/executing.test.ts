// A process that hangs in execve(2): the kernel lets the reader of most files below /proc/PID wait then, for ever.
// All of it runs in a process of its own, which is killed if it hangs as well.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { injects } from '../../support/faults/injects.ts';
import { whyNoHangingExec } from '../../support/hanging-exec.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { unless } from '../../support/skips/unless.ts';

const stuck = injects(
  'F45',
  'a process hangs in execve(2), where it closes a file of a dead FUSE file system',
);

unless(test, whyNoHangingExec())(
  'F45: a process in execve is there, is found and killed by its pidfd, and holds nobody up',
  async () => {
    const program = new URL('./executing.ts', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(process.execPath, [program], {
      timeout: EVENT_MS,
      killSignal: 'SIGKILL',
    });
    stuck.happened();
    expect(JSON.parse(stdout)).toEqual({
      before: { exists: true, runs: true, isForkedOnly: false, isEnding: false, watched: false },
      reused: { exists: [false, false], opened: false },
      mark: ['pid', 'inode'],
      doubtful: { exists: true, killed: false, watched: false },
      scans: { isHelper: false, isNoted: true, isOfHost: false, link: null },
      tree: { left: [['root', 'child'], ['root']], childrenEnd: [true, false], isEnding: true },
      after: { exists: false, watched: true },
    });
  },
);
