import { describe, expect, test } from 'vitest';
import { rlimitsFor } from '../../../../../../src/oci/runtime/bundle/host/rlimits.ts';
import { generateSpec } from '../../../../../../src/oci/runtime/spec/generate.ts';
import { encodeSpec } from '../../../../../../src/oci/runtime/spec/types.ts';
import { applyFile } from '../../../../../../src/daemon/config/config.ts';
import { defaultConfig } from '../../../../../../src/daemon/config/config-schema.ts';
import { inputOf } from '../../spec/fixtures.ts';

const inherited = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max open files            20000                20000                files     
Max locked memory         8388608              8388608              bytes     
Max nice priority         0                    0                    
`;
const INFINITY = 2n ** 64n - 1n;

describe('rlimits from the configuration', () => {
  test('are in order of their names, and not above our own without CAP_SYS_RESOURCE', () => {
    const requested = {
      nofile: { soft: 1024, hard: 'unlimited' },
      memlock: { soft: 'unlimited', hard: 'unlimited' },
      cpu: { soft: 5, hard: 'unlimited' },
      nice: { soft: 0, hard: 1 },
    } as const;
    expect(rlimitsFor(requested, { inherited, canRaise: false })).toEqual({
      rlimits: [
        { type: 'RLIMIT_CPU', soft: 5n, hard: INFINITY },
        { type: 'RLIMIT_MEMLOCK', soft: 8_388_608n, hard: 8_388_608n },
        { type: 'RLIMIT_NICE', soft: 0n, hard: 0n },
        { type: 'RLIMIT_NOFILE', soft: 1024n, hard: 20_000n },
      ],
      conditions: ['memlock', 'nice', 'nofile'].map(
        (name) => expect.stringContaining(`runtime.rlimits.${name}: hard limit lowered to `) as string,
      ),
    });
    expect(rlimitsFor(requested, { inherited, canRaise: true })).toMatchObject({
      rlimits: [{}, { soft: INFINITY }, { hard: 1n }, { hard: INFINITY }],
      conditions: [],
    });
  });

  test('are refused with soft above hard, or an unknown name', () => {
    expect(() => rlimitsFor({ core: { soft: 'unlimited', hard: 5 } }, { inherited, canRaise: true })).toThrow(
      'use runtime.rlimits.core: soft is above hard',
    );
    expect(() => rlimitsFor({ colour: { soft: 1, hard: 5 } }, { inherited, canRaise: false })).toThrow(
      'unknown limit',
    );
  });

  test('replace the limit of open files in the document, and keep all digits', () => {
    const rlimits = [
      { type: 'RLIMIT_CORE', soft: 0n, hard: INFINITY },
      { type: 'RLIMIT_NOFILE', soft: 7n, hard: 8n },
    ];
    const spec = generateSpec(inputOf({ host: { rlimits } }));
    expect(spec.process.rlimits).toEqual([rlimits[1], rlimits[0]]);
    expect(encodeSpec(spec)).toContain('18446744073709551615');
    expect(generateSpec(inputOf({ host: { rlimits: rlimits.slice(0, 1) } })).process.rlimits).toHaveLength(2);
  });

  test.each([
    ['[runtime.rlimits.nofile]\nsoft = 1\nhard = "unlimited"\n', undefined],
    ['[runtime.rlimits.nofile]\nsoft = 1\n', 'line 1: runtime.rlimits: nofile has no hard'],
    [
      '[runtime.rlimits.nofile]\nsoft = -1\nhard = 1\n',
      'line 2: runtime.rlimits.nofile.soft: must be a whole number from 0 on, or "unlimited"',
    ],
    ['[runtime.rlimits.colour]\nsoft = 1\nhard = 1\n', 'colour is not a plain name'],
  ])('%j in the file', (text, message) => {
    if (message === undefined)
      expect(applyFile(defaultConfig, text, 't.toml').runtime.rlimits).toEqual({
        nofile: { soft: 1, hard: 'unlimited' },
      });
    else expect(() => applyFile(defaultConfig, text, 't.toml')).toThrow(message);
  });
});
