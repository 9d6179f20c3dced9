// Guards against registries, manifests and layers.
import type { Mutant } from '../mutant.ts';

const manifest = 'test/unit/image/manifest.test.ts';
const auth = 'test/unit/distribution/auth.test.ts';
const sparse = 'test/unit/unpack/sparse-files.test.ts';
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
    test: { file: sparse, named: 'S59: a file of 8 EiB' },
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
    row: 'S59', title: 'a zstd stream may have any number of empty frames', file: 'src/oci/image/unpack-zstd.ts',
    find: 'if (this.#frames > unpackLimits.zstdFrames) {', replace: 'if (this.#frames < 0) {',
    test: { file: 'test/unit/unpack/zstd-frames.test.ts', named: 'S59 frames without content' },
  },
  {
    row: 'S14', title: 'a layer may have any number of sparse pieces', file: 'src/oci/image/tar-reader.ts',
    find: 'if (this.#pieceSum > unpackLimits.layerSparsePieces) {', replace: 'if (this.#pieceSum < 0) {',
    test: { file: sparse, named: 'S14: many sparse files' },
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
];
