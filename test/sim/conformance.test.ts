/** The twins keep to what the real drivers are held to (test/integration/conformance runs the same suites on those). */
import { checkpointConformance, checkpointDeaths } from '../conformance/checkpoints.ts';
import { diskConformance } from '../conformance/disk.ts';
import { hostConformance } from '../conformance/host.ts';
import { imagesConformance } from '../conformance/images.ts';
import { networkConformance } from '../conformance/network.ts';
import { policyConformance } from '../conformance/policy.ts';
import { runtimeConformance } from '../conformance/runtime.ts';
import { storageConformance } from '../conformance/storage.ts';
import { checkpointTwinStage } from './checkpoint-twin-stage.ts';
import { machine } from './conformance-machine.ts';
import { DiskModel } from './disk-model.ts';
import { diskTwin } from './disk-twin.ts';
import { hostTwin, networkTwin } from './host-network-twins.ts';
import { runtimeTwinStage } from './runtime-twin-stage.ts';
import { imageOf, policyTwin, REFERENCES } from './storage-images-twins.ts';
import { storeTwinStage } from './store-twin-stage.ts';

const done = (): Promise<void> => Promise.resolve();

diskConformance('the twin', async () => ({
  disk: diskTwin(new DiskModel(), async (_operation, effect) => effect()),
  close: done,
}));

networkConformance('the twin', async () => {
  const { scheduler, kernel, outside, driven, sandbox } = machine();
  return {
    port: driven(networkTwin(kernel, outside, scheduler.epoch, false)),
    sandbox: (number) => {
      const input = sandbox(number);
      kernel.pins.set(input.id, new Set(['net']));
      return input;
    },
    loseNamespace: ({ id }) => void kernel.pins.delete(id),
    leases: () => kernel.leases.size,
    close: done,
  };
});

hostConformance('the twin', async () => {
  const { scheduler, kernel, outside, driven, sandbox } = machine();
  return {
    port: driven(hostTwin(kernel, outside, scheduler.epoch)),
    sandbox,
    hasCgroup: ({ id }) => kernel.cgroups.has(id),
    losePin: async ({ id }, pin) => void kernel.pins.get(id)?.delete(pin),
    close: done,
  };
});

runtimeConformance('the twin', runtimeTwinStage);
checkpointConformance('the twin', checkpointTwinStage);
checkpointDeaths('the twin', checkpointTwinStage);

storageConformance('the twin', storeTwinStage);
imagesConformance('the twin', storeTwinStage);

policyConformance('the twin', async () => {
  const { scheduler, kernel, outside, driven } = machine();
  let refuses = false;
  return {
    policy: driven(policyTwin(kernel, outside, scheduler.epoch, { refuses: () => refuses })),
    image: imageOf(REFERENCES[0] ?? ''),
    decide: (word) => void (refuses = word === 'refuse'),
    close: done,
  };
});
