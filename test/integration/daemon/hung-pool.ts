/**
 * Run by dumps.test.ts with one thread in its pool: that thread opens a FIFO that nobody writes to, and a dump is made
 * all the same. Prints its path.
 */
import { execFileSync } from 'node:child_process';
import { open } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../../src/base/log.ts';
import { Dumps } from '../../../src/daemon/dumps/dumps.ts';
import { dumpsOf } from '../../../src/daemon/dumps/dump-files.ts';
import { LastErrors } from '../../../src/daemon/dumps/last-errors.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { recogniseMemory } from '../../../src/host/files/state-files.ts';
import { exitNow } from '../../../src/host/process/exit.ts';
import { turns } from '../../support/turns.ts';
import { sandbox, stage } from '../../unit/introspection/stage.ts';

const state = process.argv[2] ?? '';
await recogniseMemory(state);
const fifo = join(state, 'fifo');
execFileSync('mkfifo', [fifo]);
open(fifo, 'r', () => undefined);
const clock = realClock();
const { troupe, recorder, options, put, wait } = stage(clock);
const view = sandbox(1, 'provisioning.files');
put(view);
wait(view, 'makeFiles', 600_000, { on: 'mkdir', pid: process.pid });
await turns();
const { pid } = process;
const dumps = new Dumps({ state, clock, log: silentLog, errors: new LastErrors(), version: '0', pid });
dumps.watch({
  troupe,
  recorder,
  observability: { conditions: { all: () => [] }, flight: options.flight },
  journal: { diskCall: undefined, queued: 0 },
  sessions: () => 0,
});
await dumps.make('state');
const [path = ''] = await dumpsOf(state, 'state');
process.stdout.write(path);
// an end by itself waits for the thread
exitNow(0);
