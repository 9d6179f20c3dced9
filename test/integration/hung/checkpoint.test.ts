// Archives that a killed daemon left on a file system that does not answer: the others are undone, and no thread of the
// pool is lost.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { createLayout } from '../../../src/host/sandbox/layout.ts';
import { closeArchive, partialOf, undoArchives } from '../../../src/oci/runtime/checkpoint/archive.ts';
import { createCheckpointDriver } from '../../../src/oci/runtime/checkpoint/driver.ts';
import type { CheckpointOptions } from '../../../src/oci/runtime/checkpoint/driver.ts';
import { makeDeadMount, whyNoDeadMount } from '../../support/dead-mount.ts';
import type { DeadMount } from '../../support/dead-mount.ts';
import { fxOf } from '../../support/fx.ts';
import { unless } from '../../support/skips/unless.ts';

const reason = whyNoDeadMount();
if (reason !== '') console.log(`tests of archives on dead mounts are skipped: ${reason}`);

/** Bounds of half a minute pass in a third of a second. */
const clock = {
  ...realClock(),
  setTimeout: (call: () => void, ms: number) => realClock().setTimeout(call, ms / 100),
};

unless(describe, reason)(
  'F33 F45 the archive of an interrupted checkpoint, on a mount that does not answer',
  () => {
    let dead: DeadMount;
    let directory: string;
    beforeEach(() => {
      dead = makeDeadMount();
      directory = mkdtempSync(join(tmpdir(), 'troupe-hung-'));
    });
    afterEach(() => {
      dead.remove();
      rmSync(directory, { recursive: true });
    });

    it('is given up at the bound, with its child process killed', async () => {
      const archive = join(dead.path, 'a.tar');
      const pids: number[] = [];
      const fx = {
        signal: new AbortController().signal,
        timeoutMs: 300,
        note: ({ pid }: { readonly pid?: number }) => void (pid !== undefined && pids.push(pid)),
      };
      await expect(
        undoArchives([archive], [archive], { attempted: 'undo', clock: realClock(), fx }),
      ).rejects.toMatchObject({ fault: { kind: 'timedOut', subject: dead.path } });
      expect(pids).toHaveLength(1);
    });

    it('is closed without a request to its server', async () => {
      let closes = 0;
      const close = async (): Promise<void> => void (closes += 1);
      const fx = fxOf();
      await closeArchive(
        { archive: join(dead.path, 'a.tar'), attempted: 'close', clock: realClock(), fx },
        { file: { close }, mountPoint: dead.path },
      );
      expect(closes).toBe(1);
    });

    it('keeps its note, and does not stop the undo of other archives', async () => {
      const layout = createLayout({ root: directory, state: join(directory, 'state') });
      const [first, second] = ['a'.repeat(64), 'b'.repeat(64)] as const;
      const local = join(directory, 'local.tar');
      writeFileSync(partialOf(local), '');
      for (const [id, archive] of [
        [first, join(dead.path, 'a.tar')],
        [second, local],
      ] as const) {
        mkdirSync(join(layout.checkpointsDir, id), { recursive: true });
        writeFileSync(
          join(layout.checkpointsDir, id, 'note.json'),
          JSON.stringify({ version: 1, id, handler: 'gone', archive, together: [archive] }),
        );
      }
      const lines: unknown[] = [];
      const log = { ...silentLog, error: (fields: object) => void lines.push(fields) };
      const parts = { layout, clock, log, toolPath: '', table: { known: () => [] } };
      const driver = createCheckpointDriver({
        parts: parts as unknown,
        criu: {} as unknown,
        restores: false,
      } as CheckpointOptions);
      await driver.open();
      expect([
        existsSync(partialOf(local)),
        existsSync(join(layout.checkpointsDir, second)),
        existsSync(join(layout.checkpointsDir, first)),
      ]).toEqual([false, false, true]);
      expect(lines).toMatchObject([{ id: first, fault: { kind: 'timedOut' } }]);
    });
  },
);
