import { describe, expect, it } from 'vitest';
import { defaultConfig, schema } from '../../../src/daemon/config-schema.ts';
import type { Config } from '../../../src/daemon/config-schema.ts';
import { RELOADED, planReload, reloader } from '../../../src/daemon/reload.ts';
import type { ReloadPlan } from '../../../src/daemon/reload.ts';
import { recordingLog, turns } from './support.ts';

const withHandler: Config = { ...defaultConfig, runtime: { ...defaultConfig.runtime, handlers: { ...defaultConfig.runtime.handlers, kata: { type: 'vm' } } } };

describe('a reload', () => {
  it('takes what can change at once and names what waits for a restart', () => {
    const fresh: Config = { ...withHandler, root: '/elsewhere', log: { level: 'debug' }, streaming: { ...defaultConfig.streaming, port: 7 } };
    const plan = planReload(defaultConfig, fresh);
    expect(plan.changed.toSorted()).toEqual(['log.level', 'runtime.handlers']);
    expect(plan.waiting.toSorted()).toEqual(['root', 'streaming.port']);
    expect(plan.config).toEqual({ ...withHandler, log: { level: 'debug' } });
  });

  it('changes nothing when nothing has changed', () => {
    expect(planReload(defaultConfig, structuredClone(defaultConfig))).toEqual({ config: defaultConfig, changed: [], waiting: [] });
  });

  it('knows only keys that there are', () => {
    for (const key of RELOADED) {
      const [table = '', name = ''] = key.split('.');
      const rule = schema[table];
      expect(rule?.is === 'table' && Object.hasOwn(rule.keys, name), key).toBe(true);
    }
  });
});

describe('SIGHUP', () => {
  it('reloads one at a time; signals that come meanwhile make one more', async () => {
    const { log } = recordingLog();
    const told: string[] = [];
    const loads: (() => void)[] = [];
    const onSignal = reloader({
      log,
      load: () => new Promise((resolve) => loads.push(() => resolve(defaultConfig))),
      apply: (config) => Promise.resolve<ReloadPlan>({ config, changed: [], waiting: [] }),
      tell: (state) => Promise.resolve(void told.push(state)),
      setLogLevel: (level) => void told.push(level),
    });
    for (let signal = 0; signal < 5; signal += 1) onSignal();
    await turns();
    expect(loads).toHaveLength(1);
    loads[0]?.();
    await turns();
    loads[1]?.();
    await turns();
    expect(loads).toHaveLength(2);
    expect(told).toEqual(['RELOADING=1', 'info', 'READY=1', 'RELOADING=1', 'info', 'READY=1']);
    onSignal();
    await turns();
    expect(loads).toHaveLength(3);
  });

  it('keeps the configuration that is in effect when the new one can\'t be used', async () => {
    const { log, lines } = recordingLog();
    const told: string[] = [];
    const onSignal = reloader({
      log,
      load: () => Promise.reject(new Error('line 3: no such key')),
      apply: () => Promise.reject(new Error('not asked')),
      tell: (state) => Promise.resolve(void told.push(state)),
      setLogLevel: (level) => void told.push(level),
    });
    onSignal();
    await turns();
    expect(lines).toEqual(['error: the configuration was not reloaded; the one before stays in effect: line 3: no such key']);
    expect(told).toEqual(['RELOADING=1', 'READY=1']);
  });
});
