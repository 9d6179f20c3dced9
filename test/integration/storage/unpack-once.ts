/**
 * A process that unpacks one layer into a store, for tests that watch or kill it: `node unpack-once.ts ROOT TAR DIFF_ID
 * [DRIVER PROGRAM]`.
 */
import { readFileSync } from 'node:fs';
import { parseDigest } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { driverWith } from '../../support/storage-drivers-of.ts';

const [root = '', file = '', digest = '', name = 'overlay', program = ''] = process.argv.slice(2);
const diffId = parseDigest(digest);
if (diffId === undefined) throw new Error(`no digest: ${digest}`);
const store = new LayerStore({
  root,
  clock: realClock(),
  random: realRandom(),
  log: silentLog,
  driver: driverWith(name, program),
});
const passenger = { signal: new AbortController().signal, onBytes: () => undefined };
await store.ensure({ diffId, blobDigest: diffId }, passenger, (sink) => sink.write(readFileSync(file)));
process.stdout.write('done\n');
store.close();
