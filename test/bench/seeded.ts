// A journal with many containers, written by the journal's own code: one pod is made for real, its records are the
// pattern.
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import {
  type ContainerFacts,
  type Ledger,
  ledgerFold,
  type SandboxFacts,
} from '../../src/actors/ledger/ledger.ts';
import type { JournalRecord } from '../../src/ports/journal.ts';
import { type ContainerId, parseContainerId, parseSandboxId, type SandboxId } from '../../src/base/ids.ts';
import { createLayout } from '../../src/host/sandbox/layout.ts';
import { realClock } from '../../src/host/clock/clock.ts';
import { openDisk } from '../../src/journal/disk.ts';
import { type OpenJournal, openJournal } from '../../src/journal/journal.ts';
import type { World } from '../e2e/support/world.ts';
import { startPod } from './daemon-pods.ts';

/** Containers of each pod of the journal. */
const PER_POD = 2;

/** Ends the daemon and leaves a journal with `count` exited containers in stopped pods, so that a start finds them. */
export async function seedContainers(world: World, image: string, count: number): Promise<void> {
  const { instance, client } = world;
  const { containerId, podSandboxId } = await startPod(world, image, 'host');
  await client.runtime.stopContainer({ containerId, timeout: 0n });
  await client.runtime.stopPodSandbox({ podSandboxId });
  await instance.terminate();
  await onJournal(instance.root, async ({ journal, state }) => {
    const [pod] = state.sandboxes.values();
    const [container] = state.containers.values();
    if (pod === undefined || container === undefined) throw new Error('the journal has no pod to copy');
    for (let made = 0; made < count; made += PER_POD) {
      const id = sandboxId();
      const records: JournalRecord[] = [
        ...sandboxRecords(pod, id, made),
        { type: 'sandbox.stopped', id, owed: [] },
      ];
      for (let of = made; of < Math.min(made + PER_POD, count); of += 1)
        records.push(...containerRecords(container, id, of));
      await journal.append(records, { sync: false });
    }
  });
}

/**
 * Ends the daemon and leaves a journal with `count` more sandboxes as ready as the one that is there, which shares the
 * node's network and IPC: nothing makes such a one ready but the record, and files that say that the machine still
 * runs.
 */
export async function seedSandboxes({ instance }: World, count: number): Promise<void> {
  await instance.terminate();
  const layout = createLayout(instance);
  await onJournal(instance.root, async ({ journal, state }) => {
    const [pod] = state.sandboxes.values();
    if (pod === undefined) throw new Error('the journal has no pod to copy');
    for (let made = 0; made < count; made += 1) {
      const id = sandboxId();
      const { resolvConf } = layout.sandboxFiles(id);
      await mkdir(dirname(resolvConf), { recursive: true });
      await writeFile(resolvConf, '');
      await journal.append(sandboxRecords(pod, id, made), { sync: false });
    }
  });
}

async function onJournal(root: string, work: (opened: OpenJournal<Ledger>) => Promise<void>): Promise<void> {
  const disk = await openDisk(join(root, 'journal'));
  const opened = await openJournal({
    disk,
    fold: ledgerFold,
    log: pino({ level: 'silent' }),
    clock: realClock(),
  });
  await work(opened);
  await opened.close();
}

const hex = (): string => randomBytes(32).toString('hex');

function sandboxId(): SandboxId {
  return parseSandboxId(hex()) ?? never();
}

function containerId(): ContainerId {
  return parseContainerId(hex()) ?? never();
}

function never(): never {
  throw new Error('32 random bytes are an id');
}

/** Labels as the kubelet gives them. */
function labels(name: string, container?: string): Record<string, string> {
  return {
    'io.kubernetes.pod.name': name,
    'io.kubernetes.pod.namespace': 'bench',
    'io.kubernetes.pod.uid': `uid-of-${name}`,
    ...(container === undefined ? {} : { 'io.kubernetes.container.name': container }),
  };
}

function sandboxRecords(
  { intent, ready }: SandboxFacts,
  id: SandboxId,
  number: number,
): readonly JournalRecord[] {
  const name = `seeded-${number}`;
  const spec = {
    ...intent.spec,
    key: { ...intent.spec.key, name, uid: `uid-of-${name}` },
    labels: labels(name),
  };
  return [{ ...intent, id, spec }, ...(ready === undefined ? [] : [{ ...ready, id }])];
}

function containerRecords(
  { intent, created, exited }: ContainerFacts,
  pod: SandboxId,
  number: number,
): readonly JournalRecord[] {
  const id = containerId();
  const name = `container-${number}`;
  const spec = {
    ...intent.spec,
    key: { ...intent.spec.key, sandboxId: pod, name },
    labels: labels(`seeded-${number}`, name),
  };
  if (created === undefined || exited === undefined) throw new Error('the container to copy has not ended');
  return [
    { ...intent, id, spec },
    { ...created, id },
    { ...exited, id },
  ];
}
