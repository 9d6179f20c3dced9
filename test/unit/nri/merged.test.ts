import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { ContainerAdjustmentSchema } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { merged } from '../../../src/nri/merged.ts';

test('S61 an adjustment may have the name of a member of every object', () => {
  const named = (value: string): Record<string, string> =>
    Object.fromEntries(['__proto__', 'constructor'].map((key) => [key, value]));
  const all = ['1', '2'].map((value) =>
    create(ContainerAdjustmentSchema, {
      annotations: named(value),
      linux: { sysctl: named(value), resources: { unified: named(value) } },
    }),
  );
  const { annotations, linux } = merged(all);
  const expected = [
    ['__proto__', '2'],
    ['constructor', '2'],
  ];
  expect(
    [annotations, linux?.sysctl, linux?.resources?.unified].map((map) => Object.entries(map ?? {})),
  ).toEqual([expected, expected, expected]);
});
