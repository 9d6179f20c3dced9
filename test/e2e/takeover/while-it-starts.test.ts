// A daemon that has the lock and does not listen for a successor yet: whoever takes over waits for it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { injects } from '../../support/faults/injects.ts';
import { until } from '../../support/eventually.ts';
import { SERVES, Successors } from '../handover/successors.ts';
import { describePods } from '../support/crictl.ts';
import { makeWorld, type World } from '../support/world.ts';

const held = injects(
  'F92',
  'a daemon takes over from one whose start waits for a plugin that does not register',
);

/** A plugin that says nothing until this file is there: then it exits. */
function holdStart(directory: string): string {
  const gate = join(directory, 'gate');
  mkdirSync(join(directory, 'plugins'));
  const program = `#!/bin/sh\nwhile ! [ -e ${gate} ]; do sleep 0.05; done\n`;
  writeFileSync(join(directory, 'plugins/10-silent'), program, { mode: 0o755 });
  return gate;
}

describePods('a take-over from a daemon whose start is not over', () => {
  let world: World | undefined;
  let takers: Successors | undefined;
  afterAll(async () => {
    await takers?.terminate();
    await world?.close();
  });

  test('F92: waits until that one listens, and serves then', async () => {
    let gate = '';
    const made = await makeWorld({
      name: 'tkw',
      network: 'none',
      config: (directory) => {
        gate = holdStart(directory);
        return ['[nri]', `plugin_dir = "${directory}/plugins"`, 'registration_timeout_ms = 20000'].join('\n');
      },
    });
    world = made;
    const successors = new Successors(made.instance);
    takers = successors;
    const before = made.instance.pid();
    const taker = successors.start();
    await until(async () => (await taker.log()).includes('does not listen for a successor yet: wait'));
    expect(await made.instance.log()).not.toContain('"msg":"serving"');
    held.happened();
    writeFileSync(gate, '');
    await until(async () => (await taker.log()).includes(`"msg":"${SERVES}"`));
    expect(await taker.log()).toContain(`"pid":${before}`);
    expect(successors.serving()).toBe(taker.pid);
    expect((await made.client.runtime.version({})).runtimeName).toBe('troupe');
  });
});
