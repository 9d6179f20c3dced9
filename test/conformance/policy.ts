/** What every PolicyPort does, the real one as its twin. */
import { beforeEach, expect, it } from 'vitest';
import type { ResolvedImage } from '../../src/ports/images.ts';
import type { PolicyPort } from '../../src/ports/policy.ts';
import type { ImageRecord } from '../../src/ports/specs.ts';
import { describeSuite } from './suite.ts';
import { refusalOf } from '../support/fault-of.ts';
import { fxOf } from '../support/fx.ts';
import { EVENT_MS } from '../support/patience.ts';

export interface PolicyStage {
  readonly policy: PolicyPort;
  /** What a registry has, and nothing speaks for. */
  readonly image: ResolvedImage;
  /** From now on everything is accepted, or nothing. */
  decide(word: 'accept' | 'refuse'): void;
  close(): Promise<void>;
}

const REFUSED = /^denied: .*SignatureValidationFailed: /u;

/** The suite; a stage accepts everything at first. */
export const policyConformance = describeSuite<PolicyStage>('policy', (of) => {
  let stage: PolicyStage;
  beforeEach(() => {
    stage = of();
  });
  const record = (): ImageRecord => ({
    ...stage.image,
    repoTags: [stage.image.repoTag],
    repoDigests: [stage.image.repoDigest],
    pulledAtNs: 0n,
    sizeBytes: 0,
  });
  const both = (effect = fxOf()): Promise<readonly string[]> =>
    Promise.all([
      refusalOf(stage.policy.admit({ namespace: '', auth: undefined, image: stage.image }, effect)),
      refusalOf(
        stage.policy.admitAgain({ namespace: '', reference: stage.image.repoTag, image: record() }, effect),
      ),
      refusalOf(stage.policy.admitAgain({ namespace: '', reference: '', image: record() }, effect)),
    ]);

  it('the scope of a namespace is the same text each time', () => {
    for (const namespace of ['', 'default', 'team'])
      expect(stage.policy.scope(namespace)).toBe(stage.policy.scope(namespace));
  });

  it('an accepted image is accepted before and after its layers are fetched; a refused one fails with the kubelet’s word; each call decides again', async () => {
    expect(await both()).toEqual(['accepted', 'accepted', 'accepted']);
    stage.decide('refuse');
    const refused = expect.stringMatching(REFUSED) as string;
    expect(await both()).toEqual([refused, refused, refused]);
    stage.decide('accept');
    expect(await both()).toEqual(['accepted', 'accepted', 'accepted']);
  });

  it('a call whose caller has gone is rejected', async () => {
    const gone = new AbortController();
    gone.abort();
    for (const said of await both(fxOf(EVENT_MS, gone.signal))) expect(said).toMatch(/^cancelled: /u);
  });
});
