// The condition of a container or pause process whose files could not be read goes with it, and not only at the next
// start.
import { expect, test } from 'vitest';
import { Conditions } from '../../../../../src/base/conditions.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { stepsByKind } from '../../../../../src/oci/runtime/container/kinds.ts';
import type { KindSteps } from '../../../../../src/oci/runtime/container/kinds.ts';
import { HandlerTable } from '../../../../../src/oci/runtime/handlers/handlers.ts';
import { reportUnreadable } from '../../../../../src/oci/runtime/container/unreadable.ts';
import { containerId, containerSpec, sandboxId, sandboxSpec } from '../../../actors/fixtures.ts';
import { fxOf } from '../../../../support/fx.ts';

const fx = fxOf();

function bench(isFailing: () => boolean) {
  const conditions = new Conditions(silentLog);
  const destroy = async (): Promise<void> => {
    if (isFailing()) throw new Error('EIO');
  };
  const unused = (): never => {
    throw new Error('not a step of this test');
  };
  const kind: KindSteps = {
    destroy,
    destroyPause: destroy,
    create: unused,
    start: unused,
    update: unused,
    kill: unused,
    killAll: unused,
    delete: unused,
    watch: unused,
    execSync: unused,
    startPause: unused,
  };
  const parts = {
    conditions,
    log: silentLog,
    hasShim: async () => false,
    table: new HandlerTable(
      [{ name: 'runc', kind: 'oci', path: '/usr/sbin/runc' }],
      'runc',
      (name) => `/run/${name}`,
    ),
  };
  return {
    parts,
    steps: stepsByKind(parts, kind, kind),
    subjects: () => conditions.all().map(({ subject }) => subject),
  };
}

test('F89 a removed container or pause process is no longer a condition; one that can’t be removed is', async () => {
  let isFailing = true;
  const { parts, steps, subjects } = bench(() => isFailing);
  const container = { id: containerId(), handler: 'runc', spec: containerSpec() };
  const pause = { id: sandboxId(), sandbox: sandboxSpec({ handler: 'runc' }) };
  reportUnreadable(parts, 'container', container.id, new Error('EIO'));
  reportUnreadable(parts, 'pause process', pause.id, new Error('EIO'));
  await expect(steps.destroy(container, fx)).rejects.toThrow('EIO');
  await expect(steps.destroyPause(pause, fx)).rejects.toThrow('EIO');
  expect(subjects()).toEqual([`container ${container.id}`, `pause process ${pause.id}`]);
  isFailing = false;
  await steps.destroy(container, fx);
  expect(subjects()).toEqual([`pause process ${pause.id}`]);
  await steps.destroyPause(pause, fx);
  expect(subjects()).toEqual([]);
});
