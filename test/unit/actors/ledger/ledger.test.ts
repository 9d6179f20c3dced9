import { describe, expect, it } from 'vitest';
import type { JournalRecord } from '../../../../src/ports/journal.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { emptyLedger, ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import type { Ledger } from '../../../../src/actors/ledger/ledger.ts';
import {
  containerCreated,
  containerId,
  containerIntent,
  exit,
  imageId,
  imageRecord,
  process,
  sandboxId,
  sandboxIntent,
  sandboxReady,
} from '../fixtures.ts';

function folded(records: readonly JournalRecord[]): Ledger {
  const ledger = ledgerFold.empty();
  for (const record of records) ledgerFold.apply(ledger, record);
  return ledger;
}

const id = containerId();
const sid = sandboxId();
/** A whole life, in order; each prefix is a state that a crash may leave. */
const LIFE: readonly JournalRecord[] = [
  { type: 'image.present', image: imageRecord() },
  sandboxIntent(),
  sandboxReady(process),
  containerIntent(),
  containerCreated(),
  { type: 'container.started', id, startedAtNs: 300n },
  {
    type: 'container.updating',
    id,
    opId: 'u1',
    resources: { ...containerIntent().spec.resources, cpuShares: 4n },
  },
  { type: 'container.updated', id, resources: { ...containerIntent().spec.resources, cpuShares: 4n } },
  { type: 'container.stopping', id, killAtNs: 800n, killAtMonoMs: 900 },
  { type: 'container.exited', id, exit, startedAtNs: 300n },
  { type: 'sandbox.stopping', id: sid },
  { type: 'sandbox.stopped', id: sid, owed: ['network'] },
  { type: 'container.removed', id },
  { type: 'sandbox.removed', id: sid },
  { type: 'image.removed', id: imageId() },
];

describe('ledger', () => {
  it.each(LIFE.map((record, at) => ({ at, type: record.type })))(
    'snapshot after $type gives the same state again',
    ({ at }) => {
      const ledger = folded(LIFE.slice(0, at + 1));
      expect(folded(ledgerFold.records(ledger))).toEqual(ledger);
    },
  );

  it('goes on from a snapshot as from the records themselves', () => {
    for (let cut = 0; cut <= LIFE.length; cut += 1) {
      const snapshot = ledgerFold.records(folded(LIFE.slice(0, cut)));
      expect(folded([...snapshot, ...LIFE.slice(cut)])).toEqual(folded(LIFE));
    }
  });

  it('is empty once everything is removed: a snapshot does not grow with removed things', () => {
    expect(folded(LIFE)).toEqual(emptyLedger());
    expect(ledgerFold.records(folded(LIFE))).toEqual([]);
  });

  it('F21 leaves a full disk’s reserve to ends, to what can’t be undone, and to the intent that withdraws a commit', () => {
    const claims = LIFE.map(
      (record, at) => [record.type, ledgerFold.mayUseReserve(folded(LIFE.slice(0, at)), record)] as const,
    );
    expect(claims.filter(([, may]) => !may).map(([type]) => type)).toEqual([
      'image.present',
      'sandbox.intent',
      'sandbox.ready',
      'container.intent',
      'container.created',
      'container.updating',
    ]);
    const committed = folded(LIFE.slice(0, 5));
    expect(
      [sandboxIntent(), containerIntent()].map((record) => ledgerFold.mayUseReserve(committed, record)),
    ).toEqual([true, true]);
  });

  it('ignores records without an intent', () => {
    const orphans = LIFE.filter(({ type }) => !type.endsWith('.intent') && type !== 'image.present');
    expect(folded(orphans)).toEqual(emptyLedger());
  });

  it('keeps order of creation over a snapshot', () => {
    const two = folded([sandboxIntent({}, sandboxId('b')), sandboxIntent({}, sandboxId('a'))]);
    expect([...folded(ledgerFold.records(two)).sandboxes.keys()]).toEqual([sandboxId('b'), sandboxId('a')]);
  });

  it('stopped is stopping as well, and names the pending cleanup', () => {
    const facts = folded([
      sandboxIntent(),
      sandboxReady(),
      { type: 'sandbox.stopped', id: sid, owed: ['network'] },
    ]).sandboxes.get(sid);
    expect(facts).toMatchObject({ stopping: true, stopped: true, owed: ['network'] });
  });
});

describe('images in the ledger', () => {
  const TAG = 'docker.io/library/nginx:1';

  it('a tag that moves leaves the image that had it, which stays under its digest', () => {
    const ledger = folded([
      { type: 'image.present', image: imageRecord() },
      {
        type: 'image.present',
        image: imageRecord({ id: imageId('2'), repoDigests: ['docker.io/library/nginx@sha256:2'] }),
      },
    ]);
    expect(ledger.images.get(imageId('1'))?.repoTags).toEqual([]);
    expect(ledger.images.get(imageId('1'))?.repoDigests).toHaveLength(1);
    expect(ledger.images.get(imageId('2'))?.repoTags).toEqual([TAG]);
  });

  it('S86 names are bounded, and a namespace with ever new ones loses its own, not another’s', () => {
    const evil = Array.from({ length: actorLimits.imageNames + 20 }, (_, at) =>
      imageRecord({ repoTags: [`evil.example/x:${at}`], repoDigests: [`evil.example/x@sha256:${at}`] }),
    );
    const image = folded(
      [imageRecord(), ...evil].map((one) => ({ type: 'image.present', image: one })),
    ).images.get(imageId());
    expect([image?.repoTags.length, image?.repoDigests.length, image?.sources?.length]).toEqual([
      actorLimits.imageNames,
      actorLimits.imageNames,
      actorLimits.imageNames,
    ]);
    expect([image?.repoTags[0], image?.repoTags.at(-1)]).toEqual([
      TAG,
      `evil.example/x:${actorLimits.imageNames + 19}`,
    ]);
    expect(image?.sources?.[0]?.repoTags).toEqual([TAG]);
    expect(image?.sources?.flatMap(({ repoTags }) => repoTags).toSorted()).toEqual(
      image?.repoTags.toSorted(),
    );
  });

  it('a second name is added, and the time of the first pull stays', () => {
    const other = imageRecord({ repoTags: ['mirror.example/nginx:1'], repoDigests: [], pulledAtNs: 999n });
    const image = folded([
      { type: 'image.present', image: imageRecord() },
      { type: 'image.present', image: other },
    ]).images.get(imageId());
    expect(image?.repoTags).toEqual([TAG, 'mirror.example/nginx:1']);
    expect(image?.pulledAtNs).toBe(50n);
  });
});
