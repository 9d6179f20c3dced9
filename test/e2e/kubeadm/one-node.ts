// docs/on-a-single-node.md: a kubelet alone, then kubeadm.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { POD_CIDR_FILE } from '../../../src/network/pod-cidr.ts';
import { checkout } from '../../support/tools/cache.ts';
import { IMAGE } from '../packages/archive.ts';
import { same } from '../support/parts.ts';
import { type ClusterNode, withLongWaits } from './cluster-node.ts';

const MANIFEST = '/etc/kubernetes/manifests/hello.yaml';

/** The page's pod, of an image that is present. */
async function podOfThePage(): Promise<string> {
  const page = await readFile(join(checkout, 'docs/on-a-single-node.md'), 'utf8');
  const pod = /^```yaml\n(.*?)^```/msu.exec(page)?.[1] ?? '';
  return pod.replace('docker.io/library/busybox', `${IMAGE}\n      imagePullPolicy: Never`);
}

export async function kubeletAlone(node: ClusterNode): Promise<string> {
  const { system } = node;
  await node.startKubeletAlone();
  await system.write(MANIFEST, await podOfThePage());
  const pod = `hello-${node.name}`;
  const words = (): Promise<string> => node.troupe('logs', pod);
  await node.until('the output of the page’s pod', async () => /\d\d:\d\d:\d\d/u.test(await words()));
  same('exec', await node.troupe('exec', pod, '--', 'echo', 'in it'), 'in it');
  await system.write(MANIFEST, (await podOfThePage()).replace('date;', 'echo changed;'));
  await node.until('the changed pod', async () => (await words()).startsWith('changed'));
  await system.ok('rm', MANIFEST);
  await node.until('no pod', async () => (await node.crictl.pods()).length === 0);
  await node.stopKubelet();
  await system.ok('sh', '-c', 'rm -rf /var/lib/kubelet/* /etc/kubernetes/kubelet.yaml');
  return 'started, replaced and ended by its file';
}

/** A configuration of `kubeadm init` with the machine's address, and without the addons, whose images are not there. */
export const initHere = (text: string, address: string): string =>
  withLongWaits(text)
    .replace(/^nodeRegistration:/mu, `localAPIEndpoint:\n  advertiseAddress: ${address}\nnodeRegistration:`)
    .replace(/^kind: ClusterConfiguration$/mu, '$&\nproxy:\n  disabled: true\ndns:\n  disabled: true');

export async function initAlone(node: ClusterNode): Promise<string> {
  const images = await node.importForKubeadm();
  await node.kubeadm('init', initHere(await node.fileHere('single-node/kubeadm.yaml'), node.address));
  return `${images} images were present; no warning about the runtime`;
}

export async function untilReady(control: ClusterNode, name: string): Promise<string> {
  const status = '.status.conditions[?(@.type=="Ready")].status';
  await control.until(
    `${name} is Ready`,
    async () => (await control.field(`node ${name}`, status)) === 'True',
  );
  const runtime = await control.field(`node ${name}`, '.status.nodeInfo.containerRuntimeVersion');
  if (!runtime.startsWith('troupe://')) throw new Error(`the runtime of ${name} is ${runtime}`);
  const range = await control.until(
    `a range of addresses for ${name}`,
    async () => (await control.field(`node ${name}`, '.spec.podCIDR')) || undefined,
  );
  return `${runtime}, range ${range}`;
}

/** Runs a pod and answers its address, which must be of its node's range. */
export async function runPod(
  control: ClusterNode,
  name: string,
  script: string,
  ...more: readonly string[]
): Promise<string> {
  // the service account is made a moment after the namespace
  await control.until(
    'a service account',
    async () => (await control.field('serviceaccount default', '.metadata.name')) !== '',
  );
  const image = ['--image', IMAGE, '--image-pull-policy', 'Never'];
  await control.kubectl('run', name, ...image, ...more, '--command', '--', 'sh', '-c', script);
  await control.until(
    `pod ${name} runs`,
    async () => (await control.field(`pod ${name}`, '.status.phase')) === 'Running',
  );
  const address = await control.field(`pod ${name}`, '.status.podIP');
  const range = await control.field(
    `node ${await control.field(`pod ${name}`, '.spec.nodeName')}`,
    '.spec.podCIDR',
  );
  if (!address.startsWith(range.replace(/\.0\/24$/u, '.'))) throw new Error(`${address} is not of ${range}`);
  return address;
}

/** A pod `own` with an address, a log and `kubectl exec`. */
export async function podWithLog(control: ClusterNode): Promise<string> {
  const address = await runPod(control, 'own', 'echo hello; sleep 1000000');
  await control.until('its log', async () => (await control.kubectl('logs', 'own')) === 'hello');
  same('kubectl exec', await control.kubectl('exec', 'own', '--', 'echo', 'in it'), 'in it');
  return address;
}

/** The bridge has the range that the controller manager has given the node: the kubelet passes it on. */
export async function ordinaryPod(node: ClusterNode): Promise<string> {
  const range = await node.field(`node ${node.name}`, '.spec.podCIDR');
  const inUse = ['head', '-n', '1', `/run/troupe/${POD_CIDR_FILE}`];
  await node.until(`troupe uses ${range}`, async () => (await node.system.ok(...inUse)) === range);
  const address = await podWithLog(node);
  const bridge = range.replace(/\.0\//u, '.1/');
  const addresses = await node.ip('-o -4 address show dev troupe0');
  if (!addresses.includes(` ${bridge} `)) throw new Error(`the bridge has ${addresses}, not ${bridge}`);
  return `${address}; the bridge has ${bridge}`;
}

export async function resetAlone(node: ClusterNode): Promise<string> {
  const pods = await node.reset();
  const check = await node.troupe('check', '--now');
  return `${pods} pods removed; troupe check: ${check.split('\n')[0] ?? ''}`;
}
