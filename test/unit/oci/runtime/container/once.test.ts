// What all pods of shims share is made once, however many come first.
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { silentLog } from '../../../../../src/base/log.ts';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import { createLayout } from '../../../../../src/host/sandbox/layout.ts';
import type { DriverParts } from '../../../../../src/oci/runtime/container/parts.ts';
import { ShimEvents } from '../../../../../src/oci/runtime/shim/events.ts';

it('the socket for events is opened once for all concurrent callers', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-events-'));
  const layout = createLayout({ root: join(directory, 'root'), state: join(directory, 'state') });
  const parts: Pick<DriverParts, 'layout' | 'clock' | 'log'> = { layout, clock: realClock(), log: silentLog };
  const events = new ShimEvents(parts);
  await Promise.all([events.open(), events.open(), events.open()]);
  expect((await readdir(layout.shimsDir)).filter((name) => name.includes('event'))).toHaveLength(1);
  events.close();
  await rm(directory, { recursive: true });
});
