/**
 * What registries and token services answer, as texts: challenges, tokens, reasons, and what node agents and helpers
 * print.
 */
import { parseAuthFile, findIn, parseHelperReply } from '../../../src/oci/images/registry/auth-file.ts';
import { parseTokenReply } from '../../../src/oci/images/registry/auth.ts';
import { parseChallenges } from '../../../src/oci/images/registry/challenge.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const SECRET = 'fuzz-secret-0123456789';
const AUTH = Buffer.from(`user:${SECRET}`).toString('base64');

const kinds: readonly Kind[] = [
  {
    name: 'challenge',
    seeds: [
      'Bearer realm="https://a.example/t",service="s",scope="repository:a:pull", Basic realm="x"',
      'Basic',
      'Bearer realm="a\\"b", error=x',
    ],
    run: (input) => {
      const found = parseChallenges(input.toString('latin1').split('\n'));
      for (const { scheme, params } of found) {
        if (scheme !== scheme.toLowerCase() || !/^[^\s,="]+$/u.test(scheme))
          violated(`a scheme ${JSON.stringify(scheme)}`);
        for (const name of params.keys())
          if (name !== name.toLowerCase()) violated(`a parameter ${JSON.stringify(name)}`);
      }
      return found.length > 0;
    },
  },
  {
    name: 'token',
    seeds: ['{"token":"abc","expires_in":60}', '{"access_token":"x.y.z"}'],
    run: (input) => {
      const token = parseTokenReply(input);
      // it becomes part of a header
      if (token !== undefined && !/^[\u0021-\u007e]+$/u.test(token))
        violated('a token that would end its header');
      return token !== undefined;
    },
  },
  {
    name: 'helper',
    seeds: [
      `{"Username":"u","Secret":"${SECRET}"}`,
      '{"Username":"<token>","Secret":"t"}',
      '{"Username":"","Secret":""}',
    ],
    run: (input) => parseHelperReply(input) !== undefined,
  },
];

const files: readonly Kind[] = [
  {
    name: 'auth',
    seeds: [
      `{"auths":{"r.example":{"auth":"${AUTH}"},"r.example/a/b":{"identitytoken":"t"},"https://index.docker.io/v1/":{}},"credHelpers":{"h.example":"name"},"credsStore":"store"}`,
    ],
    run: (input) => {
      try {
        const file = parseAuthFile(input, 'fuzz.json');
        for (const [host, repository] of [
          ['r.example', 'a/b/c'],
          ['h.example', 'x'],
          ['docker.io', 'library/x'],
        ] as const) {
          const found = findIn(file, host, repository);
          if (found !== undefined && 'helper' in found && !/^[A-Za-z0-9][A-Za-z0-9._-]*$/u.test(found.helper))
            violated(`a helper ${JSON.stringify(found.helper)}`);
        }
        return true;
      } catch (error) {
        if (error instanceof Error && error.message.includes(SECRET))
          violated(`a secret stands in a message: ${error.message}`);
        throw error;
      }
    },
  },
];

export const repliesLearner = learnerOf(kinds, ['outside']);
export const authFileLearner = learnerOf(
  files,
  ['invalidRequest'],
  ['"auths"', '"auth"', '"identitytoken"', '"registrytoken"', '"credHelpers"', '"credsStore"', AUTH],
);
