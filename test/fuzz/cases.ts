/**
 * The corpus and the cases built from it: a case is its target, a seed and a number, and always the same bytes.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomStream } from '../sim/random.ts';
import type { Target, TargetName } from './target.ts';
import { manifestTarget } from './targets/manifest.ts';
import { referenceTarget } from './targets/reference.ts';
import { registryTarget } from './targets/registry.ts';
import { unpackTarget } from './targets/unpack.ts';

export const targets: Readonly<Record<TargetName, Target>> = {
  unpack: unpackTarget,
  manifest: manifestTarget,
  reference: referenceTarget,
  registry: registryTarget,
};

const corpusDirectory = (name: TargetName): string => join(import.meta.dirname, 'corpus', name);

/** Kept inputs: seeds of cases, and inputs that once failed, whose names begin with `regression-`. */
export function corpusOf(name: TargetName): readonly { readonly name: string; readonly bytes: Buffer }[] {
  const directory = corpusDirectory(name);
  const names = existsSync(directory) ? readdirSync(directory).toSorted() : [];
  return names.map((file) => ({ name: file, bytes: readFileSync(join(directory, file)) }));
}

/** Writes the inputs to begin with, where they are missing. */
export function plantSeeds(target: Target): void {
  mkdirSync(corpusDirectory(target.name), { recursive: true });
  for (const { name, bytes } of target.seeds()) {
    const file = join(corpusDirectory(target.name), name);
    if (!existsSync(file)) writeFileSync(file, bytes);
  }
}

/** The bytes of one case; the first ones are the corpus as it is. */
export function caseOf(target: Target, corpus: readonly Buffer[], seed: number, number: number): Buffer {
  return corpus[number] ?? target.make(randomStream(seed, `${target.name}/${number}`), corpus);
}
