// A daemon with a recorder between its actors and its drivers, in a process of its own: it reaps every child of its
// process, so that nothing that uses node:child_process can live beside it. Started by `fork` with config, root, state
// and socket; each message names the operation that runs from now on, or ends it; each is answered with the pairs so
// far.
import type { Ports } from '../../../src/ports/ports.ts';
import { actorLimits } from '../../../src/actors/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { loadConfig } from '../../../src/daemon/config/config.ts';
import { startDaemon } from '../../../src/daemon/wiring/wire.ts';
import { recordEffects } from '../../sim/record-effects.ts';

/** What the test says. */
export type Order = { readonly operation: string } | 'stop';
/** What it is answered: `operation port.method`. */
export type Answer = readonly string[];

const NEVER_MS = 3_600_000;
/** crictl asks for ImageFsInfo whenever it connects; it only reads. */
const PROBE = 'storage.usage';

/**
 * Timers as long as the janitor's never fire: its rounds would fall into any operation, while the simulation sees them
 * apart from all operations. Nothing here waits that long.
 */
function withoutJanitor(ports: Ports): Ports {
  const { clock } = ports;
  return {
    ...ports,
    clock: {
      nowNs: () => clock.nowNs(),
      monoMs: () => clock.monoMs(),
      setTimeout: (fn, ms) => clock.setTimeout(fn, ms === actorLimits.janitorMs ? NEVER_MS : ms),
      clearTimeout: (handle) => clock.clearTimeout(handle),
    },
  };
}

const [config = '', root = '', state = '', socket = ''] = process.argv.slice(2);
const pairs = new Set<string>();
let operation = 'start';
const daemon = await startDaemon(
  (await loadConfig(config, true, { root, state, socket })).config,
  silentLog,
  {
    around: (ports) =>
      recordEffects(withoutJanitor(ports), (effect) => {
        if (effect !== PROBE) pairs.add(`${operation} ${effect}`);
      }),
  },
);
operation = 'idle';
process.send?.([...pairs]);
process.on('message', (order: Order) => {
  if (order !== 'stop') {
    ({ operation } = order);
    process.send?.([...pairs]);
    return;
  }
  void daemon.stop().then(() => {
    process.send?.([...pairs]);
    process.disconnect();
  });
});
