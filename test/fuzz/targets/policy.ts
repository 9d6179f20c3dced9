/** policy.json and registries.d: which signatures an image needs. What is not understood must refuse. */
import { acceptAnything, parsePolicy } from '../../../src/oci/images/signature/policy.ts';
import { parseRegistriesD, locationsOf } from '../../../src/oci/images/signature/registries-d.ts';
import { identityMatches } from '../../../src/oci/images/signature/identity.ts';
import { requirementsFor } from '../../../src/oci/images/signature/scopes.ts';
import { parseReference } from '../../../src/oci/images/model/reference.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const POLICY = JSON.stringify({
  default: [{ type: 'reject' }],
  transports: {
    docker: {
      'r.example': [
        {
          type: 'sigstoreSigned',
          keyData: 'AAAA',
          rekorPublicKeyPath: '/k',
          signedIdentity: { type: 'remapIdentity', prefix: 'r.example', signedPrefix: 's.example' },
        },
      ],
      '*.example': [
        {
          type: 'signedBy',
          keyType: 'GPGKeys',
          keyPaths: ['/a'],
          signedIdentity: { type: 'exactReference', dockerReference: 'r.example/a:1' },
        },
      ],
      'f.example': [
        {
          type: 'sigstoreSigned',
          fulcio: { caPath: '/c', oidcIssuer: 'i', subjectEmail: 'e' },
          rekorPublicKeyData: 'AAAA',
        },
      ],
      'p.example': [
        {
          type: 'sigstoreSigned',
          pki: { caRootsPath: '/c', subjectEmail: 'e' },
          signedIdentity: { type: 'exactRepository', dockerRepository: 'r.example/a' },
        },
      ],
      '': [{ type: 'insecureAcceptAnything' }],
    },
    dir: { '': [{ type: 'insecureAcceptAnything' }] },
  },
});
const PLACES = `default-docker:
  lookaside: https://s.example/x
docker:
  r.example/a:
    use-sigstore-attachments: true
  s.example: &anchor
    sigstore: file:///var/x
  t.example: *anchor
`;
const ASKED = ['r.example/a:1', 'f.example/b:1', 'p.example/c:1', 'x.example/d:1', 'elsewhere.test/e:1'].map(
  (text) => parseReference(text),
);

/** Every requirement of the document that accepts without a signature is written there as such. */
function checkAccepts(input: Buffer): void {
  const policy = parsePolicy(input, 'fuzz.json');
  const accepts = [policy.default, ...policy.scopes.values()]
    .flat()
    .filter(({ type }) => type === 'insecureAcceptAnything').length;
  const stated =
    JSON.stringify(JSON.parse(input.toString('utf8'))).split('"insecureAcceptAnything"').length - 1;
  if (accepts > stated) violated('a requirement accepts what the document does not let in');
  for (const reference of ASKED) {
    const requirements = requirementsFor(policy, reference);
    if (requirements.length === 0 || requirements === acceptAnything.default)
      violated('an image without a requirement');
    for (const one of requirements)
      if ('identity' in one) identityMatches(one.identity, reference, 'r.example/a:1');
  }
}

const kinds: readonly Kind[] = [
  {
    name: 'policy',
    seeds: [POLICY, '{"default":[{"type":"insecureAcceptAnything"}]}'],
    run: (input) => {
      checkAccepts(input);
      return true;
    },
  },
  {
    name: 'places',
    seeds: [PLACES],
    run: async (input) => {
      const conf = await parseRegistriesD(input, 'fuzz.yaml');
      for (const reference of ASKED) {
        const { lookaside } = locationsOf(conf, reference);
        if (!['http:', 'https:', 'file:'].includes(new URL(lookaside).protocol))
          violated(`a place ${lookaside}`);
      }
      return true;
    },
  },
];

export const policyLearner = learnerOf(
  kinds,
  ['invalidRequest'],
  [
    '"type":',
    '"keyPath":',
    '"keyDatas":',
    '"matchRepository"',
    '"matchExact"',
    'lookaside: ',
    '&a ',
    '*a',
    '<<: ',
  ],
);
