/** Traces by `tracing`: the keys that a reload changes, and files that can't be used. */
import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import type { Config } from '../../../../src/daemon/config/config-schema.ts';
import { Spans } from '../../../../src/daemon/wiring/spans.ts';
import { realRandom } from '../../../../src/host/clock/random.ts';
import { tracesLimits } from '../../../../src/introspection/bounds.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { until } from '../../../support/eventually.ts';

const OK = { text: 'OK', number: 0 };

/** A collector over HTTP that takes everything. */
async function collector(): Promise<{
  readonly endpoint: string;
  readonly seen: readonly IncomingHttpHeaders[];
}> {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers);
    request.resume().on('end', () => response.end('{}'));
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function spansOf(tracing: Partial<Config['tracing']>) {
  const clock = new HandClock();
  const conditions = new Conditions(silentLog);
  const handed = { clock, random: realRandom(), log: silentLog, conditions };
  const settings = (part: Partial<Config['tracing']>) => ({ ...defaultConfig.tracing, ...part });
  const spans = new Spans(settings(tracing), handed);
  return {
    clock,
    conditions,
    spans,
    reload: (part: Partial<Config['tracing']>) => spans.reload(settings(part)),
    call: () => spans.tracer?.begin({ requestId: 'r', origin: 'Version' }, 's').ended(OK, undefined),
  };
}

it('a reload begins and ends the export, and counts go on', async () => {
  const [first, second] = await Promise.all([collector(), collector()]);
  const { clock, spans, reload, call } = spansOf({});
  call();
  expect([spans.tracer, spans.counts()]).toEqual([undefined, { exported: 0, dropped: 0 }]);
  reload({ endpoint: first.endpoint });
  const { tracer } = spans;
  reload({ endpoint: first.endpoint });
  expect(spans.tracer).toBe(tracer);
  call();
  // what is queued still goes to the first one
  reload({ endpoint: second.endpoint });
  call();
  await until(() => (spans.counts().exported === 1 ? true : undefined));
  clock.fire(tracesLimits.flushMs);
  await until(() => (spans.counts().exported === 2 ? true : undefined));
  expect([first.seen.length, second.seen.length]).toEqual([1, 1]);
  reload({ endpoint: second.endpoint, sampling: 0 });
  call();
  reload({});
  expect(spans.tracer).toBe(undefined);
  await until(() => (spans.counts().exported === 2 ? true : undefined));
  await spans.close();
});

it('F89 a file of headers that can’t be used is a condition until it can', async () => {
  const { endpoint, seen } = await collector();
  const directory = mkdtempSync(join(tmpdir(), 'troupe-spans-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'headers');
  writeFileSync(file, 'authorization: Bearer t\n', { mode: 0o600 });
  const { clock, conditions, spans, call } = spansOf({ endpoint, headers_file: join(directory, 'absent') });
  call();
  clock.fire(tracesLimits.flushMs);
  await until(() => (conditions.all().length === 1 ? true : undefined));
  expect(conditions.all()).toEqual([
    {
      type: 'PartsStarted',
      subject: 'export of traces',
      reason: expect.stringContaining('absent') as string,
    },
  ]);
  spans.reload({ ...defaultConfig.tracing, endpoint, headers_file: file });
  expect(conditions.all()).toEqual([]);
  call();
  clock.fire(tracesLimits.flushMs);
  await until(() => (seen.length > 0 ? true : undefined));
  expect(seen[0]?.authorization).toBe('Bearer t');
  await spans.close();
});
