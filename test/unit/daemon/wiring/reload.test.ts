import { describe, expect, it } from 'vitest';
import { SecretUrl } from '../../../../src/base/secret-url.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import type { Config } from '../../../../src/daemon/config/config-schema.ts';
import { planReload, reloader } from '../../../../src/daemon/wiring/reload.ts';
import type { Reloading, ReloadPlan } from '../../../../src/daemon/wiring/reload.ts';
import { turns } from '../../../support/turns.ts';
import { recordingLog } from './support.ts';

const withHandler: Config = {
  ...defaultConfig,
  runtime: {
    ...defaultConfig.runtime,
    handlers: { ...defaultConfig.runtime.handlers, kata: { type: 'vm' } },
  },
};

describe('a reload', () => {
  it('applies what can change at once and names what needs a restart', () => {
    const fresh: Config = {
      ...withHandler,
      root: '/elsewhere',
      log: { ...defaultConfig.log, level: 'debug' },
      streaming: { ...defaultConfig.streaming, port: 7 },
    };
    const plan = planReload(defaultConfig, fresh);
    expect(plan.changed.toSorted()).toEqual(['log.level', 'runtime.handlers']);
    expect(plan.waiting.toSorted()).toEqual(['root', 'streaming.port']);
    expect(plan.config).toEqual({ ...withHandler, log: { ...defaultConfig.log, level: 'debug' } });
  });

  it('takes each key by itself, also in an inner table, and keeps the objects of those that have not changed', () => {
    const fresh = structuredClone(defaultConfig);
    const { nri, images } = fresh;
    const plan = planReload(defaultConfig, {
      ...fresh,
      nri: { ...nri, default_validator: { ...nri.default_validator, enable: true } },
      images: { ...images, pinned: ['a'], http_proxy: new SecretUrl('http://u:one@proxy') },
    });
    expect(plan.changed).toEqual(['images.pinned', 'images.http_proxy']);
    expect(plan.waiting).toEqual(['nri.default_validator.enable']);
    expect(plan.config.images.auth_files).toBe(defaultConfig.images.auth_files);
    expect(plan.config.images.pinned).toEqual(['a']);
    const http_proxy = new SecretUrl('http://u:two@proxy');
    const again = planReload(plan.config, { ...plan.config, images: { ...plan.config.images, http_proxy } });
    expect(again.changed).toEqual(['images.http_proxy']);
  });

  it('changes nothing when nothing has changed', () => {
    expect(planReload(defaultConfig, structuredClone(defaultConfig))).toEqual({
      config: defaultConfig,
      changed: [],
      waiting: [],
    });
  });
});

/** A reloader with all that it asks for recorded; nothing happens before the test says so. */
function rig(parts: Partial<Reloading> = {}) {
  const { log, lines } = recordingLog();
  const reported: string[] = [];
  const refusals: (string | undefined)[] = [];
  const loads: (() => void)[] = [];
  const pauses: (() => void)[] = [];
  const onSignal = reloader({
    log,
    load: () => new Promise((resolve) => loads.push(() => resolve(defaultConfig))),
    apply: async (load): Promise<ReloadPlan> => ({ config: await load(), changed: [], waiting: [] }),
    notify: (state) => Promise.resolve(void reported.push(state)),
    setLog: ({ level }) => void reported.push(level),
    noteRefusal: (reason) => void refusals.push(reason),
    pause: () => new Promise((resolve) => pauses.push(resolve)),
    ...parts,
  });
  return { onSignal, lines, reported, refusals, loads, pauses };
}

const broken = (reason: string): Partial<Reloading> => ({
  load: () => Promise.reject(new Error(reason)),
});

describe('SIGHUP', () => {
  it('F32 a storm causes one reload at a time, the next after a pause, for all signals in between', async () => {
    const { onSignal, reported, loads, pauses } = rig();
    for (let signal = 0; signal < 100; signal += 1) onSignal();
    await turns();
    expect(loads).toHaveLength(1);
    loads[0]?.();
    await turns();
    for (let signal = 0; signal < 100; signal += 1) onSignal();
    await turns();
    expect(loads).toHaveLength(1);
    pauses[0]?.();
    await turns();
    loads[1]?.();
    await turns();
    expect(loads).toHaveLength(2);
    expect(reported).toEqual(['RELOADING=1', 'info', 'READY=1', 'RELOADING=1', 'info', 'READY=1']);
    pauses[1]?.();
    await turns();
    onSignal();
    await turns();
    expect(loads).toHaveLength(3);
  });

  it('F32 an invalid configuration changes nothing, is logged once for a storm, and is reported by Status', async () => {
    const { onSignal, lines, reported, refusals, pauses } = rig(broken('line 3: no such key'));
    onSignal();
    await turns();
    onSignal();
    pauses[0]?.();
    await turns();
    expect(refusals).toEqual(['line 3: no such key', 'line 3: no such key']);
    expect(lines).toEqual([
      'error: reload configuration: failed, the previous one stays in effect: line 3: no such key',
    ]);
    expect(reported).toEqual(['RELOADING=1', 'READY=1', 'RELOADING=1', 'READY=1']);
    pauses[1]?.();
    await turns();
    onSignal();
    await turns();
    expect(lines).toHaveLength(2);
  });

  it('F92 a reload that is for the daemon which has taken over changes nothing here, and is no refusal', async () => {
    const { onSignal, refusals, lines, reported } = rig({ apply: async () => undefined });
    onSignal();
    await turns();
    expect([refusals, lines, reported]).toEqual([[], [], ['RELOADING=1', 'READY=1']]);
  });

  it('F32 a valid configuration clears the refusal', async () => {
    const { onSignal, refusals, loads } = rig();
    onSignal();
    await turns();
    loads[0]?.();
    await turns();
    expect(refusals).toEqual([undefined]);
  });
});
