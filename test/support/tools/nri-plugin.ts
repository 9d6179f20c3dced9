import { join } from 'node:path';
import { buildOwnGo } from './go.ts';

/** Path of a plugin for tests of NRI, over NRI's own stub; what it does stands in a script of the test. */
export const nriPlugin = async (): Promise<string> =>
  await buildOwnGo({
    name: 'nri-plugin',
    sources: join(import.meta.dirname, '../go/nri-plugin'),
    requires: { 'github.com/containerd/nri': 'v0.12.2' },
  });
