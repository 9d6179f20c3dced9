// Guards against registries, manifests and layers.
import type { Mutant } from '../mutant.ts';

const manifest = 'test/unit/image/manifest.test.ts';
const auth = 'test/unit/distribution/auth.test.ts';
const tar = 'test/unit/unpack/tar-reader.test.ts';
const hostile = 'test/integration/unpack/hostile.test.ts';

export const ofImages: readonly Mutant[] = [
  {
    row: 'S16', title: 'where the image says that a layer lies is read', file: 'src/oci/image/manifest.ts',
    find: 'if (compression !== undefined) return Object.freeze({ ...descriptor, compression });',
    replace: "if (compression !== undefined) return Object.freeze({ ...descriptor, compression, urls: fields.texts('urls') });",
    test: { file: manifest, named: 'S16 a layer of type' },
  },
  {
    row: 'S17', title: 'an index with layers is taken', file: 'src/oci/image/manifest.ts',
    find: "if (fields.has(foreign)) fields.refuse(foreign, 'stands in an index: the document is two things at once');", replace: 'void foreign;',
    test: { file: manifest, named: 'S17 one document, one meaning' },
  },
  {
    row: 'S17', title: 'a manifest of schema 1 with layers of schema 2 is taken', file: 'src/oci/image/schema1.ts',
    find: "for (const foreign of ['config', 'layers', 'manifests', SIGNATURES]) {", replace: "for (const foreign of [] as string[]) {",
    test: { file: 'test/unit/image/schema1.test.ts', named: 'S17 (layers of schema 2|a config) beside' },
  },
  {
    row: 'S18', title: 'a title leads out of an artifact', file: 'src/oci/image/artifact.ts',
    find: 'if (!isPlain || Buffer', replace: 'if (Buffer',
    test: { file: 'test/unit/image/artifact.test.ts', named: 'S18 the title' },
  },
  {
    row: 'S66', title: 'a namespace leads out of its directory', file: 'src/oci/distribution/namespaced-credentials.ts',
    find: "if (directory === '' || !NAMESPACE.test(namespace)) return undefined;", replace: "if (directory === '') return undefined;",
    test: { file: 'test/integration/distribution/namespaced.test.ts', named: 'S66 the namespace' },
  },
  {
    row: 'S47', title: 'a digest can be any text', file: 'src/base/ids.ts',
    find: 'const DIGEST = /^sha256:[0-9a-f]{64}$/u;', replace: 'const DIGEST = /^sha(?:256|512):.+$/u;',
    test: { file: manifest, named: 'S47 (digest|sha512|upper)' },
  },
  {
    row: 'S58', title: 'the unpacker walks links as the host has them', file: 'src/host/files-at.ts',
    find: 'inRoot: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,', replace: 'inRoot: 0,',
    test: { file: hostile, named: 'S58: links that lead outside' },
  },
  {
    row: 'S59', title: 'a file can be of any size', file: 'src/oci/image/tar-entry.ts',
    find: 'if (size > unpackLimits.fileBytes || size < 0) {', replace: 'if (size < 0) {',
    test: { file: tar, named: 'S59: a file of 8 EiB' },
  },
  {
    row: 'S79', title: 'credentials go to whatever host is asked', file: 'src/oci/distribution/auth.ts',
    find: 'return withoutDefaultPort(host) === withoutDefaultPort(owned.host);', replace: 'return host.includes(owned.host);',
    test: { file: auth, named: 'S79 they belong to one host' },
  },
  {
    row: 'S59', title: 'an image can have any number of layers', file: 'src/oci/image/manifest.ts',
    find: "fields.objects('layers', imageLimits.layers)", replace: "fields.objects('layers', Number.MAX_SAFE_INTEGER)",
    test: { file: manifest, named: 'S59 100000 layers' },
  },
  {
    row: 'S49', title: 'a token is asked for by plain http though the registry speaks https', file: 'src/oci/distribution/session.ts',
    find: "if (realm.protocol === 'http:' && this.#scheme !== 'http') refuse(", replace: "if (realm.protocol === '') refuse(",
    test: { file: 'test/integration/distribution/tls.test.ts', named: 'S49 an https registry that names a plain http realm' },
  },
  {
    row: 'S49', title: 'what gpgv says of a signature is not looked at', file: 'src/oci/signature/gpgv.ts',
    find: 'return refusal === undefined ? { payload: stdout } : { refusal };', replace: 'return { payload: stdout };',
    test: { file: 'test/integration/signature/gpgv.test.ts', named: 'S49: OpenPGP signatures.* a message by a stranger is refused' },
  },
  {
    row: 'S80', title: 'cloud metadata is an address like any other', file: 'src/oci/distribution/host-policy.ts',
    find: "OWN.addSubnet('169.254.0.0', 16, 'ipv4');\n", replace: '',
    test: { file: auth, named: 'S80 addresses of the machine itself' },
  },
  {
    row: 'S81', title: 'certificates are not looked at', file: 'src/oci/distribution/transport.ts',
    find: "{ ...bounds, rejectUnauthorized: !insecure, minVersion: 'TLSv1.2' }", replace: "{ ...bounds, rejectUnauthorized: false, minVersion: 'TLSv1.2' }",
    test: { file: 'test/integration/distribution/tls.test.ts', named: 'S81 self-signed, wrong host, expired' },
  },
  {
    row: 'S23', title: 'a document of any size is parsed', file: 'src/oci/image/fields.ts',
    find: 'if (bytes.byteLength > imageLimits.documentBytes) {', replace: 'if (bytes.byteLength < 0) {',
    test: { file: manifest, named: 'S23 S48 more than 4 MiB' },
  },
  {
    row: 'S60', title: 'a layer is taken whatever its digest is', file: 'src/oci/distribution/blob.ts',
    find: 'if (digest !== descriptor.digest) throw', replace: "if (digest === '') throw",
    test: { file: 'test/integration/distribution/faults.test.ts', named: 'F61 S60 lies.* wrong bytes of the right length' },
  },
  {
    row: 'S61', title: 'a key of a document changes a prototype', file: 'src/base/codec.ts',
    find: "Object.defineProperty(out, key, {\n      value: fromJson(json[key] as Json),\n      enumerable: true,\n      writable: true,\n      configurable: true,\n    });", replace: 'out[key] = fromJson(json[key] as Json);',
    test: { file: 'test/unit/base/codec.test.ts', named: 'S61: the key' },
  },
  {
    row: 'S61', title: 'the date of a certificate is of memory that nothing was written to', file: 'src/oci/signature/certificates.ts',
    find: '[Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]', replace: '[certificate.validFromDate.getTime(), certificate.validToDate.getTime()]',
    test: { file: 'test/unit/signature/certificates.test.ts', named: 'S61 such a date is never' },
  },
  {
    row: 'S61', title: 'keys of YAML below the top can be anything', file: 'src/oci/image/yaml-fields.ts',
    find: 'demandTextKeys(member, what, depth + 1);', replace: '',
    test: { file: 'test/unit/cdi/spec-file.test.ts', named: 'S61 a key of YAML that is no text' },
  },
  {
    row: 'S61', title: 'a lookaside URL with an impossible port is taken', file: 'src/oci/signature/registries-d.ts',
    find: "lookaside !== '' && !URL.canParse(lookaside)", replace: "lookaside === 'x'",
    test: { file: 'test/unit/signature/documents.test.ts', named: 'S61 a port that no URL has' },
  },
  {
    row: 'S95', title: 'an image sets the notes of fuse-overlayfs', file: 'src/oci/image/unpack-apply.ts',
    find: " && !FOREIGN_PREFIXES.some((prefix) => name.startsWith(prefix));", replace: " && !name.startsWith('user.overlay.');",
    test: { file: 'test/unit/unpack/allowed-xattr.test.ts', named: 'S95 user.containers.override_stat is' },
  },
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
    find: 'encodePlain([asked, auth, namespace, stage', replace: 'encodePlain([asked, auth, stage',
    test: { file: 'test/unit/actors/image-policy.test.ts', named: 'S90 is not joined by another namespace' },
  },
  {
    row: 'S90', title: 'one namespace may have all pulls', file: 'src/actors/images/image-commands.ts',
    find: 'if (ofNamespace >= actorLimits.pullsPerNamespace) {', replace: 'if (ofNamespace >= actorLimits.pullsMax) {',
    test: { file: 'test/unit/actors/image-policy.test.ts', named: 'S90 leaves room for other namespaces' },
  },
  {
    row: 'S59', title: 'a zstd stream may have any number of empty frames', file: 'src/oci/image/unpack-zstd.ts',
    find: 'if (this.#frames > unpackLimits.zstdFrames) {', replace: 'if (this.#frames < 0) {',
    test: { file: 'test/unit/unpack/zstd-frames.test.ts', named: 'S59 frames without content' },
  },
  {
    row: 'S14', title: 'a layer may have any number of sparse pieces', file: 'src/oci/image/tar-reader.ts',
    find: 'if (this.#pieceSum > unpackLimits.layerSparsePieces) {', replace: 'if (this.#pieceSum < 0) {',
    test: { file: tar, named: 'S14: many sparse files' },
  },
  {
    row: 'S86', title: 'an image has any number of names', file: 'src/actors/images/sources.ts',
    find: 'while (left.length > imageLimits.names) {', replace: 'while (left.length < 0) {',
    test: { file: 'test/unit/actors/ledger.test.ts', named: 'S86 names are bounded' },
  },
  {
    row: 'S61', title: 'authorities of a chain are tried again on each way', file: 'src/oci/signature/certificates.ts',
    find: 'left = left.filter((one) => !level.includes(one));', replace: 'left = left.slice();',
    test: { file: 'test/unit/signature/certificates.test.ts', named: 'S61 authorities that all vouch' },
  },
  {
    row: 'S95', title: 'an image sets the notes of other unpackers', file: 'src/oci/image/unpack-apply.ts',
    find: '!FOREIGN_NAMES.includes(name) && ', replace: '',
    test: { file: 'test/unit/unpack/allowed-xattr.test.ts', named: 'S95 user.rootlesscontainers is' },
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
    row: 'F22', title: 'layers fill the disk of the journal to its last byte', file: 'src/oci/storage/unpack-job.ts',
    find: 'new LayerApplier(this.#rootFd, space);', replace: 'new LayerApplier(this.#rootFd);',
    test: { file: 'test/integration/unpack/reserve.test.ts', named: 'F22 the least free space' },
  },
  {
    row: 'F22', title: 'a layer is begun on a full disk', file: 'src/oci/storage/unpack-job.ts',
    find: 'space.ask();', replace: '',
    test: { file: 'test/integration/unpack/reserve.test.ts', named: 'F22 the least free space.*is not begun' },
  },
  {
    row: 'F22', title: 'layers take the last inodes', file: 'src/host/free-space.ts',
    find: 'if (files > 0 && ffree < leastInodes) refuse(', replace: 'if (files < 0) refuse(',
    test: { file: 'test/unit/host/free-space.test.ts', named: 'F22 the least free space.*is refused with the path' },
  },
  {
    row: 'F22', title: 'the file system is asked for each file', file: 'src/host/free-space.ts',
    find: 'if (this.#bytesLeft >= 0 && this.#inodesLeft >= 0) return;', replace: '',
    test: { file: 'test/unit/host/free-space.test.ts', named: 'F22 the file system is asked.*once for each part' },
  },
  {
    row: 'F22', title: 'a download is kept though others have filled the disk', file: 'src/oci/distribution/ingest.ts',
    find: 'if (this.#roomBytes < 0) await this.#demandRoom();', replace: '',
    test: { file: 'test/unit/distribution/ingest-shares.test.ts', named: 'F22 kept downloads.*end, and go' },
  },
  {
    row: 'S90', title: 'downloads of one namespace take all room', file: 'src/oci/distribution/ingest.ts',
    find: ' && bytesOf(shared) + size > bytesPerNamespace) return false;', replace: ' && bytesPerNamespace < 0) return false;',
    test: { file: 'test/unit/distribution/ingest-shares.test.ts', named: 'S90 kept downloads.*of one namespace leave room' },
  },
];
