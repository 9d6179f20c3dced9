import { expect, test } from 'vitest';
import type { Ports } from '../../../../src/ports/ports.ts';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import { observeWorld } from '../../../../src/actors/recovery/observe.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { sandboxId, sandboxIntent } from '../fixtures.ts';
import { fxOf } from '../../../support/fx.ts';

test('F89: a start that cannot list the network attachments assumes the recorded network for pods', async () => {
  const [ready, begun] = [sandboxId('a'), sandboxId('b')];
  const ledger = emptyLedger();
  for (const id of [ready, begun])
    ledgerFold.apply(ledger, { type: 'sandbox.intent', id, intent: sandboxIntent({}, id) } as never);
  ledgerFold.apply(ledger, { type: 'sandbox.ready', id: ready, ips: ['10.0.0.5'] } as never);
  const seen = {
    observe: () => Promise.resolve({ containers: [], pauses: [], sandboxes: [], layers: [], rootfs: [] }),
    isAlive: () => false,
  };
  const network = { observe: () => Promise.reject(new Error('ENOTDIR')) };
  const ports = {
    clock: new HandClock(),
    log: silentLog,
    host: seen,
    runtime: seen,
    storage: seen,
    network,
  } as object as Ports;
  const fx = fxOf();
  expect((await observeWorld(ports, ledger, fx)).networks).toEqual(new Set([ready]));
});
