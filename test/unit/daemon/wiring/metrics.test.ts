/** The metrics' listener by `metrics`: a reload, a taken port, and who may scrape. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { launchLimits } from '../../../../src/daemon/bounds.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import type { Config } from '../../../../src/daemon/config/config-schema.ts';
import { metricsListener } from '../../../../src/daemon/wiring/metrics.ts';
import { realRandom } from '../../../../src/host/clock/random.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { until } from '../../../support/eventually.ts';

function listening(metrics: Partial<Config['metrics']>, access = 'open') {
  const state = mkdtempSync(join(tmpdir(), 'troupe-metrics-'));
  onTestFinished(() => rmSync(state, { recursive: true, force: true }));
  const clock = new HandClock();
  const conditions = new Conditions(silentLog);
  const ports: number[] = [];
  const info = (fields: object): void => {
    if ('port' in fields) ports.push(Number(fields.port));
  };
  const parts = {
    ports: { clock, random: realRandom(), log: { ...silentLog, info } },
    observability: { conditions, metrics: { text: () => Promise.resolve('troupe_ready 1\n') } },
  };
  const configOf = (part: Partial<Config['metrics']>): Config => ({
    ...defaultConfig,
    state,
    introspection: { ...defaultConfig.introspection, metrics: access },
    metrics: { ...defaultConfig.metrics, ...part },
  });
  const config = configOf(metrics);
  const listener = metricsListener(config, parts, () => config);
  onTestFinished(() => listener.close());
  return { listener, clock, conditions, ports, configOf };
}

const statusAt = async (port: number | undefined): Promise<number | 'refused'> =>
  fetch(`http://127.0.0.1:${port ?? 0}/metrics`).then(
    ({ status }) => status,
    () => 'refused' as const,
  );

it('listens where the configuration says, and nowhere without an address', async () => {
  const { listener, ports } = listening({});
  await listener.start();
  expect(ports).toEqual([]);
  const other = listening({ address: '127.0.0.1:0' });
  await other.listener.start();
  expect(await statusAt(other.ports[0])).toBe(200);
  const closed = listening({ address: '127.0.0.1:0' }, 'token');
  await closed.listener.start();
  expect(await statusAt(closed.ports[0])).toBe(401);
});

it('a reload moves it; one that changes nothing of it keeps its connections', async () => {
  const { listener, ports, configOf } = listening({ address: '127.0.0.1:0' });
  await listener.start();
  await listener.reload(configOf({ address: '127.0.0.1:0' }));
  expect(ports).toHaveLength(1);
  await listener.reload(configOf({ address: '[::1]:0' }));
  expect(ports).toHaveLength(2);
  expect(await statusAt(ports[0])).toBe('refused');
  await listener.reload(configOf({}));
  expect(ports).toHaveLength(2);
});

it('F89 a taken port is a condition until it is free', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => void taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as AddressInfo;
  const { listener, clock, conditions } = listening({ address: `127.0.0.1:${port}` });
  await listener.start();
  expect(conditions.all()).toMatchObject([{ type: 'PartsStarted', subject: 'metrics listener' }]);
  await new Promise<void>((resolve) => void taken.close(() => resolve()));
  clock.fire(launchLimits.partAgainMs);
  await until(() => conditions.all().length === 0);
  expect(await statusAt(port)).toBe(200);
});
