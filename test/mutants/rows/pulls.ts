// Guards between those who pull: what is recorded of an image, kept signatures, and turns of transfers.
import type { Mutant } from '../mutant.ts';

export const ofPulls: readonly Mutant[] = [
  {
    row: 'S86', title: 'an annotation of any manifest counts for the image', file: 'src/actors/images/catalog.ts',
    find: 'const named = sources.find(({ repoTags, repoDigest }) => repoTags', replace: 'const named = sources.find(({ repoTags, repoDigest, checkpointOf }) => checkpointOf !== undefined || repoTags',
    test: { file: 'test/unit/actors/manifest-facts.test.ts', named: 'S86 two namespaces.*a checkpoint is what' },
  },
  {
    row: 'S86', title: 'the size is what the manifest claims', file: 'src/actors/image-pull/image-pull.effects.ts',
    find: 'sizeBytes: configBytes + layerBytes,', replace: 'sizeBytes: layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, configBytes + layerBytes * 0),',
    test: { file: 'test/unit/actors/manifest-facts.test.ts', named: 'S86 two namespaces.*the size is of what was received' },
  },
  {
    row: 'S86', title: 'the end of one pull is that of another manifest', file: 'src/actors/recovery/ledger.ts',
    find: "return `${id} ${source ?? ''} ${namespace}`;", replace: "return `${id} ${(source ?? '').slice(0, 0)} ${namespace.slice(0, 0)}`;",
    test: { file: 'test/unit/actors/manifest-facts.test.ts', named: 'S86 an interrupted pull' },
  },
  {
    row: 'S86', title: 'checkpoints are looked for though they are not restored', file: 'src/cri/make-container.ts',
    find: " || !restoresCheckpoints ? undefined", replace: ' ? undefined',
    test: { file: 'test/unit/cri/checkpoint.test.ts', named: 'S86 where `runtime.restore` is off' },
  },
  {
    row: 'S86', title: 'signatures of all repositories share one file', file: 'src/oci/signature/kept-index.ts',
    find: '${hashed(repository, REPOSITORY_HEX)}', replace: "${hashed('', REPOSITORY_HEX)}",
    test: { file: 'test/integration/signature/kept.test.ts', named: 'S86 what one repository is full of' },
  },
  {
    row: 'S86', title: 'the images of one namespace take the room for signatures of all', file: 'src/oci/signature/kept-index.ts',
    find: 'const { owner } = groups(name);', replace: "const owner = '';",
    test: { file: 'test/integration/signature/kept.test.ts', named: 'S86 what one namespace pulls' },
  },
  {
    row: 'S86', title: 'signatures that another namespace pulled stay its own', file: 'src/oci/signature/kept-signatures.ts',
    find: 'if (!index.has(own)) await link(', replace: 'if (index.has(own)) await link(',
    test: { file: 'test/integration/signature/kept.test.ts', named: 'S86 what one namespace pulls' },
  },
  {
    row: 'S90', title: 'credentials that were left for one pull are used up by a call that is refused', file: 'src/actors/images/image-commands.ts',
    find: 'if (brought === undefined && !stage.pulls.has(keyWith(undefined))) demandRoom(stage, attempted, namespace);', replace: '',
    test: { file: 'test/unit/actors/image-policy.test.ts', named: 'S90 leaves room for other namespaces' },
  },
  {
    row: 'S90', title: 'a page a minute keeps a download alive', file: 'src/oci/distribution/body.ts',
    find: 'return Math.max(distributionLimits.progressBytes, Math.ceil((distributionLimits.leastBytesPerSecond * this.#timeouts.stallMs) / 1000));', replace: 'return distributionLimits.progressBytes;',
    test: { file: 'test/unit/distribution/body.test.ts', named: 'S90 the mean rate of a body' },
  },
  {
    row: 'S90', title: 'a transfer that trickles keeps its turn', file: 'src/oci/storage/transfers.ts',
    find: 'if (!isSlow || running.isSlow) continue;', replace: 'if (isSlow || !isSlow) continue;',
    test: { file: 'test/unit/storage/transfers.test.ts', named: 'S90 a registry that trickles gives its turn' },
  },
  {
    row: 'S90', title: 'a transfer that began slowly holds no turn ever after', file: 'src/oci/storage/transfers.ts',
    find: 'if (!isSlow) running.isSlow = false;', replace: 'if (!isSlow) running.isSlow &&= true;',
    test: { file: 'test/unit/storage/transfers.test.ts', named: 'S90 (one that is fast again|of too many slow ones)' },
  },
  {
    row: 'S90', title: 'interrupted pulls of one namespace evict everybody’s', file: 'src/actors/janitor/over-share.ts',
    find: 'const largest = mostOf(rest, ({ namespace }) => namespace);', replace: 'const largest = rest.slice(0, 1);',
    test: { file: 'test/unit/actors/interrupted-pulls.test.ts', named: 'S90 interrupted pulls of many.*those of one namespace' },
  },
  {
    row: 'S90', title: 'turns are given in the order of coming', file: 'src/oci/storage/transfers.ts',
    find: "return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0);", replace: 'return 0 * at;',
    test: { file: 'test/unit/storage/transfers.test.ts', named: 'S90 the next is of the namespace' },
  },
  {
    row: 'S90', title: 'a download of another party is waited for whatever its rate', file: 'src/oci/storage/flights.ts',
    find: 'if (isMoving) return look(flight.bytes);', replace: 'if (isMoving || !isMoving) return look(flight.bytes);',
    test: { file: 'test/unit/storage/flights.test.ts', named: 'S90 work that was begun for another party.*is left to itself' },
  },
  {
    row: 'S90', title: 'a slow line carries a layer once for each namespace', file: 'src/oci/storage/flights.ts',
    find: 'flight.source === source ? 1 :', replace: "flight.source === '' && source === '' ? 1 :",
    test: { file: 'test/unit/storage/flights.test.ts', named: 'S90 work that was begun for another party.*is waited for on a slow line' },
  },
  {
    row: 'S90', title: 'a registry on a slow line gets ever more transfers', file: 'src/oci/storage/transfers.ts',
    find: ' && own(party) < slotsPerHost', replace: ' && own(party) >= 0',
    test: { file: 'test/unit/storage/transfers.test.ts', named: 'S90 on a slow line a registry gets no more' },
  },
  {
    row: 'S90', title: 'a pull joins that of another namespace', file: 'src/actors/images/image-commands.ts',
    find: 'encodePlain([asked, used, namespace, stage', replace: 'encodePlain([asked, used, stage',
    test: { file: 'test/unit/actors/image-policy.test.ts', named: 'S90 is not joined by another namespace' },
  },
  {
    row: 'S90', title: 'one namespace may have all pulls', file: 'src/actors/images/image-commands.ts',
    find: 'if (ofNamespace >= actorLimits.pullsPerNamespace) {', replace: 'if (ofNamespace >= actorLimits.pullsMax) {',
    test: { file: 'test/unit/actors/image-policy.test.ts', named: 'S90 leaves room for other namespaces' },
  },
  {
    row: 'S86', title: 'an image has any number of names', file: 'src/actors/images/sources.ts',
    find: 'while (left.length > imageLimits.names) {', replace: 'while (left.length < 0) {',
    test: { file: 'test/unit/actors/ledger.test.ts', named: 'S86 names are bounded' },
  },
  {
    row: 'S86', title: 'a checkpoint of an older version is one whoever else has pulled the image', file: 'src/actors/images/sources.ts',
    find: 'isOnly && checkpointOf !== undefined', replace: 'checkpointOf !== undefined',
    test: { file: 'test/unit/actors/manifest-facts.test.ts', named: 'S86 records of older versions.*keep a checkpoint' },
  },
  {
    row: 'S86', title: 'the first pull that ends takes the record of all of them', file: 'src/actors/images/layer-book.ts',
    find: 'every(([other, one]) => other === owner || one !== key)', replace: "every(([other]) => other !== '')",
    test: { file: 'test/unit/actors/layer-book.test.ts', named: 'S86 the record of a pull' },
  },
  {
    row: 'S90', title: 'a transfer pays for the time of our disk', file: 'src/oci/storage/transfers.ts',
    find: 'const waitedMs = now - running.sinceMs - oursMs;', replace: 'const waitedMs = now - running.sinceMs - 0 * oursMs;',
    test: { file: 'test/unit/storage/transfers.test.ts', named: 'S90 one that brings enough' },
  },
  {
    row: 'S90', title: 'of many that trickle none ends for who waits', file: 'src/oci/storage/transfers.ts',
    find: 'else this.#endOne();', replace: '',
    test: { file: 'test/unit/storage/transfers.test.ts', named: 'S90 of too many that trickle' },
  },
  {
    row: 'S90', title: 'downloads of one namespace take all room', file: 'src/oci/distribution/ingest.ts',
    find: ' && bytesOf(shared) + size > bytesPerNamespace) return false;', replace: ' && bytesPerNamespace < 0) return false;',
    test: { file: 'test/unit/distribution/ingest-shares.test.ts', named: 'S90 kept downloads.*of one namespace leave room' },
  },
  {
    row: 'S90', title: 'a layer that ends its worker takes those of others with it', file: 'src/oci/storage/worker-pool.ts',
    find: "running.lose(reason, 'mayStartAgain');", replace: 'running.lose(reason);',
    test: { file: 'test/integration/storage/lost-worker.test.ts', named: 'S90 a worker that ends with layers of two tenants' },
  },
  {
    row: 'S90', title: 'work of others ends with the worker that a job has ended', file: 'src/oci/storage/worker-pool.ts',
    find: 'else void this.#again(running, running.job, reason);', replace: 'else running.lose(reason);',
    test: { file: 'test/unit/storage/worker-pool.test.ts', named: 'S90 a storage worker that ends.*has each of its jobs' },
  },
  {
    row: 'S90', title: 'a job that ends workers is tried again and again', file: 'src/oci/storage/worker-pool.ts',
    find: 'const wasAlone = slot.jobs.size === 1;', replace: 'const wasAlone = slot.isApart;',
    test: { file: 'test/unit/storage/worker-pool.test.ts', named: 'S90 a storage worker that ends.*with one job in hand' },
  },
];
