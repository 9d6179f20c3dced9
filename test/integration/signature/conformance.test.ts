/** The real policy driver under the suite that its twin keeps to (test/sim/conformance.test.ts). */
import { policyConformance } from '../../conformance/policy.ts';
import { FakeRegistry } from '../../support/registry/fake-registry.ts';
import { imageOf, layerOf } from '../../support/registry/images.ts';
import { PolicyRig } from './rig.ts';

policyConformance('policy.json and a registry', async () => {
  const registry = await FakeRegistry.start();
  const rig = new PolicyRig([registry.host]);
  registry.push('a', '1', imageOf([await layerOf([{ name: 'a', content: 'a' }])]));
  const decide = (word: 'accept' | 'refuse'): void =>
    void rig.write('policy.json', {
      default: [{ type: word === 'accept' ? 'insecureAcceptAnything' : 'reject' }],
    });
  decide('accept');
  return {
    policy: rig.driver(),
    image: await rig.resolve(`${registry.host}/a:1`),
    decide,
    close: async () => {
      rig.close();
      await registry.close();
    },
  };
});
