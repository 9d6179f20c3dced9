import { describe, expect, test, vi } from 'vitest';
import { fail } from '../../../src/base/fault.ts';
import { nriLimits } from '../../../src/nri/bounds.ts';
import { ttrpcLimits } from '../../../src/ttrpc/bounds.ts';
import { Event, Plugin as PluginService, Runtime } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { encodeTtrpcFrame } from '../../../src/ttrpc/frames.ts';
import { muxPieces } from '../../../src/nri/mux.ts';
import { Plugin } from '../../../src/nri/plugin.ts';
import type { PluginOptions } from '../../../src/nri/plugin.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { FakePlugin } from './fake-plugin.ts';
import { never } from '../../support/turns.ts';

const { method } = PluginService;

function connected(options: Partial<PluginOptions> = {}) {
  const clock = new HandClock();
  const fake = new FakePlugin(clock);
  const gone: string[] = [];
  const plugin = new Plugin(fake.trunk, {
    clock,
    config: 'its configuration',
    runtime: { name: 'troupe', version: '1.2.3' },
    registrationMs: nriLimits.registrationMs,
    requestMs: nriLimits.requestMs,
    onUpdate: () => Promise.resolve({}),
    onGone: (_plugin, reason) => gone.push(reason),
    ...options,
  });
  const fx = { signal: new AbortController().signal };
  return { clock, fake, plugin, gone, fx };
}

async function registered(options: Partial<PluginOptions> = {}) {
  const stage = connected(options);
  await Promise.all([stage.plugin.register(), stage.fake.registers('logger', '10')]);
  return stage;
}

describe('registration', () => {
  test('gives a plugin its name and configuration; no named events mean all', async () => {
    const { fake, plugin } = connected();
    const configure = vi.fn(() => ({}));
    fake.on(method.configure, configure);
    await Promise.all([plugin.register(), fake.registers('logger', '10')]);
    expect(plugin.id).toBe('10-logger');
    expect(configure).toHaveBeenCalledWith(
      expect.objectContaining({
        config: 'its configuration',
        runtimeName: 'troupe',
        runtimeVersion: '1.2.3',
        registrationTimeout: 5000n,
        requestTimeout: 2000n,
      }),
    );
    expect(plugin.subscribes(Event.VALIDATE_CONTAINER_ADJUSTMENT)).toBe(true);
  });

  test('sends only the named events', async () => {
    const { fake, plugin } = connected();
    fake.on(method.configure, () => ({ events: 1 << (Event.STOP_CONTAINER - 1) }));
    await Promise.all([plugin.register(), fake.registers('logger', '10')]);
    expect([Event.STOP_CONTAINER, Event.RUN_POD_SANDBOX].map((event) => plugin.subscribes(event))).toEqual([
      true,
      false,
    ]);
  });

  test.each([
    ['logger', '1'],
    ['logger', 'ab'],
    ['', '10'],
    ['a/b', '10'],
    ['a'.repeat(256), '10'],
  ])('%s with index %s is refused on both sides', async (name, index) => {
    const { fake, plugin } = connected();
    const results = await Promise.allSettled([plugin.register(), fake.registers(name, index)]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  test('events of another version are refused', async () => {
    const { fake, plugin } = connected();
    fake.on(method.configure, () => ({ events: 1 << 20 }));
    await expect(Promise.all([plugin.register(), fake.registers('logger', '10')])).rejects.toThrow(
      /unknown events \(0x100000\)/,
    );
  });

  test('a plugin started by us keeps the name of its file', async () => {
    const { plugin } = await registered({ given: { name: 'mine', index: '42' } });
    expect(plugin.id).toBe('42-mine');
  });

  test('a connection without registration is refused at the bound', async () => {
    const { plugin, clock } = connected();
    const refused = expect(plugin.register()).rejects.toThrow(
      /timed out after 5000 ms waiting for its registration/,
    );
    await clock.advance(nriLimits.registrationMs);
    await refused;
  });

  test('a connection that ends before it registers is refused', async () => {
    const { plugin, fake } = connected();
    const refused = expect(plugin.register()).rejects.toThrow(/admit nri plugin/);
    fake.dies();
    await refused;
  });
});

describe('a call', () => {
  test('returns the plugin’s answer', async () => {
    const { plugin, fake, fx } = await registered();
    fake.on(method.createContainer, () => ({ adjust: { args: ['a'] } }));
    expect((await plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, fx))?.adjust?.args).toEqual([
      'a',
    ]);
  });

  test('a refusal is reported with its name and its reason; the plugin stays', async () => {
    const { plugin, fake, fx, gone } = await registered();
    fake.on(method.runPodSandbox, () => fail('outside', 'not on a Friday'));
    await expect(plugin.ask(Event.RUN_POD_SANDBOX, method.runPodSandbox, {}, fx)).rejects.toMatchObject({
      fault: { message: 'nri plugin 10-logger refused RunPodSandbox: not on a Friday', quotesOutput: true },
    });
    expect(gone).toEqual([]);
  });

  test('a plugin that does not answer is dropped, which is no refusal', async () => {
    const { plugin, fake, fx, gone, clock } = await registered();
    const reached = new Promise<void>((resolve) =>
      fake.on(method.createContainer, () => (resolve(), never())),
    );
    const answer = plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, fx);
    await reached;
    await clock.advance(nriLimits.requestMs);
    expect(await answer).toBeUndefined();
    expect(gone).toEqual(['CreateContainer: timed out after 2000 ms waiting for an answer']);
    expect(await plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, fx)).toBeUndefined();
  });

  test('a plugin that dies during a call is dropped', async () => {
    const { plugin, fake, fx, gone } = await registered();
    fake.on(method.createContainer, () => (fake.dies(), never()));
    expect(await plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, fx)).toBeUndefined();
    expect(gone).toHaveLength(1);
  });

  test('a plugin with an answer longer than the protocol allows is dropped', async () => {
    const { plugin, fake, fx, gone } = await registered();
    fake.on(method.createContainer, () => {
      const frame = encodeTtrpcFrame({ streamId: 1, type: 2, flags: 0, payload: new Uint8Array(0) });
      new DataView(frame.buffer).setUint32(0, ttrpcLimits.messageBytes + 1);
      for (const piece of muxPieces(1, frame)) fake.writes(piece);
      return never();
    });
    expect(await plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, fx)).toBeUndefined();
    expect(gone.join()).toMatch(/4194305 bytes/);
  });

  test('a plugin with an invalid answer is dropped', async () => {
    const { plugin, fake, fx, gone } = await registered();
    fake.saysRaw('CreateContainer', Uint8Array.of(0xff, 0xff, 0xff));
    expect(await plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, fx)).toBeUndefined();
    expect(gone.join()).toMatch(/^CreateContainer: read a message nri/);
  });

  test('an abort by our caller does not drop the plugin', async () => {
    const { plugin, fake, gone } = await registered();
    const controller = new AbortController();
    fake.on(method.createContainer, () => (controller.abort(), never()));
    await expect(plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, controller)).rejects.toThrow(
      /no longer wanted/,
    );
    expect(gone).toEqual([]);
  });

  test('a message too long for the protocol is refused, and the plugin stays', async () => {
    const { plugin, fake, fx, gone } = await registered();
    fake.on(method.createContainer, () => ({}));
    const container = { env: [`BIG=${'x'.repeat(ttrpcLimits.messageBytes)}`] };
    const refused = plugin.ask(Event.CREATE_CONTAINER, method.createContainer, { container }, fx);
    await expect(refused).rejects.toMatchObject({
      fault: {
        kind: 'exhausted',
        retryable: false,
        message: expect.stringMatching(
          /^send CreateContainer to nri plugin 10-logger: .* bytes: the protocol allows 4194304$/,
        ),
      },
    });
    expect(gone).toEqual([]);
    expect(await plugin.ask(Event.CREATE_CONTAINER, method.createContainer, {}, fx)).toBeDefined();
  });

  test('an older plugin gets the event as a change of state', async () => {
    const { plugin, fake, fx } = await registered();
    const changes: unknown[] = [];
    fake.on(method.stateChange, ({ event, pod }) => (changes.push([event, pod?.id]), {}));
    for (const id of ['one', 'two'])
      await plugin.ask(Event.RUN_POD_SANDBOX, method.runPodSandbox, { pod: { id } }, fx);
    expect(changes).toEqual([
      [Event.RUN_POD_SANDBOX, 'one'],
      [Event.RUN_POD_SANDBOX, 'two'],
    ]);
    expect(fake.heard.filter((name) => name === 'RunPodSandbox')).toEqual([]);
  });

  test('a plugin’s own request comes with its name', async () => {
    const asked: string[] = [];
    const { fake } = await registered({
      onUpdate: (plugin, { update }) => (
        asked.push(`${plugin.id} ${update.length}`),
        Promise.resolve({ failed: update })
      ),
    });
    const answer = await fake.client.call(Runtime.method.updateContainers, {
      update: [{ containerId: 'x' }],
    });
    expect(asked).toEqual(['10-logger 1']);
    expect(answer.failed.map(({ containerId }) => containerId)).toEqual(['x']);
  });

  test('a second registration is refused', async () => {
    const { fake } = await registered();
    await expect(fake.registers('other', '11')).rejects.toThrow(/already registered/);
  });
});
