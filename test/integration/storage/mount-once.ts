/**
 * A process that mounts a root file system, for tests that kill it, and dies by itself once fuse-overlayfs runs: `node
 * mount-once.ts DRIVER PROGRAM ROOT CONTAINER DIFF_ID…`.
 */
import { parseContainerId, parseDigest, parseSandboxId } from '../../../src/base/ids.ts';
import { silentLog } from '../../../src/base/log.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { realRandom } from '../../../src/host/clock/random.ts';
import { LayerStore } from '../../../src/oci/images/store/layer-store.ts';
import { createStorageDriver } from '../../../src/oci/images/store/driver.ts';
import { driverWith } from '../../support/storage-drivers-of.ts';
import { fxOf } from '../../support/fx.ts';

const [name = '', program = '', root = '', container = '', ...digests] = process.argv.slice(2);
const id = parseContainerId(container);
if (id === undefined) throw new Error(`no container id: ${container}`);
const sandboxId = parseSandboxId(container);
const layers = digests.flatMap((digest) => parseDigest(digest) ?? []);
const clock = realClock();
const store = new LayerStore({
  root,
  clock,
  random: realRandom(),
  log: silentLog,
  driver: driverWith(name, program, () => void process.kill(process.pid, 'SIGKILL')),
});
const fx = fxOf();
// a program that serves the mount is put into a cgroup once it runs
await createStorageDriver({ store, clock, helperCgroup: () => '/none' }).mountRootfs(
  { id, sandboxId, layers },
  fx,
);
process.stdout.write('done\n');
process.exit(0);
